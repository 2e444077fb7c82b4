"""``fastcoord peers``, and ``listen`` with its filters, on real servers."""

import asyncio
import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import fastcoord
from fastcoord.cli.joining import join
from fastcoord.cli.peers import COLUMNS
from fastcoord.server import LocalServer
from support.cluster.nodes import joined, node_toml
from support.cluster.plain_peer import PlainPeer
from support.faults.proxy import Proxy
from support.lag import LoopLag
from support.processes.command import Command, start
from support.processes.terminal import on_terminal
from support.wait import until

STALWART = "stalwart-0.15"
ATTEMPTS = 4
"""On a busy machine, a round trip may take longer than the second that ``peers`` waits for it."""


@pytest.fixture
def config(tmp_path: Path, server: LocalServer) -> Path:
    file = tmp_path / "node.toml"
    file.write_text(node_toml(server, cluster={"heartbeat": "1s"}))
    return file


async def interrupt(command: Command) -> None:
    command.process.send_signal(signal.SIGINT)
    assert await command.wait() == 130, command.err


# ------------------------------------------------------------------------------------- peers


async def test_peers_lists_every_node(tmp_path: Path, config: Path, server: LocalServer) -> None:
    payload = fastcoord.encode_batch([fastcoord.ReloadSettings()], node_id=5, protocol=STALWART)

    async def listed(seconds: str) -> tuple[list[dict[str, Any]], str]:
        async with (
            joined(server, 2, cluster={"heartbeat": "1s"}) as node,
            PlainPeer(server.url) as stalwart,
            start("peers", str(config), "--wait", seconds, "--json", directory=tmp_path) as peers,
        ):
            await until(lambda: len(node.peers()) == 1)
            await node.publish(fastcoord.ReloadSettings(), fastcoord.ReloadSettings())
            await stalwart.publish(payload)
            assert await peers.wait() == 0, peers.err
        return [json.loads(line) for line in peers.out.splitlines()], peers.err

    for seconds in ("2", "8", "32"):
        rows, summary = await listed(seconds)
        # On a busy machine, the events may come too late, and a round trip may take a second.
        if len(rows) == 2 and rows[0]["received"] and rows[0]["round_trip"]:
            break
    first, second = rows
    assert (first["node_id"], first["is_up"], first["received"], first["missed"]) == (2, True, 2, 0)
    assert first["round_trip"] > 0
    assert (second["node_id"], second["is_up"], second["incarnation"]) == (5, None, None)
    assert (second["received"], second["round_trip"]) == (1, None)
    assert (first["protocol"], second["protocol"]) == (STALWART, None)
    assert "2 nodes on stwt.agora (stalwart-0.15) at 127.0.0.1:" in summary


async def test_peers_prints_columns(tmp_path: Path, config: Path, server: LocalServer) -> None:
    for _ in range(ATTEMPTS):
        async with (
            joined(server, 2, cluster={"heartbeat": "1s"}),
            start("peers", str(config), directory=tmp_path) as peers,
        ):
            assert await peers.wait() == 0, peers.err
        assert "1 node on stwt.agora" in peers.err
        if " ms " in peers.out:
            break
    header, row = peers.out.splitlines()
    assert re.split("  +", header) == list(COLUMNS)
    cells = r" *2  fastcoord  up +0 +0  \d\.\d s ago +[\d.]+ ms +stalwart-0\.15"
    assert re.fullmatch(cells, row)


async def test_other_protocol_is_shown(tmp_path: Path, config: Path, server: LocalServer) -> None:
    cluster = {"heartbeat": "1s", "protocol": "stalwart-0.16", "subject": "stwt.agora"}
    async with joined(server, 2, cluster=cluster), joined(server, 3, cluster={"heartbeat": "1s"}):
        async with start("peers", str(config), "--json", directory=tmp_path) as peers:
            assert await peers.wait() == 0, peers.err
        other, same = (json.loads(line) for line in peers.out.splitlines())
        assert (other["node_id"], other["is_up"], other["protocol"]) == (2, None, "stalwart-0.16")
        assert (same["node_id"], same["is_up"], same["protocol"]) == (3, True, STALWART)


