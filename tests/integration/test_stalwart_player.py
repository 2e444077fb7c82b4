"""The client that plays Stalwart loses what the real one loses, and nothing else."""

import pytest

import fastcoord
from fastcoord.server import LocalServer
from support.cluster.plain_peer import PlainPeer
from support.cluster.stalwart_player import StalwartPlayer, stalwart_process
from support.inputs.vectors import VECTORS
from support.wait import until


def batch(count: int, protocol: str = "stalwart-0.15") -> bytes:
    events = [fastcoord.StateChange(account_id=7, change_id=n, types=1) for n in range(count)]
    return fastcoord.encode_batch(events, node_id=5, protocol=protocol)


@pytest.mark.parametrize("protocol", ["stalwart-0.15", "stalwart-0.16"])
async def test_player_publishes_stalwart_batches(server: LocalServer, protocol: str) -> None:
    vectors = [each for each in VECTORS if each.name.startswith(protocol) and each.events]
    cluster = f'protocol = "{protocol}"\nnode-id = 64999'
    text = f'[store.n]\ntype = "nats"\naddress = "{server.url}"\n[cluster]\ncoordinator = "n"\n'
    async with (
        fastcoord.connect(fastcoord.parse_config(text + cluster)) as node,
        StalwartPlayer(server.url, protocol=protocol) as stalwart,
    ):
        await stalwart.publish(*(vector.payload for vector in vectors))
        expected = sum(len(vector.events) for vector in vectors)
        await until(lambda: node.stats().received == expected)


async def test_keeping_player_receives_everything(server: LocalServer) -> None:
    async with (
        StalwartPlayer(server.url, protocol="stalwart-0.16") as stalwart,
        PlainPeer(server.url) as peer,
    ):
        payload = batch(10, "stalwart-0.16")
        await peer.publish(*[payload] * 500)
        await until(lambda: stalwart.events == 5000)
        assert stalwart.payloads == [payload] * 500
        assert stalwart.dropped == 0


async def test_renewing_player_loses_messages(server: LocalServer) -> None:
    async with StalwartPlayer(server.url) as stalwart, PlainPeer(server.url) as peer:
        await peer.publish(*[batch(1)] * 200)
        await until(lambda: stalwart.payloads)
        # Everything was sent before the first message was processed, and it subscribes afterwards.
        await until(lambda: stalwart.dropped)

        async def is_received() -> bool:
            await stalwart.subscribed()
            # What arrives while the player subscribes anew is lost to it.
            await peer.publish(batch(3))
            return stalwart.payloads[-1] == batch(3)

        await until(is_received)
        assert len(stalwart.payloads) < 100


async def test_player_runs_in_own_process(server: LocalServer) -> None:
    async with stalwart_process(server.url) as stalwart, PlainPeer(server.url) as peer:
        await stalwart.publish(batch(2))
        await until(lambda: peer.payloads == [batch(2)])
        for count in (1, 2, 3):

            async def is_received(count: int = count) -> bool:
                # What arrives while the player subscribes anew is lost to it.
                await peer.publish(batch(count))
                return batch(count) in (await stalwart.report())["payloads"]

            await until(is_received)
        report = await stalwart.report()
    sent = {batch(count): count for count in (1, 2, 3)}
    sizes = [sent[payload] for payload in report["payloads"]]
    assert set(sizes) == {1, 2, 3}
    assert (report["messages"], report["events"]) == (len(sizes), sum(sizes))
