"""Prices in a database, cached in every worker, with the tests of this service in test_prices.py.

FASTCOORD_SERVERS=nats://127.0.0.1:4222 python prices.py
"""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager

import msgspec

import fastcoord
from fastcoord.cache import Cache


@fastcoord.event(kind=1)
class PriceChanged(msgspec.Struct, frozen=True):
    product: str


def keys_of(event: PriceChanged) -> Iterable[str]:
    return [event.product]


class Prices:
    """The prices that one worker serves."""

    def __init__(self, node: fastcoord.Node, database: dict[str, float]) -> None:
        self.node = node
        self.database = database
        self.cache = Cache(node, self.load, keys=keys_of, kinds=[PriceChanged])

    async def load(self, product: str) -> float:
        return self.database[product]

    async def read(self, product: str) -> float:
        return await self.cache.get(product)

    async def write(self, product: str, price: float) -> None:
        # First write, then publish: an event before the write would let others load the old price.
        self.database[product] = price
        await self.cache.publish(PriceChanged(product))


@asynccontextmanager
async def open_prices(database: dict[str, float]) -> AsyncIterator[Prices]:
    async with fastcoord.connect(node_id="auto", protocol="fastcoord-1") as node:
        prices = Prices(node, database)
        async with prices.cache:
            yield prices


async def main() -> None:
    database = {"tea": 1.5}
    async with open_prices(database) as one, open_prices(database) as two:
        print("tea:", await two.read("tea"))
        await one.write("tea", 2.5)
        await one.node.flush(peers=True)
        print("tea:", await two.read("tea"))


if __name__ == "__main__":
    asyncio.run(main())
