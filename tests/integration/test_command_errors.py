"""Each command that connects, with servers and rights that it cannot work with."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import fastcoord
from fastcoord.server import LocalServer
from support.cluster.nodes import joined, node_toml
from support.cluster.plain_peer import PlainPeer
from support.processes.command import start
from support.processes.forked_command import run_command
from support.servers.certificates import Certificates
from support.servers.unusable import unused_address
from support.wait import until

COMMANDS = {
    "check": ("check", "--connect"),
    "listen": ("listen",),
    "raw": ("listen", "--raw"),
    "peers": ("peers", "--wait", "0.1"),
    "watch": ("peers", "--watch"),
    "publish": ("publish",),
    "stream": ("stream", "info"),
}
SECRET = "correct-horse"
LOGIN = {"user": "a", "password": SECRET}


def with_rights(rights: str) -> dict[str, Any]:
    user = f'user: "a", password: "{SECRET}", permissions: {{{rights}}}'
    return {"extra_config": f"authorization {{ users: [{{{user}}}] }}"}


@contextmanager
def faulty(fault: str, certificates: Certificates) -> Iterator[tuple[Any, dict[str, Any], str]]:
    """Start a server with a fault.

    :return: the server, the settings of a node, and a part of the error.
    """
    trusting = {"tls": {"enable": True, "ca_file": certificates.ca}}
    if fault == "dead":
        yield unused_address(), LOGIN, "Connection refused"
        return
    options, settings, reason = {
        "password": (
            {"users": {"a": "other"}},
            LOGIN,
            "the server refused the credentials",
        ),
        "no-tls": ({}, {**LOGIN, **trusting}, "the server does not offer TLS"),
        "authority": (
            {"tls": certificates.server.tls()},
            {"tls": {"enable": True, "ca_file": certificates.wrong_ca}},
            "from an unknown authority",
        ),
        "expired": ({"tls": certificates.expired.tls()}, trusting, "has expired"),
        "host": ({"tls": certificates.wrong_host.tls()}, trusting, "is not valid for"),
        "publish": (
            with_rights('publish: {deny: ["stwt.agora"]}'),
            LOGIN,
            "does not permit this user to publish on stwt.agora:",
        ),
        "ask": (
            with_rights('publish: {deny: ["stwt.agora.fastcoord"]}'),
            LOGIN,
            "does not permit this user to publish on stwt.agora.fastcoord:",
        ),
        "subscribe": (
            with_rights('subscribe: {deny: ["stwt.agora"]}'),
            LOGIN,
            "does not permit this user to subscribe to stwt.agora:",
        ),
    }[fault]
    with LocalServer(**options) as server:
        yield server, settings, reason


# An observer and an administrator do not publish events. An administrator does not subscribe.
WORKING = {"publish": {"raw", "stream"}, "ask": {"raw", "stream"}, "subscribe": {"stream"}}


@pytest.mark.parametrize(
    "fault",
    [
        "dead",
        "password",
        "no-tls",
        "authority",
        "expired",
        "host",
        "publish",
        "ask",
        "subscribe",
    ],
)
async def test_each_command_names_its_problem(
    tmp_path: Path, certificates: Certificates, fault: str
) -> None:
    with faulty(fault, certificates) as (server, settings, reason):
        file = tmp_path / "node.toml"
        file.write_text(node_toml(server, **settings, cluster={"stream": "AGORA"}))
        plain = tmp_path / "plain.toml"
        plain.write_text(node_toml(server, **settings))

        async def fail(name: str) -> str:
            config = file if name == "stream" else plain
            event = ("ReloadSettings",) if name == "publish" else ()
            command = await run_command(*COMMANDS[name], str(config), *event)
            # Log lines may stand before the reason.
            *_, last = command.err.splitlines()
            is_named = last.startswith("fastcoord: ") and reason in last
            is_silent = command.out == "" or name == "check"
            is_safe = SECRET not in command.out + command.err
            fine = command.code == 1 and is_named and is_silent and is_safe
            return "" if fine else f"{name}: {command}"

        # How a certificate is refused does not depend on the command.
        names = {"check", "listen"} if fault in ("expired", "host") else set(COMMANDS)
        failing = sorted(names - WORKING.get(fault, set()))
        wrong = await asyncio.gather(*map(fail, failing))
        assert list(filter(None, wrong)) == []


async def test_check_warns_before_expiry(tmp_path: Path, certificates: Certificates) -> None:
    config = tmp_path / "node.toml"
    with LocalServer(tls=certificates.expiring.tls()) as server:
        config.write_text(node_toml(server, tls={"enable": True, "ca_file": certificates.ca}))
        check = await run_command("check", "--connect", str(config))
        assert check.code == 0, check.err
    (line,) = [line for line in check.out.splitlines() if line.startswith("  tls  ")]
    assert line.split()[1] == "warning"
    assert "expires in 5 days" in line


async def test_garbage_stops_no_command(tmp_path: Path, server: LocalServer) -> None:
    file = tmp_path / "node.toml"
    file.write_text(node_toml(server, cluster={"heartbeat": "1s"}))
    config = str(file)
    event = fastcoord.encode_batch(
        [fastcoord.ReloadSettings()], node_id=3, protocol="stalwart-0.15"
    )
    garbage = (b"", b"\xff" * 50, b"GET / HTTP/1.1\r\n\r\n", event + b"\xff")
    async with (
        PlainPeer(server.url) as other,
        start("listen", config, directory=tmp_path) as listener,
        start("peers", config, "--watch", "--json", directory=tmp_path) as watch,
    ):
        await listener.prints("listens on")
        await until(lambda: watch.out)

        async def send_garbage() -> None:
            while True:
                await other.publish(*garbage)
                await other.publish(*garbage, header={"F": "nonsense"})
                await asyncio.sleep(0.1)

        sending = asyncio.create_task(send_garbage())
        commands = {
            "check": ("check", "--connect", config),
            "peers": ("peers", config, "--wait", "1", "--json"),
            "publish": ("publish", config, "ReloadBlockedIps", "--peers"),
        }

        async def survive(name: str) -> None:
            command = await run_command(*commands[name])
            assert command.code == 0, (name, command.err)
            assert "Traceback" not in command.err
            if name == "peers":
                rows = [json.loads(line) for line in command.out.splitlines()]
                assert any(row["node_id"] == 3 and row["is_up"] is None for row in rows)

        await asyncio.gather(*map(survive, commands))
        await until(lambda: "ReloadBlockedIps" in listener.out)
        sending.cancel()
        listener.process.terminate()
        watch.process.terminate()
        assert (await listener.wait(), await watch.wait()) == (143, 143)
    lines = [json.loads(line) for line in listener.out.splitlines()]
    assert any(line["type"] == "Missed" and line["cause"] == "undecodable" for line in lines)
    assert "an unknown number missed" in listener.err
    assert "Traceback" not in listener.err + watch.err


async def test_drawn_node_id_is_free(
    tmp_path: Path, server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "node.toml"
    file.write_text(node_toml(server))
    drawn = iter((20_000, 20_000, 20_001))
    monkeypatch.setattr("fastcoord._session.session.draw", lambda known: next(drawn))
    monkeypatch.setattr("fastcoord.presence.own_id.draw", lambda known: next(drawn))
    from fastcoord.cli.publish import _publish

    config = fastcoord.load_config(file)
    async with joined(server, 20_000) as node, node.subscribe() as events:
        event = fastcoord.ReloadSettings()
        assert await _publish(config, "auto", event, False, False) == 0
        (batch,) = [await anext(aiter(events.batches()))]
        assert batch.node_id == 20_001
