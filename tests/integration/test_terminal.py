"""The live views on a pseudo-terminal: resizing, and Ctrl-C leaves a clean terminal."""

import os
import re
from pathlib import Path

import pytest

import fastcoord
from fastcoord.server import LocalServer
from support.cluster.nodes import joined, node_toml
from support.cluster.plain_peer import PlainPeer
from support.processes.terminal import Terminal, on_terminal
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
        await until(lambda: terminal.screen.cursor.x == 0)


async def test_watched_peers_follow_resize(config: str, server: LocalServer) -> None:
    async with (
        joined(server, 2, cluster=HEARTBEAT),
        on_terminal("peers", config, "--watch") as terminal,
    ):
        await until(lambda: " up " in terminal.text)
        assert "round trip" in terminal.text
        terminal.screen.reset()
        terminal.resize(44, 12)
        # The columns that do not fit are left out; the others are complete. A frame that was drawn
        # before may arrive first.
        row = "│    2 │ fastcoord │ up    │        0 │"
        await until(lambda: [line for line in terminal.lines if "fastcoord" in line] == [row])
        assert "received" in terminal.text
        assert "round trip" not in terminal.text
        terminal.resize(80, 24)
        await until(lambda: re.search(r" ms +stalwart-0\.15$", terminal.text, re.M))
        assert "fastcoord" in terminal.text
        terminal.resize(100, 30)
        await until(lambda: "round trip" in terminal.text)
        terminal.press(b"\x03")
        assert await terminal.process.wait() == 130
        await until(lambda: terminal.is_clean)


async def test_no_color_prints_plain_lines(config: str, server: LocalServer) -> None:
    async with (
        joined(server, 2, cluster=HEARTBEAT),
        on_terminal("peers", config, "--watch", NO_COLOR="1") as terminal,
    ):
        await until(lambda: terminal.text.count(" up ") >= 2)
        assert b"\x1b" not in terminal.output
        assert terminal.lines[0].split()[:3] == ["node", "kind", "state"]
        terminal.press(b"\x03")
        assert await terminal.process.wait() == 130


async def test_listen_writes_names(tmp_path: Path, server: LocalServer) -> None:
    file = tmp_path / "node.toml"
    file.write_text(node_toml(server, cluster={"protocol": "stalwart-0.16"}))
    events = [fastcoord.RegistryReload(17), fastcoord.StateChange(7, 42, 9)]
    payload = fastcoord.encode_batch(events, node_id=3, protocol="stalwart-0.16")
    async with (
        on_terminal("listen", str(file)) as terminal,
        PlainPeer(server.url, "stwt.agora") as stalwart,
    ):
        await until(lambda: "stop it with Ctrl-C" in terminal.text)
        await stalwart.publish(payload)
        await until(lambda: "node 3  RegistryReload object=BlockedIp" in terminal.text)
        await until(lambda: "node 3  StateChange account_id=7 change_id=42" in terminal.text)
        assert "types=Email,Mailbox" in terminal.text
        terminal.press(b"\x03")
        assert await terminal.process.wait() == 130
        await until(lambda: "fastcoord: nodes: 3 (Stalwart)" in terminal.text)


async def test_raw_messages_are_dumped(config: str, server: LocalServer) -> None:
    event = fastcoord.InvalidateAccessTokens([105, 0x666F6F])
    payload = fastcoord.encode_batch([event], node_id=3, protocol="stalwart-0.15") + b"\xffend"
    async with on_terminal("listen", config, "--raw") as terminal, PlainPeer(server.url) as peer:
        await until(lambda: "stop it with Ctrl-C" in terminal.text)
        await peer.publish(payload)
        await until(lambda: "stopped: " in terminal.text)
        lines = terminal.lines
        at = next(i for i, line in enumerate(lines) if "node 3" in line)
        assert f"{len(payload)} bytes  no sequence header" in lines[at]
        assert lines[at + 1].split()[0] == "000000"
        assert payload.hex(" ")[:47] in lines[at + 1]
        assert "InvalidateAccessTokens account_ids=105,6713199" in terminal.text
        assert f"stopped: unknown tag 255 at byte {len(payload) - 4}" in terminal.text
        terminal.press(b"\x03")
        assert await terminal.process.wait() == 130


