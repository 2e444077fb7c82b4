"""The tests of the price service: python -m pytest test_prices.py"""

import asyncio

import pytest
from prices import open_prices

import fastcoord


@pytest.fixture(params=["fastcoord_bus", "fastcoord_server"])
def server(request):
    """A bus in memory for one half of the tests, and a nats-server for the other half."""
    return request.getfixturevalue(request.param)


async def until(condition):
    """Wait for a condition."""
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.01)


# --------------------------------------------------------- on the bus and on a real server


async def test_write_is_seen_everywhere(server):
    database = {"tea": 1.5}
    async with open_prices(database) as one, open_prices(database) as two:
        assert await two.read("tea") == 1.5
        await one.write("tea", 2.5)
        await one.node.flush(peers=True)
        assert await two.read("tea") == 2.5


async def test_second_read_is_cached(server):
    async with open_prices({"tea": 1.5}) as prices:
        for _ in range(3):
            await prices.read("tea")
        stats = prices.cache.stats()
        assert (stats.loads, stats.hits) == (1, 2)


async def test_outage_serves_database(server):
    database = {"tea": 1.5}
    async with open_prices(database) as prices:
        assert await prices.read("tea") == 1.5
        server.kill()
        await until(lambda: not prices.node.is_connected)
        database["tea"] = 2.5
        assert await prices.read("tea") == 2.5
        server.start()
        await until(lambda: prices.node.is_connected)
        assert await prices.read("tea") == 2.5


async def test_write_during_outage_arrives(server):
    database = {"tea": 1.5}
    async with open_prices(database) as one, open_prices(database) as two:
        server.kill()
        await until(lambda: not one.node.is_connected and not two.node.is_connected)
        await one.write("tea", 2.5)
        server.start()
        await until(lambda: one.node.is_connected and two.node.is_connected)
        await one.node.flush(peers=True)
        assert await two.read("tea") == 2.5


async def test_worker_ends_with_goodbye(server):
    kinds = [fastcoord.PeerDown]
    async with open_prices({}) as one, one.node.subscribe(kinds=kinds) as events:
        async with open_prices({}) as two:
            ended = two.node.node_id
        assert await anext(aiter(events)) == fastcoord.PeerDown(ended, goodbye=True)


# ----------------------------------------------------------------- what only the bus can do


async def test_lost_event_is_noticed(fastcoord_bus):
    database = {"tea": 1.5}
    async with open_prices(database) as one, open_prices(database) as two:
        await two.read("tea")
        fastcoord_bus.lose(two.node)
        await one.write("tea", 2.5)
        # The next heartbeat tells how many events there were.
        await fastcoord_bus.clock.advance(5)
        assert await two.read("tea") == 2.5


async def test_cut_worker_is_not_stale(fastcoord_bus):
    database = {"tea": 1.5}
    async with open_prices(database) as one, open_prices(database) as two:
        await two.read("tea")
        fastcoord_bus.cut(two.node)
        await fastcoord_bus.clock.advance(1)
        await one.write("tea", 2.5)
        assert await two.read("tea") == 2.5


async def test_killed_worker_is_reported(fastcoord_bus):
    async with (
        open_prices({}) as one,
        open_prices({}) as two,
        one.node.subscribe(kinds=[fastcoord.PeerDown]) as events,
    ):
        fastcoord_bus.kill_node(two.node)
        received = aiter(events)
        # Nobody knows whether the killed worker had sent everything.
        assert await anext(received) == fastcoord.Missed(two.node.node_id, None, "gap")
        assert await anext(received) == fastcoord.PeerDown(two.node.node_id, goodbye=False)