async def test_frozen_peer_delays_nothing(tmp_path: Path, server: LocalServer) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server, cluster={"heartbeat": "1m"}, timeout={"request": "10m"}))
    async with (
        start("listen", str(config), "--node-id", "2", directory=tmp_path) as frozen,
        start("peers", str(config), "--watch", directory=tmp_path) as peers,
    ):
        await until(lambda: " ms" in peers.out)
        frozen.process.send_signal(signal.SIGSTOP)
        try:
            shown = peers.out.count("round trip")
            await until(lambda: peers.out.count("round trip") > shown + 1)
        finally:
            frozen.process.send_signal(signal.SIGCONT)
        await interrupt(peers)
        await interrupt(frozen)


async def test_watched_peers_are_refreshed(
    tmp_path: Path, config: Path, server: LocalServer
) -> None:
    async with start("peers", str(config), "--watch", directory=tmp_path) as peers:
        await until(lambda: peers.out.count("round trip") >= 1)
        async with joined(server, 2, cluster={"heartbeat": "1s"}):
            await until(lambda: " up " in peers.out)
        await until(lambda: " down " in peers.out)
        await interrupt(peers)


async def test_watched_json_has_line_for_each_refresh(
    tmp_path: Path, config: Path, server: LocalServer
) -> None:
    async with (
        joined(server, 2, cluster={"heartbeat": "1s"}),
        start("peers", str(config), "--watch", "--json", directory=tmp_path) as peers,
    ):
        await until(lambda: '"round_trip": 0.' in peers.out)
        server.kill()
        await until(lambda: '"disconnected_since": 1' in peers.out)
        await interrupt(peers)
    refreshes = [json.loads(line) for line in peers.out.splitlines()]
    times = [each["time"] for each in refreshes]
    assert times == sorted(times)
    assert refreshes[0]["disconnected_since"] is None
    assert times[0] < refreshes[-1]["disconnected_since"] <= times[-1] + 0.001
    (node,) = refreshes[-1]["nodes"]
    assert (node["node_id"], node["is_up"], node["protocol"]) == (2, None, STALWART)


async def test_lost_server_delays_no_exit(shared_server: LocalServer) -> None:
    loop = asyncio.get_running_loop()
    async with LoopLag() as lag, Proxy(shared_server.host, shared_server.port) as proxy:
        config = fastcoord.make_config(proxy.url, subject="leaving")
        async with join(config, "auto") as node:
            proxy.refuse()
            proxy.cut()
            await until(lambda: not node.is_connected)
            ended, late = loop.time(), lag.seconds
        # Node.close waits for 5 s.
        assert loop.time() - ended < 3 + lag.seconds - late


# ----------------------------------------------------------------------------------- hanging up


@pytest.mark.parametrize("words", ["listen", "peers --wait 60", "peers --watch", "publish"])
async def test_hangup_says_goodbye(
    tmp_path: Path, config: Path, server: LocalServer, words: str
) -> None:
    name, *options = words.split()
    async with (
        joined(server, 2, cluster={"heartbeat": "1m"}) as node,
        node.subscribe(kinds=[fastcoord.PeerUp, fastcoord.PeerDown]) as notices,
        start(name, str(config), *options, directory=tmp_path, stdin=subprocess.PIPE) as command,
    ):
        up = await anext(aiter(notices))
        command.process.send_signal(signal.SIGHUP)
        command.process.send_signal(signal.SIGHUP)  # a shell repeats it
        assert await anext(aiter(notices)) == fastcoord.PeerDown(up.node_id, goodbye=True)
        assert await command.wait() == 129
    assert "Traceback" not in command.err


@pytest.mark.parametrize("words", ["listen", "peers --watch"])
async def test_closed_terminal_says_goodbye(config: Path, server: LocalServer, words: str) -> None:
    name, *options = words.split()
    async with (
        joined(server, 2, cluster={"heartbeat": "1m"}) as node,
        node.subscribe(kinds=[fastcoord.PeerUp, fastcoord.PeerDown]) as notices,
        on_terminal(name, str(config), *options) as terminal,
    ):
        up = await anext(aiter(notices))
        await until(lambda: "Ctrl-C" in terminal.text or " up " in terminal.text)

        async def publish() -> None:
            while True:
                await node.publish(fastcoord.ReloadSettings())
                await asyncio.sleep(0.001)

        # Events arrive all the time, so that a write to the closed terminal fails.
        publishing = asyncio.create_task(publish())
        terminal.close()
        assert await anext(aiter(notices)) == fastcoord.PeerDown(up.node_id, goodbye=True)
        assert await terminal.process.wait() == 129
        publishing.cancel()


# ------------------------------------------------------------------------------------ listen


def batch(node_id: int, *events: Any) -> bytes:
    return fastcoord.encode_batch(events, node_id=node_id, protocol=STALWART)


