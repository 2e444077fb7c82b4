"""The live views on a pseudo-terminal: resizing, and Ctrl-C leaves a clean terminal."""

from pathlib import Path

import pytest

import fastcoord
from fastcoord.server import LocalServer
from support.cluster.nodes import joined, node_toml
from support.processes.terminal import on_terminal
from support.wait import until

HEARTBEAT = {"heartbeat": "1s"}


@pytest.fixture
def config(tmp_path: Path, server: LocalServer) -> str:
    file = tmp_path / "node.toml"
    file.write_text(node_toml(server, cluster=HEARTBEAT))
    return str(file)


async def test_watched_peers_redraw_in_place(config: str, server: LocalServer) -> None:
    async with on_terminal("peers", config, "--watch") as terminal:
        async with joined(server, 2, cluster=HEARTBEAT), joined(server, 3, cluster=HEARTBEAT):
            await until(lambda: terminal.text.count(" up ") == 2)
        await until(lambda: terminal.text.count(" down ") == 2)
        # Several refreshes have replaced each other.
        assert terminal.text.count("round trip") == 1
        assert terminal.screen.cursor.hidden
        terminal.press(b"\x03")
        assert await terminal.process.wait() == 130
        await until(lambda: terminal.is_clean)
        assert "Traceback" not in terminal.text
        # The next prompt begins on a line of its own.
        assert terminal.screen.cursor.x == 0


async def test_watched_peers_follow_resize(config: str, server: LocalServer) -> None:
    async with (
        joined(server, 2, cluster=HEARTBEAT),
        on_terminal("peers", config, "--watch") as terminal,
    ):
        await until(lambda: " up " in terminal.text)
        assert "round trip" in terminal.text
        terminal.screen.reset()
        terminal.resize(44, 12)
        # The columns that do not fit are left out; the others are complete.
        await until(lambda: "received" in terminal.text)
        (row,) = [line for line in terminal.lines if "fastcoord" in line]
        assert row == "│    2 │ fastcoord │ up    │        0 │"
        assert "round trip" not in terminal.text
        terminal.resize(100, 30)
        await until(lambda: "round trip" in terminal.text)
        terminal.press(b"\x03")
        assert await terminal.process.wait() == 130
        await until(lambda: terminal.is_clean)


async def test_listen_ends_with_totals(config: str, server: LocalServer) -> None:
    async with on_terminal("listen", config) as terminal:
        await until(lambda: "stop it with Ctrl-C" in terminal.text)
        async with joined(server, 2, cluster=HEARTBEAT) as node:
            await node.publish(fastcoord.StateChange(account_id=7, change_id=42, types=1))
            await until(lambda: "account_id=7" in terminal.text)
            terminal.resize(60, 20)
            await node.publish(fastcoord.ReloadBlockedIps())
            await until(lambda: "ReloadBlockedIps" in terminal.text)
            terminal.press(b"\x03")
            assert await terminal.process.wait() == 130
        await until(lambda: "2 events of 1 node " in terminal.text)
        assert terminal.is_clean
        assert "Traceback" not in terminal.text


@pytest.mark.parametrize("words", [("peers", "--watch"), ("listen",)], ids=lambda words: words[0])
async def test_lost_server_leaves_clean_terminal(
    tmp_path: Path, server: LocalServer, words: tuple[str, ...]
) -> None:
    file = tmp_path / "node.toml"
    file.write_text(node_toml(server, max_reconnects=0, cluster=HEARTBEAT))
    command, *options = words
    async with on_terminal(command, str(file), *options) as terminal:
        await until(lambda: "round trip" in terminal.text or "Ctrl-C" in terminal.text)
        server.kill()
        assert await terminal.process.wait() == 1
        await until(lambda: "fastcoord: the connection is lost" in terminal.text)
        assert "connection" in terminal.text
        assert terminal.is_clean
        assert "Traceback" not in terminal.text
