"""The commands against a real server: the demo end to end, listening, checking a connection."""

import asyncio
import contextlib
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import fastcoord
from fastcoord.server import LocalServer
from support.nodes import joined, node_toml
from support.plain import PlainPeer
from support.wait import until

SUM_ROW = re.compile(r"^  node \d .*(adds up|too few|too many)$", re.MULTILINE)


class Command:
    """A running ``fastcoord`` command and what it has written so far."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.out = ""
        self.err = ""
        self._readers = [
            asyncio.create_task(self._read("out", process.stdout)),
            asyncio.create_task(self._read("err", process.stderr)),
        ]

    async def says(self, text: str) -> None:
        await until(
            lambda: text in self.out + self.err or self.process.returncode is not None,
            timeout=60,
            because=f"the command says {text!r}",
        )
        assert text in self.out + self.err, self.err

    async def ends(self) -> int:
        await asyncio.wait_for(asyncio.gather(*self._readers), 90)
        return await self.process.wait()

    def pids(self) -> list[int]:
        """The processes that the demo says it has started."""
        return [
            int(pid) for pid in re.findall(r"^(?:nats-server|node \d)  pid (\d+)", self.out, re.M)
        ]

    async def _read(self, name: str, stream: asyncio.StreamReader | None) -> None:
        assert stream is not None
        while chunk := await stream.read(4096):
            setattr(self, name, getattr(self, name) + chunk.decode())


@contextlib.asynccontextmanager
async def start(*words: str, directory: Path) -> AsyncIterator[Command]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "fastcoord.cli",
        *words,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(directory)},
    )
    command = Command(process)
    try:
        yield command
    finally:
        if process.returncode is None:
            process.kill()
        await command.ends()
        await until(lambda: not any(map(is_running, command.pids())), timeout=20)


def is_running(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


# ---------------------------------------------------------------------------------- the demo


@pytest.mark.parametrize("protocol", ["stalwart-0.15", "stalwart-0.16", "fastcoord-1"])
async def test_the_demo_delivers_every_event(tmp_path: Path, protocol: str) -> None:
    words = ("demo", "--seconds", "1", "--plain", "--protocol", protocol)
    async with start(*words, directory=tmp_path) as demo:
        assert await demo.ends() == 0, demo.out + demo.err
        assert demo.err == ""
        assert SUM_ROW.findall(demo.out) == ["adds up"] * 12
        assert "6,000 events were published and 12,000 received" in demo.out
        assert "every sum adds up" in demo.out
        assert len(demo.pids()) == 4
        (config,) = re.findall(r"^The configuration of every node: (.*)$", demo.out, re.MULTILINE)
        assert config.startswith(str(tmp_path))
    async with start("check", config, directory=tmp_path) as check:
        assert await check.ends() == 0
        assert protocol in check.out


async def test_the_demo_takes_other_numbers(tmp_path: Path) -> None:
    words = ("demo", "--seconds", "0.5", "--nodes", "2", "--rate", "100", "--plain")
    async with start(*words, directory=tmp_path) as demo:
        assert await demo.ends() == 0, demo.out + demo.err
        assert "100 events were published and 100 received" in demo.out


async def test_a_node_that_dies_fails_the_demo(tmp_path: Path) -> None:
    async with start("demo", "--seconds", "30", "--plain", directory=tmp_path) as demo:
        await demo.says("they publish now")
        os.kill(demo.pids()[2], signal.SIGKILL)
        assert await demo.ends() == 1
        assert demo.err == (
            "fastcoord: node 2 left before the demo was over: it was ended by SIGKILL\n"
        )
        assert not any(map(is_running, demo.pids()))


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
async def test_a_demo_that_is_ended_leaves_nothing(tmp_path: Path, number: int, code: int) -> None:
    async with start("demo", "--seconds", "30", "--plain", directory=tmp_path) as demo:
        await demo.says("they publish now")
        demo.process.send_signal(number)
        assert await demo.ends() == code
        assert "Traceback" not in demo.err
        await until(lambda: not any(map(is_running, demo.pids())))


async def test_a_demo_that_keeps_the_cluster_up_can_be_listened_to(tmp_path: Path) -> None:
    words = ("demo", "--seconds", "0.2", "--plain", "--keep")
    async with start(*words, directory=tmp_path) as demo:
        await demo.says("The cluster stays up")
        (listen,) = re.findall(r"fastcoord (listen \S+ --node-id \d+)", demo.out)
        async with start(*listen.split(), directory=tmp_path) as listener:
            await until(lambda: listener.out.count("StateChange") >= 3)
            listener.process.send_signal(signal.SIGINT)
            assert await listener.ends() == 130
        assert demo.process.returncode is None
        demo.process.send_signal(signal.SIGINT)
        assert await demo.ends() == 130
        assert demo.err == ""


async def test_a_demo_on_a_terminal_is_a_live_table(tmp_path: Path) -> None:
    pytest.importorskip("rich")
    master, slave = os.openpty()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fastcoord.cli", "demo", "--seconds", "0.5"),
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
    with contextlib.suppress(OSError):  # a terminal's end is an error on Linux
        while chunk := os.read(master, 65536):
            chunks.append(chunk)
    os.close(master)
    return b"".join(chunks).decode(errors="replace")


# ---------------------------------------------------------------------------------- listening


async def test_listen_prints_events_and_notices_as_json(
    tmp_path: Path, server: LocalServer
) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server, cluster={"node_id": 9, "heartbeat": "100ms"}))
    events = [
        fastcoord.StateChange(account_id=7, change_id=42, types=1),
        fastcoord.ReloadBlockedIps(),
        fastcoord.InvalidateAccessTokens([1, 2]),
    ]
    async with start("listen", str(config), directory=tmp_path) as listener:
        await listener.says("node 9 listens on stwt.agora")
        async with joined(server, 2, cluster={"heartbeat": "100ms"}) as node:
            await node.publish(*events)
            await node.flush()
            await until(lambda: listener.out.count("\n") >= 4)
        await until(lambda: "PeerDown" in listener.out)
        listener.process.send_signal(signal.SIGINT)
        assert await listener.ends() == 130
    lines = [json.loads(line) for line in listener.out.splitlines()]
    assert all(line.pop("received_at") > 1_700_000_000 for line in lines)
    assert all(line.pop("node_id") == 2 for line in lines)
    assert lines[0] == {"type": "PeerUp"}
    assert lines[1:4] == [fastcoord.to_builtins(event) for event in events]
    assert lines[-1] == {"type": "PeerDown", "goodbye": True}


async def test_listen_prints_only_the_kinds_that_are_wanted(
    tmp_path: Path, server: LocalServer
) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server))
    words = ("listen", str(config), "--node-id", "77", "--kinds", "ReloadBlockedIps,EmailPush")
    async with start(*words, directory=tmp_path) as listener, PlainPeer(server.url) as stalwart:
        await listener.says("node 77 listens")
        payload = fastcoord.encode_batch(
            [fastcoord.ReloadSettings(), fastcoord.ReloadBlockedIps()],
            node_id=3,
            protocol="stalwart-0.15",
        )
        await stalwart.publish(payload)
        await until(lambda: "ReloadBlockedIps" in listener.out)
        assert "ReloadSettings" not in listener.out


async def test_listen_says_when_the_connection_is_given_up(
    tmp_path: Path, server: LocalServer
) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server, max_reconnects=0))
    async with start("listen", str(config), directory=tmp_path) as listener:
        await listener.says("listens on")
        server.kill()
        assert await listener.ends() == 1
        assert listener.err.splitlines()[-1].startswith("fastcoord: ")
        assert "Traceback" not in listener.err


# ---------------------------------------------------------------------------------- checking


async def test_check_connects_and_no_peer_hears_of_it(tmp_path: Path, server: LocalServer) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server))
    async with PlainPeer(server.url) as stalwart:
        async with start("check", "--connect", str(config), directory=tmp_path) as check:
            assert await check.ends() == 0, check.err
        assert re.search(
            rf"^connected to 127.0.0.1:{server.port} in \d+ ms, and may listen on stwt.agora$",
            check.out,
            re.MULTILINE,
        )
        await stalwart.flush()
        assert stalwart.messages == []
    assert check.err == ""


@pytest.mark.parametrize(
    ("options", "settings", "reason"),
    [
        ({"users": {"a": "right"}}, {"user": "a", "password": "wrong"}, "check user, password"),
        ({}, {"tls": {"enable": True}}, "TLS"),
        (
            {"extra_config": 'authorization { users: [{user: "a", password: "b", '
             'permissions: {subscribe: {deny: ["stwt.>"]}}}] }'},
            {"user": "a", "password": "b"},
            "stwt.agora",
        ),
    ],
    ids=["password", "tls", "permission"],
)  # fmt: skip
async def test_check_says_why_it_could_not_connect(
    tmp_path: Path, options: dict[str, Any], settings: dict[str, Any], reason: str
) -> None:
    config = tmp_path / "node.toml"
    with LocalServer(**options) as server:
        config.write_text(node_toml(server, **settings))
        async with start("check", "--connect", str(config), directory=tmp_path) as check:
            assert await check.ends() == 1
    assert reason in check.err
    assert check.err.startswith("fastcoord: ")
    assert check.err.count("\n") == 1
    assert "wrong" not in check.out + check.err


async def test_check_names_a_server_that_is_not_there(tmp_path: Path, server: LocalServer) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server))
    server.kill()
    async with start("check", "--connect", str(config), directory=tmp_path) as check:
        assert await check.ends() == 1
    assert f"127.0.0.1:{server.port}" in check.err
    assert check.err.count("\n") == 1
