"""``fastcoord listen`` and ``fastcoord check --connect`` against real servers."""

import asyncio
import json
import re
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import fastcoord
from fastcoord.nats.probe import Finding, probe
from fastcoord.server import LocalServer
from support.cluster.nodes import joined, node_toml
from support.cluster.plain_peer import PlainPeer
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.processes.command import start
from support.processes.forked_command import run_command
from support.servers.certificates import Certificates
from support.servers.unusable import listening, unused_address
from support.servers.users import Operator
from support.wait import until

# ---------------------------------------------------------------------------------- listening


async def test_listen_prints_json_lines(tmp_path: Path, server: LocalServer) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server, cluster={"node_id": 9, "heartbeat": "5s"}))
    events = [
        fastcoord.StateChange(account_id=7, change_id=42, types=1),
        fastcoord.ReloadBlockedIps(),
        fastcoord.InvalidateAccessTokens([1, 2]),
    ]
    async with start("listen", str(config), directory=tmp_path) as listener:
        await listener.prints("listens on stwt.agora")
        # The node id of the file may belong to a running node.
        assert "node 9 listens" not in listener.err
        async with joined(server, 2, cluster={"heartbeat": "5s"}) as node:
            await node.publish(*events)
            await node.flush()
            await until(lambda: listener.out.count("\n") >= 4)
        await until(lambda: "PeerDown" in listener.out)
        listener.process.send_signal(signal.SIGINT)
        assert await listener.wait() == 130
    lines = [json.loads(line) for line in listener.out.splitlines()]
    assert all(line.pop("received_at") > 1_700_000_000 for line in lines)
    assert all(line.pop("node_id") == 2 for line in lines)
    assert lines[0] == {"type": "PeerUp"}
    assert lines[1:4] == [fastcoord.to_builtins(event) for event in events]
    assert lines[-1] == {"type": "PeerDown", "goodbye": True}


async def test_listen_filters_by_kind(tmp_path: Path, server: LocalServer) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server))
    words = ("listen", str(config), "--node-id", "77", "--kind", "ReloadBlockedIps,EmailPush")
    async with start(*words, directory=tmp_path) as listener, PlainPeer(server.url) as peer:
        await listener.prints("node 77 listens")
        payload = fastcoord.encode_batch(
            [fastcoord.ReloadSettings(), fastcoord.ReloadBlockedIps()],
            node_id=3,
            protocol="stalwart-0.15",
        )
        await peer.publish(payload)
        await until(lambda: "ReloadBlockedIps" in listener.out)
        assert "ReloadSettings" not in listener.out


async def test_listen_reports_lost_connection(tmp_path: Path, server: LocalServer) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server, max_reconnects=0))
    async with start("listen", str(config), directory=tmp_path) as listener:
        await listener.prints("listens on")
        server.kill()
        assert await listener.wait() == 1
        assert listener.err.splitlines()[-1].startswith("fastcoord: ")
        assert "Traceback" not in listener.err


# ---------------------------------------------------------------------------------- checking


def findings(text: str) -> dict[str, list[str]]:
    """Return the states of each step of ``check --connect``."""
    found: dict[str, list[str]] = {}
    for step, state in re.findall(r"^  (\S.{14}) (ok|failed|warning|off) ", text, re.MULTILINE):
        found.setdefault(step.strip(), []).append(state)
    return found


async def test_check_tries_each_step(tmp_path: Path, server: LocalServer) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server))
    async with PlainPeer(server.url) as peer:
        async with start("check", "--connect", str(config), directory=tmp_path) as check:
            assert await check.wait() == 0, check.err
        assert findings(check.out) == {
            "dns": ["ok"],
            "tcp": ["ok"],
            "server": ["ok"],
            "tls": ["off"],
            "authentication": ["off"],
            "max payload": ["ok"],
            "round trip": ["ok"],
            "subscribe": ["ok", "ok", "ok"],
            "publish": ["ok", "ok"],
            "ask": ["ok"],
            "own messages": ["ok"],
            "join": ["ok"],
        }
        assert f"nats-server {server.varz()['version']}" in check.out
        await peer.flush()
        # A node joins and leaves, and publishes no event.
        for message in peer.messages:
            assert list(fastcoord.decode_batch(message.payload, protocol="stalwart-0.15")) == []
    assert check.err == ""


