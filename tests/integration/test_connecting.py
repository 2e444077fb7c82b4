"""Failed connects: each raises one clear error in time and leaves no task or socket."""

import asyncio
import re
import socket
import threading
from pathlib import Path
from typing import Any

import pytest

import fastcoord
from fastcoord import (
    AuthenticationFailed,
    ConfigError,
    ConnectError,
    ConnectTimeout,
    ReloadBlockedIps,
)
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, collect
from support.cluster.nodes import node_toml
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.servers.unusable import Address, listening, open_sockets, refused, unused_address
from support.wait import until

SHORT: dict[str, Any] = {"timeout": {"connection": "2s"}}


@pytest.fixture
def unused() -> Address:
    """An address at which no server listens."""
    return unused_address()


# -------------------------------------------------------------------------------- missing servers


async def test_missing_server_is_named(unused: Address) -> None:
    text, error, _ = await refused(unused)
    assert type(error) is ConnectError
    assert isinstance(error, ConnectionError)
    assert text.endswith(f"{unused.name}: Connection refused")
    assert "check that the server runs there and that address is right" in text


async def test_error_lists_each_address(unused: Address, shared_server: LocalServer) -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    with LocalServer(users={"node": "right"}) as locked:
        async with listening(silent) as mute:
            text, error, _ = await refused(
                [unused, mute, locked], user="node", password="wrong", **SHORT
            )
    assert type(error) is ConnectError
    reasons = dict(re.findall(r"(127\.0\.0\.1:\d+): ([^;]+)", text))
    assert set(reasons) == {unused.name, mute.name, f"127.0.0.1:{locked.port}"}
    assert reasons[unused.name] == "Connection refused"
    assert "no answer within 2 s (timeout.connection)" in reasons[mute.name]
    assert "credentials" in reasons[f"127.0.0.1:{locked.port}"]
    assert "wrong" not in text


async def test_connect_skips_dead_address(unused: Address, shared_server: LocalServer) -> None:
    for _ in range(4):  # addresses are tried in random order
        async with accounted([unused, shared_server], 1) as node:
            assert node.stats().server == f"127.0.0.1:{shared_server.port}"


async def test_unresolved_name_is_reported(unused: Address) -> None:
    text, _, _ = await refused(unused, address="nobody.invalid:4222")
    assert "nobody.invalid:4222: " in text
    port = unused.name.rpartition(":")[2]
    text, _, _ = await refused(unused, address=f"localhost:{port}")
    assert f"localhost:{port}: " in text
    assert "Connection refused" in text
    assert "Errno" not in text


async def test_silent_name_server_is_named(
    unused: Address, monkeypatch: pytest.MonkeyPatch
) -> None:
    answered = threading.Event()
    resolve = socket.getaddrinfo

    def wait(host: str, *arguments: Any, flags: int = 0, **options: Any) -> Any:
        if host == "slow.example" and not flags & socket.AI_NUMERICHOST:
            answered.wait()
            raise socket.gaierror(socket.EAI_AGAIN, "no name server answers")
        return resolve(host, *arguments, flags=flags, **options)

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    try:
        text, error, _ = await refused(
            unused, address="slow.example:4222", timeout={"connection": "100ms"}
        )
    finally:
        answered.set()
    assert isinstance(error, ConnectTimeout)
    assert "(timeout.connection) to the query for the host name: check the name servers" in text


# ---------------------------------------------------------------------------------- not let in


@pytest.mark.parametrize(
    "settings",
    [{"user": "node", "password": "wrong"}, {"user": "nobody", "password": "right"}, {}],
    ids=["wrong password", "wrong user", "no password"],
)
async def test_refused_credentials_give_advice(settings: dict[str, Any]) -> None:
    with LocalServer(users={"node": "right"}) as server:
        text, error, _ = await refused(server, **settings)
    assert isinstance(error, AuthenticationFailed)
    assert isinstance(error, PermissionError)
    assert "check user, password and credentials" in text
    assert "wrong" not in text


async def test_config_error_lists_all_problems(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(
        '[cluster]\ncoordinator = "nats"\nnode-id = 65536\n\n'
        '[store."nats"]\ntype = "nats"\nadress = "localhost"\nping-interval = "0s"\n'
    )
    with pytest.raises(ConfigError) as caught:
        fastcoord.connect(file)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(caught.value.problems) == 4
    assert all(str(file) in line for line in lines)
    assert any(":3: cluster.node-id" in line and "65535" in line for line in lines)
    assert any(":7: " in line and "adress" in line and "address" in line for line in lines)
    assert any(":8: " in line and "ping-interval" in line for line in lines)
    file.write_text('[store."nats"\n')
    with pytest.raises(ConfigError, match=re.escape(f"{file}:1")):
        fastcoord.connect(file)
    with pytest.raises(ConfigError, match="no such file"):
        fastcoord.connect(tmp_path / "other.toml")


# ----------------------------------------------------------------------------------- being there


async def test_connect_waits_for_subscription(
    shared_server: LocalServer, cluster: dict[str, Any]
) -> None:
    async with (
        Proxy(shared_server.host, shared_server.port) as proxy,
        accounted(shared_server, 1, cluster=cluster) as sender,
    ):
        may_subscribe = asyncio.Event()
        is_subscribing = asyncio.Event()

        async def hold(frame: Frame) -> Frame:
            if frame.verb == "SUB":
                is_subscribing.set()
                await may_subscribe.wait()
            return frame

        proxy.to_server.filter = hold

        async def join() -> list[Any]:
            async with accounted(proxy, 2, cluster=cluster) as receiver:
                events = receiver.subscribe()
                await sender.publish(ReloadBlockedIps())
                return await collect(events, 1)

        joining = asyncio.create_task(join())
        await is_subscribing.wait()
        await sender.flush()
        assert not joining.done()
        assert sender.stats().accepted == 0, "connect returned before the server subscribed"
        may_subscribe.set()
        assert await joining == [ReloadBlockedIps()]


async def test_cancelled_connect_closes_sockets(shared_server: LocalServer) -> None:
    sockets = open_sockets()
    async with Proxy(shared_server.host, shared_server.port) as proxy:
        config = fastcoord.parse_config(node_toml(proxy))
        for verb in ("CONNECT", "PING", "SUB"):
            reached, over = asyncio.Event(), asyncio.Event()

            async def hold(
                frame: Frame, verb: str = verb, reached: Any = reached, over: Any = over
            ) -> Frame:
                if frame.verb == verb:
                    reached.set()
                    await over.wait()
                return frame

            proxy.to_server.filter = hold
            connecting = asyncio.ensure_future(fastcoord.connect(config))
            await reached.wait()
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            over.set()
            await until(lambda: proxy.connections == 0)
    await until(lambda: open_sockets() <= sockets)


# ---------------------------------------------------------------------------- without a file


async def test_url_with_login_connects() -> None:
    with LocalServer(users={"us@er": "p,w"}) as server:
        url = f"nats://us%40er:p%2Cw@127.0.0.1:{server.port}"
        async with fastcoord.connect(url, node_id=7, heartbeat="5s") as node:
            assert (node.node_id, node.config.cluster.heartbeat) == (7, 5.0)
            await node.publish(ReloadBlockedIps())
            await node.flush()


async def test_environment_connects(
    shared_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FASTCOORD_SERVERS", f"127.0.0.1:{shared_server.port}")
    monkeypatch.setenv("FASTCOORD_NODE_ID", "9")
    async with fastcoord.connect(subject="test.environment") as node:
        assert node.node_id == 9
