"""``fastcoord demo`` from start to end, and when a process of it dies or is stopped."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

import fastcoord
from fastcoord.cli import main
from support.processes.command import start
from support.processes.status import exists
from support.wait import until

SUM_ROW = re.compile(r"^  node \d .*(adds up|too few|too many)$", re.MULTILINE)


@pytest.mark.parametrize("protocol", ["stalwart-0.15", "stalwart-0.16", "fastcoord-1"])
async def test_demo_delivers_every_event(tmp_path: Path, protocol: str) -> None:
    words = ("demo", "--seconds", "1", "--plain", "--protocol", protocol)
    async with start(*words, directory=tmp_path) as demo:
        assert await demo.wait() == 0, demo.out + demo.err
        assert demo.err == ""
        assert SUM_ROW.findall(demo.out) == ["adds up"] * 12
        assert "6,000 events were published and 12,000 received" in demo.out
        assert "every sum adds up" in demo.out
        assert len(demo.pids()) == 4
        assert os.listdir(tmp_path) == []


async def test_demo_accepts_options(tmp_path: Path) -> None:
    words = ("demo", "--seconds", "0.5", "--nodes", "2", "--rate", "100", "--plain")
    async with start(*words, directory=tmp_path) as demo:
        assert await demo.wait() == 0, demo.out + demo.err
        assert "100 events were published and 100 received" in demo.out


async def test_demo_prints_json(tmp_path: Path) -> None:
    words = ("demo", "--seconds", "0.5", "--rate", "100", "--json")
    async with start(*words, directory=tmp_path) as demo:
        assert await demo.wait() == 0, demo.out + demo.err
    (line,) = demo.out.splitlines()
    result = json.loads(line)
    assert (result["published"], result["received"]) == (150, 300)
    assert (result["missed"], result["notices_without_number"], result["problems"]) == ({}, 0, [])
    assert result["nodes"]["1"]["received"] == {"2": 50, "3": 50}
    assert "150 events were published" in demo.err


async def test_killed_server_loses_no_count(tmp_path: Path) -> None:
    words = ("demo", "--seconds", "2", "--plain", "--kill", "--rate", "500")
    async with start(*words, directory=tmp_path) as demo:
        assert await demo.wait() == 0, demo.out + demo.err
        assert "The nats-server is killed" in demo.out
        assert "The nats-server runs again" in demo.out
        assert SUM_ROW.findall(demo.out) == ["adds up"] * 12
        assert "Reported as Missed while the server was down" in demo.out
        assert "3,000 events were published" in demo.out
        assert "arrived once and in order, every sum adds up" in demo.out
        assert os.listdir(tmp_path) == []


async def test_killed_server_of_stream_loses_nothing(tmp_path: Path) -> None:
    words = ("demo", "--seconds", "2", "--plain", "--kill", "--stream", "--rate", "500")
    async with start(*words, directory=tmp_path) as demo:
        assert await demo.wait() == 0, demo.out + demo.err
        assert "The nats-server runs again" in demo.out
        assert SUM_ROW.findall(demo.out) == ["adds up"] * 12
        assert "3,000 events were published and 6,000 received" in demo.out
        assert "none is missing, each arrived once and in order" in demo.out
        assert os.listdir(tmp_path) == []


async def test_dead_node_fails_demo(tmp_path: Path) -> None:
    async with start("demo", "--seconds", "30", "--plain", directory=tmp_path) as demo:
        await demo.prints("They publish now")
        os.kill(demo.pids()[2], signal.SIGKILL)
        assert await demo.wait() == 1
        assert demo.err == ("fastcoord: node 2 ended before the demo was over: killed by SIGKILL\n")
        assert not any(map(exists, demo.pids()))
        assert os.listdir(tmp_path) == []


def test_unready_nodes_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr("fastcoord.cli.demo.cluster.PHASE_TIMEOUT", 0.0)
    assert main(["demo", "--plain", "--nodes", "2"]) == 1
    assert capsys.readouterr().err == (
        "fastcoord: node 1, node 2: not connected to the server and to each other "
        "within 0 seconds\n"
    )


async def test_dead_server_fails_demo(tmp_path: Path) -> None:
    async with start("demo", "--seconds", "30", "--plain", directory=tmp_path) as demo:
        await demo.prints("They publish now")
        os.kill(demo.pids()[0], signal.SIGKILL)
        assert await demo.wait() == 1
        assert demo.err == "fastcoord: the nats-server ended before the demo was over\n"
        assert not any(map(exists, demo.pids()))
        assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
async def test_ended_demo_leaves_no_process(tmp_path: Path, number: int, code: int) -> None:
    async with start("demo", "--seconds", "30", "--plain", directory=tmp_path) as demo:
        await demo.prints("They publish now")
        demo.process.send_signal(number)
        assert await demo.wait() == code
        assert "Traceback" not in demo.err
        await until(lambda: not any(map(exists, demo.pids())))
        assert number == signal.SIGKILL or os.listdir(tmp_path) == []


async def test_kept_demo_accepts_listener(tmp_path: Path) -> None:
    words = ("demo", "--seconds", "0.2", "--plain", "--keep")
    async with start(*words, directory=tmp_path) as demo:
        await demo.prints("The cluster keeps running")
        (listen,) = re.findall(r"fastcoord (listen \S+)", demo.out)
        async with start(*listen.split(), directory=tmp_path) as listener:
            await until(lambda: listener.out.count("StateChange") >= 3)
            listener.process.send_signal(signal.SIGINT)
            assert await listener.wait() == 130
        assert demo.process.returncode is None
        demo.process.send_signal(signal.SIGINT)
        assert await demo.wait() == 130
        assert demo.err == ""


async def test_interrupted_demo_says_goodbye(tmp_path: Path) -> None:
    words = ("demo", "--seconds", "0.2", "--plain", "--keep")
    async with start(*words, directory=tmp_path) as demo:
        await demo.prints("The cluster keeps running")
        assert {os.getpgid(pid) for pid in demo.pids()} == set(demo.pids()), "Ctrl-C reaches them"
        (config,) = re.findall(r"fastcoord listen (\S+)", demo.out)
        async with (
            fastcoord.connect(config, node_id=100) as guest,
            guest.subscribe(peers=True) as events,
        ):
            await until(lambda: len(guest.peers()) == 3)
            demo.process.send_signal(signal.SIGINT)
            # A busy machine may delay a node so much that it is reported as down before it leaves.
            missing = {fastcoord.PeerDown(node_id, goodbye=True) for node_id in (1, 2, 3)}
            async for event in events:
                missing -= {event}
                if not missing:
                    break
        assert await demo.wait() == 130
        assert os.listdir(tmp_path) == []


async def test_stopped_node_is_killed(tmp_path: Path) -> None:
    async with start("demo", "--seconds", "30", "--plain", directory=tmp_path) as demo:
        await demo.prints("They publish now")
        os.kill(demo.pids()[3], signal.SIGSTOP)
        demo.process.send_signal(signal.SIGINT)
        assert await demo.wait() == 130
        assert not any(map(exists, demo.pids()))
        assert os.listdir(tmp_path) == []


async def test_demo_draws_live_table(tmp_path: Path) -> None:
    pytest.importorskip("rich")
    master, slave = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fastcoord", "demo", "--seconds", "0.5"),
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env={**os.environ, "TMPDIR": str(tmp_path), "TERM": "xterm", "COLUMNS": "100"},
    )
    os.close(slave)
    written = await asyncio.to_thread(_read_terminal, master)
    assert await process.wait() == 0
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", written)
    assert "from 3" in text
    assert "│ node 1" in text
    assert text.count("adds up") >= 12


def _read_terminal(master: int) -> str:
    chunks = []
    with contextlib.suppress(OSError):  # Linux reports the end of a terminal as an error
        while chunk := os.read(master, 65536):
            chunks.append(chunk)
    os.close(master)
    return b"".join(chunks).decode(errors="replace")