async def test_check_prints_json(tmp_path: Path, server: LocalServer) -> None:
    check = await run_command("check", "--connect", "--json", server.url)
    assert check.code == 0, check.err
    lines = [json.loads(line) for line in check.out.splitlines()]
    settings = {line["setting"]: line for line in lines if "setting" in line}
    assert settings['store."nats".address']["source"] == "the URL"
    found = {line["step"]: line for line in lines[len(settings) :]}
    assert found["max payload"]["value"] == 1024 * 1024
    assert found["round trip"]["value"] < 10
    assert found["dns"]["address"] == f"127.0.0.1:{server.port}"


async def test_check_tries_every_address(tmp_path: Path, server: LocalServer) -> None:
    dead = unused_address()
    url = f"nats://no-such-host.invalid,{dead.name},127.0.0.1:{server.port}"
    check = await run_command("check", "--connect", url)
    assert check.code == 1
    assert findings(check.out)["dns"] == ["failed", "ok", "ok"]
    assert findings(check.out)["tcp"] == ["failed", "ok"]
    assert findings(check.out)["join"] == ["ok"]
    first, second = check.err.splitlines()
    assert first.startswith("fastcoord: no-such-host.invalid:4222: dns: ")
    assert second.startswith(f"fastcoord: {dead.name}: tcp: ")


async def test_check_shows_certificate(tmp_path: Path, certificates: Certificates) -> None:
    config = tmp_path / "node.toml"
    with LocalServer(tls=certificates.server.tls()) as server:
        config.write_text(node_toml(server, tls={"enable": True, "ca_file": certificates.ca}))
        check = await run_command("check", "--connect", str(config))
        assert check.code == 0, check.err
    (line,) = [line for line in check.out.splitlines() if line.startswith("  tls  ")]
    assert re.search(r"TLSv1\.\d, certificate of .+, expires in \d+ days \(\d{4}-", line)


def limited(rights: str) -> str:
    """Return the configuration of a server for user a, whose permissions are limited."""
    user = f'{{user: "a", password: "b", permissions: {{{rights}}}}}'
    return f"authorization {{ users: [{user}] }}"


async def test_check_reports_each_right(tmp_path: Path) -> None:
    rights = 'publish: {deny: ["stwt.agora"]}, subscribe: {deny: ["stwt.agora.fastcoord.>"]}'
    with LocalServer(extra_config=limited(rights)) as server:
        url = f"nats://a:b@127.0.0.1:{server.port}"
        check = await run_command("check", "--connect", url)
        assert check.code == 1
    assert findings(check.out)["subscribe"] == ["ok", "ok", "warning"]
    assert "; without it, answers travel on the presence subject" in check.out
    assert findings(check.out)["publish"] == ["ok", "failed"]
    (line,) = check.err.splitlines()
    assert line.startswith(f"fastcoord: 127.0.0.1:{server.port}: publish: ")
    assert 'allow: ["stwt.agora"]' in line


CONSUMER = "$JS.API.CONSUMER"
STREAM_RIGHTS = (
    "stwt.agora",
    "stwt.agora.fastcoord",
    "$JS.API.STREAM.INFO.AGORA",
    f"{CONSUMER}.CREATE.AGORA.>",
    f"{CONSUMER}.MSG.NEXT.AGORA.>",
)


