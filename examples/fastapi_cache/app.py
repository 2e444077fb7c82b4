"""Prices in SQLite, cached in every worker, and never stale in one that knows better.

FASTCOORD_SERVERS=nats://127.0.0.1:4222 PRICES=prices.sqlite uvicorn app:app --workers 4
"""

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, closing
from typing import Any

import msgspec
from fastapi import FastAPI, HTTPException, Request

import fastcoord
from fastcoord.cache import Cache

DATABASE = os.environ.get("PRICES", "prices.sqlite")


@fastcoord.event(kind=1)
class PriceChanged(msgspec.Struct, frozen=True):
    product: str


def query(sql: str, *values: Any) -> list[Any]:
    with closing(sqlite3.connect(DATABASE, timeout=30)) as database, database:
        return database.execute(sql, values).fetchall()


async def load_price(product: str) -> float | None:
    rows = await asyncio.to_thread(query, "SELECT price FROM prices WHERE product = ?", product)
    return rows[0][0] if rows else None


def keys_of(event: PriceChanged) -> Iterable[str]:
    return [event.product]


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    query("CREATE TABLE IF NOT EXISTS prices (product TEXT PRIMARY KEY, price REAL)")
    async with (
        fastcoord.connect(node_id="auto", protocol="fastcoord-1") as node,
        Cache(node, load_price, keys=keys_of, kinds=[PriceChanged], max_size=1_000) as prices,
    ):
        app.state.node = node
        app.state.prices = prices
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/prices/{product}")
async def read_price(product: str, request: Request) -> dict[str, Any]:
    state = request.app.state
    price = await state.prices.get(product)
    if price is None:
        raise HTTPException(404, f"no price of {product}")
    return {"price": price, "worker": state.node.node_id, "hits": state.prices.stats().hits}


@app.put("/prices/{product}")
async def write_price(product: str, price: float, request: Request) -> dict[str, Any]:
    state = request.app.state
    # First commit, then publish: an event before the commit would let others load the old price.
    await asyncio.to_thread(query, "INSERT OR REPLACE INTO prices VALUES (?, ?)", product, price)
    await state.prices.publish(PriceChanged(product))
    return {"worker": state.node.node_id}
