"""A plain NATS client that plays a Stalwart node, in this process or in one of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg

import fastcoord

SCRIPT = Path(__file__).parents[1] / "processes" / "stalwart_process.py"

TIMEOUT = 60
"""Seconds; long, because a busy machine may need some of them."""

WORK = 0.001
WORK_PER_EVENT = 15e-6
"""Seconds that Stalwart 0.15 works on a message before it subscribes again."""


class StalwartPlayer:
    """Publish batches as Stalwart encodes them, and count what arrives.

    As version 0.16 it keeps its subscription. As version 0.15 it works for some time after each
    message, unsubscribes, and subscribes again: messages that arrive meanwhile are lost to it.

    ::

        async with StalwartPlayer(server.url, protocol="stalwart-0.15") as stalwart:
            await stalwart.publish(payload)
            await until(lambda: stalwart.events == 10)

    :ivar payloads: the payload of each message that it has read.
    :ivar events: the number of events in them.
    :ivar dropped: the number of messages that reached this process and that it has not read. Those
        that the server has not sent, because there was no subscription, are not counted.
    :param url: the server's address, or several.
    :param protocol: ``stalwart-0.15`` subscribes after each message; others do not.
    :param subject: the subject to publish and subscribe.
    :param options: those of ``nats.connect``.
    """

    def __init__(
        self,
        url: str | list[str],
        *,
        protocol: str = "stalwart-0.15",
        subject: str = "stwt.agora",
        **options: Any,
    ) -> None:
        self.protocol = protocol
        self.subject = subject
        self.payloads: list[bytes] = []
        self.events = 0
        self.dropped = 0
        self._url = url
        self._options = {"no_echo": True, "reconnect_time_wait": 0.1, **options}
        self._options = {"max_reconnect_attempts": -1, **self._options}
        self._options = {"connect_timeout": TIMEOUT, **self._options}
        self._client = Client()
        self._reading: asyncio.Task[None] | None = None
        self._waits = asyncio.Event()

    async def publish(self, *payloads: bytes) -> None:
        """Publish each payload and wait until the server has received them."""
        for payload in payloads:
            await self._client.publish(self.subject, payload)
        await self.flush()

    async def flush(self) -> None:
        """Wait until the server has received all data sent before."""
        # The client sends the PING of its first flush before the pending data.
        await self._client.flush(TIMEOUT)
        await self._client.flush(TIMEOUT)

    async def subscribed(self) -> None:
        """Wait until the player has worked off its last message and is subscribed again."""
        await self._waits.wait()
        await self.flush()

    async def __aenter__(self) -> StalwartPlayer:
        await self._client.connect(self._url, **self._options)
        first = await self._client.subscribe(self.subject)
        await self.flush()
        read = self._read_and_renew if self.protocol == "stalwart-0.15" else self._read
        self._reading = asyncio.create_task(read(first))
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        assert self._reading is not None
        self._reading.cancel()
        await asyncio.wait({self._reading})
        await self._client.close()
        if not self._reading.cancelled():
            self._reading.result()

    async def _read(self, subscription: Any) -> None:
        self._waits.set()
        while True:
            self._keep(await subscription.next_msg(timeout=None))

    async def _read_and_renew(self, subscription: Any) -> None:
        while True:
            self._waits.set()
            count = self._keep(await subscription.next_msg(timeout=None))
            self._waits.clear()
            await asyncio.sleep(WORK + count * WORK_PER_EVENT)
            self.dropped += subscription.pending_msgs
            await subscription.unsubscribe()
            subscription = await self._client.subscribe(self.subject)

    def _keep(self, message: Msg) -> int:
        payload = bytes(message.data)
        self.payloads.append(payload)
        try:
            count = len(fastcoord.decode_batch(payload, protocol=self.protocol))
        except fastcoord.DecodeError as error:
            count = len(error.decoded)
        self.events += count
        return count


class StalwartProcess:
    """A player in its own process, whose time does not depend on the event loop of the test."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def publish(self, *payloads: bytes) -> None:
        """Publish each payload and wait until the server has received them."""
        await self._ask({"publish": [payload.hex() for payload in payloads]})

    async def report(self) -> dict[str, Any]:
        """Wait until the player is subscribed.

        :return: ``messages``, ``events``, ``dropped`` and ``payloads`` so far, and ``lag``: the
            longest time in seconds for which the process did not run.
        """
        report = await self._ask({})
        report["payloads"] = [bytes.fromhex(payload) for payload in report["payloads"]]
        report["messages"] = len(report["payloads"])
        return report

    async def _ask(self, request: dict[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        await self._process.stdin.drain()
        line = await asyncio.wait_for(self._process.stdout.readline(), 120)
        assert line, f"the player ended (exit code {await self._process.wait()})"
        answer: dict[str, Any] = json.loads(line)
        return answer


@contextlib.asynccontextmanager
async def stalwart_process(
    url: str, *, protocol: str = "stalwart-0.15", subject: str = "stwt.agora"
) -> AsyncIterator[StalwartProcess]:
    """Run a player in its own process; it is subscribed when this returns."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SCRIPT), url, protocol, subject),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=256 * 1024 * 1024,
    )
    try:
        player = StalwartProcess(process)
        await player.report()
        yield player
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
