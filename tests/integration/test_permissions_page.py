"""The permissions of docs/permissions.md, pasted into the configuration of a real server."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import fastcoord
from fastcoord import ReloadBlockedIps
from fastcoord.server import LocalServer
from support.cluster.plain_peer import PlainPeer
from support.processes.command import start
from support.processes.forked_command import run_command
from support.wait import until

PAGE = (Path(__file__).parents[2] / "docs" / "permissions.md").read_text("utf-8")
(CONFIG,) = re.findall(r"```\n(authorization .*?)```", PAGE, re.DOTALL)


@pytest.fixture
def server() -> Iterator[LocalServer]:
    with LocalServer(extra_config=CONFIG) as running:
        yield running


def url(server: LocalServer, user: str) -> str:
    return f"nats://{user}:change-me@127.0.0.1:{server.port}"


async def test_documented_rights_are_enough(tmp_path: Path, server: LocalServer) -> None:
    check = await run_command("check", "--connect", url(server, "node"))
    assert check.code == 0, check.out + check.err
    assert " warning " not in check.out
    async with (
        fastcoord.connect(url(server, "node"), node_id=1) as first,
        fastcoord.connect(url(server, "node"), node_id=2) as second,
        PlainPeer(url(server, "stalwart")) as stalwart,
        first.subscribe() as events,
    ):
        await second.publish(ReloadBlockedIps())
        await second.flush()
        assert await anext(aiter(events)) == ReloadBlockedIps()
        payload = fastcoord.encode_batch([ReloadBlockedIps()], node_id=3, protocol="stalwart-0.15")
        await stalwart.publish(payload)
        assert await anext(aiter(events)) == ReloadBlockedIps()
        await until(lambda: {peer.node_id for peer in first.peers()} == {2, 3})
        assert await first.ping(2) > 0
        assert await second.flush(peers=True) == {1}
        assert first.health()


async def test_observer_reads_only(tmp_path: Path, server: LocalServer) -> None:
    with pytest.raises(fastcoord.PermissionDenied, match="does not permit this user to"):
        await fastcoord.connect(url(server, "observer"))
    joining = await run_command("listen", url(server, "observer"))
    assert joining.code == 1
    assert joining.err.endswith("; --raw needs only the right to subscribe to stwt.agora\n")
    anonymous = await run_command("check", "--connect", f"nats://127.0.0.1:{server.port}")
    assert anonymous.err.count("user and password, or credentials") == 1
    async with (
        start("listen", "--raw", url(server, "observer"), directory=tmp_path) as listener,
        fastcoord.connect(url(server, "node"), node_id=1) as node,
    ):
        await listener.prints("raw messages on stwt.agora")
        await node.publish(ReloadBlockedIps())
        await until(lambda: "ReloadBlockedIps" in listener.out)