async def test_listen_filters_nodes(tmp_path: Path, config: Path, server: LocalServer) -> None:
    words = ("listen", str(config), "--node", "3,5")
    async with start(*words, directory=tmp_path) as listener, PlainPeer(server.url) as stalwart:
        await listener.prints("listens on")
        for node_id in (3, 4, 5):
            await stalwart.publish(batch(node_id, fastcoord.ReloadSettings()))
        await until(lambda: '"node_id": 5' in listener.out)
        await interrupt(listener)
    lines = [json.loads(line) for line in listener.out.splitlines()]
    assert [line["node_id"] for line in lines] == [3, 5]
    assert listener.err.splitlines()[-1] == (
        "fastcoord: 2 events of 2 nodes (2 ReloadSettings), 0 missed"
    )


@pytest.mark.parametrize("option", ["--json", "--raw"])
async def test_listen_names_nodes_at_end(
    tmp_path: Path, config: Path, server: LocalServer, option: str
) -> None:
    async with (
        joined(server, 2, cluster={"heartbeat": "1s"}) as node,
        PlainPeer(server.url) as stalwart,
        start("listen", str(config), option, directory=tmp_path) as listener,
    ):
        await listener.prints("stop it with Ctrl-C")
        await node.publish(fastcoord.ReloadSettings())
        await stalwart.publish(batch(5, fastcoord.ReloadSettings()))
        await until(lambda: listener.out.count("ReloadSettings") == 2)
        await interrupt(listener)
    state = "fastcoord" if option == "--raw" else "fastcoord, up"
    assert listener.err.splitlines()[-2:] == [
        f"fastcoord: nodes: 2 ({state}), 5 (Stalwart)",
        "fastcoord: 2 events of 2 nodes (2 ReloadSettings), 0 missed",
    ]


async def test_raw_messages_show_bytes(tmp_path: Path, config: Path, server: LocalServer) -> None:
    words = ("listen", str(config), "--raw", "--json")
    good = batch(3, fastcoord.ReloadSettings())
    async with start(*words, directory=tmp_path) as listener, PlainPeer(server.url) as stalwart:
        await listener.prints("raw messages on stwt.agora")
        await stalwart.publish(good, good + b"\xff", b"")
        await stalwart.publish(good, header={"F": "nonsense"})
        await until(lambda: listener.out.count("\n") == 4)
        assert stalwart.messages == [], "listening was noticed"
        await interrupt(listener)
    lines = [json.loads(line) for line in listener.out.splitlines()]
    assert [line["payload"] for line in lines] == [good.hex(), good.hex() + "ff", "", good.hex()]
    assert [line["offset"] for line in lines] == [None, len(good), 0, None]
    assert [line["node_id"] for line in lines] == [3, 3, None, 3]
    assert [line["header"] for line in lines] == [None, None, None, "malformed"]
    assert lines[0]["events"] == [{"type": "ReloadSettings"}]
    assert "unknown tag 255" in lines[1]["error"]


async def test_raw_log_names_no_node(tmp_path: Path, config: Path, server: LocalServer) -> None:
    async with start("listen", str(config), "--raw", directory=tmp_path) as listener:
        await listener.prints("raw messages on stwt.agora")
        server.kill()
        server.restart()
        await listener.prints("connected to")
        await interrupt(listener)
    # The node of the file may run elsewhere, with a connection of its own.
    assert re.search("^observer: connection to .* lost", listener.err, re.M)
    assert "node 1" not in listener.err


@pytest.mark.parametrize("words", ["listen --raw", "listen --json", "peers --watch"])
async def test_closed_pipe_ends_command(config: Path, server: LocalServer, words: str) -> None:
    line = f"{sys.executable} -m fastcoord {words} {config} | head -n 1"
    command = await asyncio.create_subprocess_exec(
        *("bash", "-o", "pipefail", "-c", line),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    ended = asyncio.create_task(command.communicate())
    async with PlainPeer(server.url) as stalwart:
        while not ended.done():
            await stalwart.publish(batch(3, fastcoord.ReloadSettings()))
            await asyncio.wait({ended}, timeout=0.05)
    out, err = await ended
    assert (command.returncode, out.count(b"\n")) == (1, 1)
    assert b"lost" not in err
    assert b"Traceback" not in err


def test_raw_takes_no_event_filter(config: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fastcoord", "listen", str(config), "--raw", "--kind", "EmailPush"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