@pytest.mark.parametrize("other", ["nothing", "stwt.agora.fastcoord.>"])
async def test_check_reports_all_rights_at_once(tmp_path: Path, other: str) -> None:
    config = tmp_path / "node.toml"
    rights = f'publish: {{allow: ["{other}"]}}, subscribe: {{allow: ["nothing"]}}'
    with LocalServer(jetstream=True, extra_config=limited(rights)) as server:
        config.write_text(node_toml(server, user="a", password="b", cluster={"stream": "AGORA"}))
        check = await run_command("check", "--connect", str(config))
        assert check.code == 1
        text = config.read_text().replace('stream = "AGORA"', "")
        config.write_text(text)
        plain = await run_command("check", "--connect", str(config))
        assert plain.code == 1
    granted = re.findall(r'permissions: { (\w+: { allow: \["[^"]*"\] }) }', check.err)
    missing = [f'publish: {{ allow: ["{subject}"] }}' for subject in STREAM_RIGHTS]
    missing += [f'subscribe: {{ allow: ["{s}"] }}' for s in ("stwt.agora.fastcoord", "_INBOX.>")]
    assert sorted(granted) == sorted(missing)
    assert f'allow: ["{CONSUMER}.DELETE.AGORA.>"] }} }}; without it, the consumers' in check.out
    assert len(plain.err.splitlines()) == 4
    assert "join" not in findings(check.out)


async def test_check_needs_only_documented_rights(tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "streams.md").read_text("utf-8")
    (rights,) = re.findall(r"```\n(accounts .*?)```", page, re.DOTALL)
    config = tmp_path / "node.toml"
    with LocalServer(jetstream=True, extra_config=rights) as server:
        for user, words in (("operator", "stream create"), ("node", "check --connect")):
            login = {"user": user, "password": "change-me"}
            config.write_text(node_toml(server, **login, cluster={"stream": "AGORA"}))
            command = await run_command(*words.split(), str(config))
            assert command.code == 0, command.out + command.err
    assert findings(command.out)["stream"] == ["ok"]
    assert not {"failed", "warning"} & {
        state for states in findings(command.out).values() for state in states
    }


async def test_rights_are_tried_unnoticed(shared_server: LocalServer, cluster: Any) -> None:
    config = fastcoord.make_config(shared_server.url, subject=cluster["subject"])
    async with PlainPeer(shared_server.url, f"{cluster['subject']}.>") as presence:
        async with PlainPeer(shared_server.url, cluster["subject"]) as peer:
            found: list[Finding] = []
            assert await probe(config, config.nats.address[0], found.append)
            await peer.flush()
            assert peer.messages == []
        await presence.flush()
        # The message to the own subject, and a trace instead of each other message.
        assert len(presence.messages) == 3
    assert {each.state for each in found} == {"ok", "off"}


async def test_check_finds_used_node_id(server: LocalServer) -> None:
    async with joined(server, 77):
        for node_id, code in (("77", 1), ("78", 0)):
            check = await run_command("check", "--connect", server.url, "--node-id", node_id)
            assert check.code == code, check.err
            assert ("another running node uses node id 77" in check.err) == bool(code)


async def test_check_finds_echo(tmp_path: Path, server: LocalServer) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server, no_echo=False))
    check = await run_command("check", "--connect", str(config))
    assert check.code == 0, check.err
    assert "come back (no-echo = false)" in check.out


@pytest.mark.parametrize("no_echo", [True, False])
async def test_unexpected_echo_fails_check(
    tmp_path: Path, server: LocalServer, no_echo: bool
) -> None:
    def invert(frame: Frame) -> Frame:
        """Ask the server for the opposite of what the node asks for."""
        if frame.verb != "CONNECT":
            return frame
        given, other = (f'"echo": {str(value).lower()}' for value in (not no_echo, no_echo))
        assert given.encode() in frame.raw
        return replace(frame, raw=frame.raw.replace(given.encode(), other.encode()))

    config = tmp_path / "node.toml"
    async with Proxy(server.host, server.port) as proxy:
        proxy.to_server.filter = invert
        config.write_text(node_toml(proxy, no_echo=no_echo))
        check = await run_command("check", "--connect", str(config))
        assert check.code == 1, check.err
    assert findings(check.out)["own messages"] == ["failed"]
    come = "come" if no_echo else "do not come"
    assert f": own messages: {come} back (no-echo = {str(no_echo).lower()})" in check.err


