"""A service whose instances read their settings again when one of them is told to.

FASTCOORD_SERVERS=nats://127.0.0.1:4222 python app.py 1 settings.json 8080
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from aiohttp import web

import fastcoord
from fastcoord import Missed, Node, ReloadSettings

NODE = web.AppKey("NODE", Node)
SETTINGS = web.AppKey("SETTINGS", dict[str, Any])
FILE = web.AppKey("FILE", Path)


def read_settings(app: web.Application) -> None:
    app[SETTINGS].clear()
    app[SETTINGS].update(json.loads(app[FILE].read_text("utf-8")))


async def follow(app: web.Application, events: fastcoord.Subscription) -> None:
    async for event in events:
        match event:
            # A missing event may have been a ReloadSettings.
            case ReloadSettings() | Missed():
                read_settings(app)


def member(node_id: int) -> Any:
    async def on_bus(app: web.Application) -> AsyncIterator[None]:
        async with fastcoord.connect(node_id=node_id) as node, node.subscribe() as events:
            app[NODE] = node
            read_settings(app)
            follower = asyncio.create_task(follow(app, events))
            yield
            # The subscription ends, and with it the task.
            events.close()
            await follower

    return on_bus


async def show(request: web.Request) -> web.Response:
    return web.json_response(request.app[SETTINGS])


async def reload(request: web.Request) -> web.Response:
    read_settings(request.app)
    node = request.app[NODE]
    await node.publish(ReloadSettings())
    await node.flush()
    return web.json_response({"informed": len(node.peers())})


def main(node_id: str, path: str, port: str) -> None:
    app = web.Application()
    app[SETTINGS] = {}
    app[FILE] = Path(path)
    app.cleanup_ctx.append(member(int(node_id)))
    app.add_routes([web.get("/", show), web.post("/reload", reload)])
    web.run_app(app, host="127.0.0.1", port=int(port))


if __name__ == "__main__":
    main(*sys.argv[1:])