def frame(terminal: Terminal) -> list[str]:
    """Return the lines of the last table on the screen."""
    lines = terminal.lines
    starts = [index for index, line in enumerate(lines) if line.startswith("\u250f")]
    return lines[starts[-1] :] if starts else []


async def test_demo_follows_resize(tmp_path: Path) -> None:
    async with on_terminal("demo", "--seconds", "30", TMPDIR=str(tmp_path)) as terminal:
        await until(lambda: "publishing" in terminal.text)
        assert "from 3" in terminal.text
        terminal.resize(44, 24)

        # A frame that was drawn for the old width has lost its right border.
        await until(lambda: re.match(r"\u250f\S+\u2513(?s:.+)\u2518$", "\n".join(frame(terminal))))
        # The columns that do not fit are left out; the others are complete.
        narrow = "\n".join(frame(terminal))
        assert "publishing" in narrow
        assert "\N{HORIZONTAL ELLIPSIS}" not in narrow
        assert "from 3" not in narrow
        terminal.resize(100, 30)
        await until(lambda: "from 3" in terminal.text)
        terminal.press(b"\x03")
        assert await terminal.process.wait() == 130
        await until(lambda: terminal.is_clean)
        assert "Traceback" not in terminal.text
        assert os.listdir(tmp_path) == []


async def test_sums_fit_narrow_terminal(tmp_path: Path) -> None:
    words = ("demo", "--seconds", "0.5", "--rate", "100")
    async with on_terminal(*words, TMPDIR=str(tmp_path)) as terminal:
        terminal.resize(50, 200)
        assert await terminal.process.wait() == 0
        # The terminal wraps the lines.
        await until(lambda: "init" in terminal.text)
        assert "".join(terminal.screen.display).count("adds up") == 13
        assert "\N{HORIZONTAL ELLIPSIS}" not in terminal.text


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
        await until(lambda: terminal.is_clean)
        assert "Traceback" not in terminal.text


async def test_lost_connection_keeps_table(config: str, server: LocalServer) -> None:
    async with (
        joined(server, 2, cluster=HEARTBEAT),
        on_terminal("peers", config, "--watch") as terminal,
    ):
        await until(lambda: " up " in terminal.text)
        server.kill()
        await until(lambda: re.search(r"^node \d+: connection to .* lost", terminal.text, re.M))
        await until(lambda: re.search(r"^not connected since [\d:]{8}: ", terminal.text, re.M))
        await until(lambda: " unknown " in terminal.text)
        assert " up " not in terminal.text
        server.restart()
        await until(lambda: re.search(r"^node \d+: connected to ", terminal.text, re.M))
        await until(lambda: "not connected since" not in terminal.text)
        await until(lambda: frame(terminal)[-1:] and frame(terminal)[-1].endswith("\u2518"))
        assert terminal.text.count("round trip") == 1
        terminal.press(b"\x03")
        assert await terminal.process.wait() == 130
        await until(lambda: terminal.is_clean)


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
        await until(lambda: terminal.is_clean)
        assert "Traceback" not in terminal.text


async def test_publish_asks_for_typed_events(config: str) -> None:
    async with on_terminal("publish", config) as terminal:
        await until(lambda: "type events as JSON lines, then Ctrl-D" in terminal.text)
        terminal.press(b'{"type": "ReloadSettings"}\n\x04')
        assert await terminal.process.wait() == 0
        await until(lambda: "has confirmed 1 event" in terminal.text)


async def test_decode_asks_for_typed_payload() -> None:
    async with on_terminal("decode") as terminal:
        await until(lambda: "type the payload, then Ctrl-D" in terminal.text)
        terminal.press(b"03002a0107\n\x04")
        assert await terminal.process.wait() == 0
        await until(lambda: "StateChange account_id=7" in terminal.text)


async def test_peers_prints_that_it_waits(config: str) -> None:
    async with on_terminal("peers", config, "--wait", "0.1") as terminal:
        assert await terminal.process.wait() == 0
        await until(lambda: "fastcoord: waiting 0.1 s for nodes" in terminal.text)