@pytest.mark.parametrize("form", ["creds", "bearer"])
async def test_check_tries_credentials(tmp_path: Path, form: str) -> None:
    operator = Operator()
    config = tmp_path / "node.toml"
    with LocalServer(extra_config=operator.server_config) as server:
        (tmp_path / "user").write_text(operator.user() if form == "creds" else operator.bearer())
        config.write_text(node_toml(server, credentials="%{file:user}%"))
        check = await run_command("check", "--connect", str(config))
        assert check.code == 0, check.err
        (tmp_path / "user").write_text(operator.user(exp=int(time.time()) - 60))
        expired = await run_command("check", "--connect", str(config))
        assert expired.code == 1
    assert "  authentication  ok       credentials" in check.out.splitlines()
    assert findings(expired.out)["authentication"] == ["failed"]
    assert "check user and password, or credentials" in expired.err
    assert "eyJ" not in check.out + expired.out + expired.err


async def test_check_accepts_url(tmp_path: Path, server: LocalServer) -> None:
    check = await run_command("check", "--connect", server.url)
    assert check.code == 0, check.err
    assert "the URL" in check.out


@pytest.mark.parametrize(
    ("options", "settings", "reason"),
    [
        ({"users": {"a": "right"}}, {"user": "a", "password": "wrong"}, "check user and password"),
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
async def test_check_reports_connect_errors(
    tmp_path: Path, options: dict[str, Any], settings: dict[str, Any], reason: str
) -> None:
    config = tmp_path / "node.toml"
    with LocalServer(**options) as server:
        config.write_text(node_toml(server, **settings))
        check = await run_command("check", "--connect", str(config))
        assert check.code == 1
    assert reason in check.err
    assert all(line.startswith("fastcoord: ") for line in check.err.splitlines())
    assert "wrong" not in check.out + check.err


async def test_check_names_missing_server(tmp_path: Path, server: LocalServer) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server))
    server.kill()
    check = await run_command("check", "--connect", str(config))
    assert check.code == 1
    assert f"127.0.0.1:{server.port}" in check.err
    assert check.err.count("\n") == 1


async def test_check_ends_if_server_freezes(tmp_path: Path) -> None:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b'INFO {"version": "2.15.1", "max_payload": 1048576, "headers": true}\r\n')
        # The two PINGs of a handshake; the next one measures the round trip.
        answers = [b"PONG\r\n"] * 2
        while line := await reader.readline():
            if line == b"PING\r\n" and answers:
                writer.write(answers.pop())

    config = tmp_path / "node.toml"
    async with listening(serve) as server:
        config.write_text(node_toml(server, timeout={"request": "500ms"}))
        check = await run_command("check", "--connect", str(config))
        assert check.code == 1
    assert "no answer to PING within 0.5 s (timeout.request)" in check.err
    assert check.err.count("\n") == 1


async def test_peers_need_connection(tmp_path: Path, server: LocalServer) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server, cluster={"heartbeat": "100ms"}))
    for seconds in ("2", "8", "32"):
        async with start("peers", str(config), "--wait", seconds, directory=tmp_path) as peers:
            await until(lambda: server.varz()["in_msgs"] > 5, because="heartbeats arrive")
            server.kill()
            if await peers.wait() == 1:
                break
        # A busy machine has delayed the end of the server beyond that of the command.
        server.start()
    assert peers.process.returncode == 1
    assert peers.out == ""
    assert peers.err.endswith("it is not known which nodes are there\n")
