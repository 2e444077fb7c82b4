"""The streams of ``fastcoord bench --stream``: none is left, and none of others is deleted."""

import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import pytest

from fastcoord.cli.abandoned_streams import Found, is_abandoned, run_metadata
from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml
from support.cluster.plain_peer import PlainPeer
from support.processes.command import start

pytest.importorskip("hdrh", reason="the extra bench is not installed")

SHORT = ("--rate", "200", "--seconds", "0.3", "--warm-up", "0.1")
LONG = ("--rate", "200", "--seconds", "60")


def write_config(folder: Path, server: LocalServer) -> str:
    (folder / "node.toml").write_text(node_toml(server))
    return str(folder / "node.toml")


async def stream_infos(peer: PlainPeer) -> list[Any]:
    return await peer.client.jetstream().streams_info()


async def test_next_run_deletes_abandoned_stream(
    tmp_path: Path, jetstream_server: LocalServer
) -> None:
    if jetstream_server.varz()["version"].startswith("2.9."):
        pytest.skip("this server stores no metadata, which says that a stream is of a run")
    config = write_config(tmp_path, jetstream_server)
    async with PlainPeer(jetstream_server.url) as peer:
        async with start("bench", config, "--stream", *LONG, directory=tmp_path) as command:
            await command.prints("measuring")
            command.process.kill()
            await command.process.wait()
        (left,) = await stream_infos(peer)
        assert left.config.name.startswith("FASTCOORD_BENCH_")
        assert left.config.max_age == 273  # twice 61 s × 1.5 + 30 s, and 30 s to connect
        others = {"FASTCOORD_BENCH_0123456789ab": None, "AGORA": left.config.metadata}
        for name, metadata in others.items():
            await peer.client.jetstream().add_stream(
                name=name, subjects=[name.lower()], metadata=metadata
            )
        # A second run beside it must neither lose its stream nor delete the first one's.
        words = ("--stream", *SHORT, "--set", "max-age=10m")
        async with (
            start("bench", config, "--stream", *LONG, directory=tmp_path) as first,
            start("bench", config, *words, directory=tmp_path) as second,
        ):
            await first.prints("measuring")
            assert await second.wait() == 0, second.err
            found = {each.config.name for each in await stream_infos(peer)}
            assert left.config.name not in found
            assert len(found - set(others)) == 1
            first.process.send_signal(signal.SIGTERM)
            assert await first.wait() == 128 + signal.SIGTERM
        assert {each.config.name for each in await stream_infos(peer)} == set(others)


ELSEWHERE = {"fastcoord.machine": "another", "fastcoord.seconds": "60"}


def found(name: str = "FASTCOORD_BENCH_0123456789ab", last: str = "", **facts: str) -> Found:
    """Describe a stream that was made an hour and two minutes ago."""
    answer = {
        "config": {"name": name, "metadata": run_metadata(60.0) | facts},
        "state": {"last_seq": int(bool(last)), "last_ts": last or "0001-01-01T00:00:00Z"},
        "created": "2026-01-31T11:00:00.123456789Z",
        "ts": "2026-01-31T12:02:00.5Z",
    }
    return msgspec.convert(answer, Found)


def ended_process() -> int:
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


@pytest.mark.skipif(not os.path.exists("/proc/self/ns/pid"), reason="there is no /proc")
def test_process_of_stream_decides() -> None:
    assert not is_abandoned(found())
    assert is_abandoned(found(**{"fastcoord.process": f"{ended_process()} -"}))
    assert is_abandoned(found(**{"fastcoord.process": f"{os.getpid()} 1"}))
    assert not is_abandoned(found(**{"fastcoord.process": "1 -"}))
    assert not is_abandoned(found(**{"fastcoord.process": "none"}))
    process = subprocess.Popen(["true"])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_abandoned(found(**{"fastcoord.process": f"{process.pid} 1"}))
    process.wait()


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (found(**ELSEWHERE), True),
        (found(**ELSEWHERE, last="2026-01-31T11:00:30Z"), True),
        (found(**ELSEWHERE, last="2026-01-31T11:02:00Z"), False),
        (found(**ELSEWHERE | {"fastcoord.seconds": "600"}), False),
        (found(**ELSEWHERE | {"fastcoord.seconds": "600"}, last="0001-01-01T00:00:00Z"), False),
        (found(**ELSEWHERE | {"fastcoord.seconds": "-9000"}, last="2026-01-31T11:30:00Z"), False),
        (found(**ELSEWHERE | {"fastcoord.seconds": "long"}), False),
        (found(**ELSEWHERE | {"fastcoord": "other"}), False),
        (found("FASTCOORD_BENCH_0123456789abc", **ELSEWHERE), False),
        (found("AGORA", **ELSEWHERE), False),
        (Found(), False),
    ],
)
def test_idle_stream_is_abandoned(stream: Found, expected: bool) -> None:
    assert is_abandoned(stream) is expected
