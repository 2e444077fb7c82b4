"""Raise an exception at the entry of each function of a node, one at a time, and check a ledger.

Run as ``python tests/interrupts/run.py [--list] [--kind memory|keyboard] [NAME ...]``; NAME is a
function as ``--list`` prints it. A signal handler may raise at any call, and any call may lack
memory. What was under way must then be finished, repeated, or reported to the program: every event
that was accepted is received or reported as missing, and the node goes on working.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import fastcoord
from fastcoord import EmailPush, Missed, Node
from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml
from support.faults.proxy import Proxy
from support.wait import until

SOURCE = str(Path(fastcoord.__file__).parent)
KINDS: dict[str, type[BaseException]] = {"memory": MemoryError, "keyboard": KeyboardInterrupt}
NOT_OF_A_NODE = ("config", "server", "cli", "errors.py", "__init__.py", "_connect.py")
"""What runs before a node exists, or is no part of one."""


class Injector:
    """Record the functions of a node that are called, or raise at the entry of one of them.

    :param target: the function, as ``name`` gives it; ``None`` to record.
    :param kind: the exception.
    """

    def __init__(self, target: str | None, kind: type[BaseException]) -> None:
        self.target = target
        self.kind = kind
        self.seen: dict[str, None] = {}
        self.has_raised = False

    def start(self) -> None:
        sys.settrace(self._trace)

    def stop(self) -> None:
        sys.settrace(None)

    def _trace(self, frame: FrameType, event: str, argument: Any) -> Callable[..., Any] | None:
        if event != "call" or not is_of_a_node(frame.f_code):
            return None
        found = name(frame.f_code)
        self.seen[found] = None
        if found == self.target and not self.has_raised:
            self.has_raised = True
            # The interpreter ends tracing when a trace function raises.
            raise self.kind(f"injected into {found}")
        return None


def is_of_a_node(code: CodeType) -> bool:
    path = code.co_filename
    if not path.startswith(SOURCE) or code.co_name.startswith("<"):
        return False
    return not path[len(SOURCE) + 1 :].startswith(NOT_OF_A_NODE)


def name(code: CodeType) -> str:
    """Give a function's module and its line, which tell methods of one name apart."""
    module = code.co_filename[len(SOURCE) + 1 :].removesuffix(".py").replace("/", ".")
    return f"{module}:{code.co_name}:{code.co_firstlineno}"


class Ledger:
    """What one subscription received and reported."""

    def __init__(self) -> None:
        self.numbers: list[int] = []
        self.missed = 0
        self.is_unknown = False

    async def follow(self, events: fastcoord.Subscription) -> None:
        """Read a subscription; an exception that the iteration raises is reported, so read on."""
        iterator = aiter(events)
        while True:
            try:
                item = await anext(iterator)
            except (StopAsyncIteration, asyncio.CancelledError):
                return
            except (MemoryError, KeyboardInterrupt):
                self.is_unknown = True
                continue
            if isinstance(item, EmailPush):
                self.numbers.append(item.email_id)
            elif isinstance(item, Missed):
                self.missed += item.events or 0
                self.is_unknown |= item.events is None

    def check(self, accepted: int) -> None:
        assert self.numbers == sorted(set(self.numbers)), "out of order or twice"
        if not self.is_unknown:
            assert len(self.numbers) + self.missed == accepted, (
                f"{accepted} accepted, {len(self.numbers)} received, {self.missed} missed"
            )


async def reported(call: Callable[[], Any]) -> None:
    """Make a call of the program, which may be given the injected exception."""
    with contextlib.suppress(MemoryError, KeyboardInterrupt, fastcoord.FastcoordError):
        await call()


async def scenario(server: LocalServer, injector: Injector) -> None:
    """Publish, lose the connection, reconnect, publish again, and check the ledger."""
    cluster = {"protocol": "fastcoord-1", "heartbeat": "100ms", "subject": f"t.{id(injector)}"}
    timeout = {"connection": "1s", "request": "1s"}
    async with Proxy(server.host, server.port) as proxy:
        config = fastcoord.parse_config(node_toml(proxy, cluster=cluster, timeout=timeout))
        sender = await fastcoord.connect(config, node_id=1)
        hearer = await fastcoord.connect(config, node_id=2)
        ledgers = [Ledger(), Ledger()]
        followers = [asyncio.ensure_future(ledger.follow(hearer.subscribe())) for ledger in ledgers]
        await until(lambda: sender.peers() and hearer.peers())
        number = 0

        async def publish(count: int) -> None:
            nonlocal number
            for _ in range(count):
                number += 1
                # A refused number stays unused: `accepted` is what counts.
                event = EmailPush(1, number, 0)
                await reported(lambda event=event: sender.publish(event))  # type: ignore[misc]
                await asyncio.sleep(0)

        injector.start()
        try:
            await publish(20)
            await reported(sender.flush)
            await asyncio.sleep(0.15)  # some ticks
            proxy.cut()
            await publish(20)
            await until(lambda: proxy.accepted >= 4 or injector.has_raised)
            await reported(sender.flush)
            await asyncio.sleep(0.15)
        finally:
            injector.stop()
        await until(
            lambda: is_well(sender, hearer),
            timeout=6,
            because="both nodes are up for each other",
        )
        await publish(1)
        for ledger in ledgers:
            await until(lambda ledger=ledger: number in ledger.numbers or ledger.is_unknown)  # type: ignore[misc]
        await until(lambda: sender.stats().waiting == 0)
        accepted = sender.stats().accepted
        await until(lambda: hearer.stats().received + sum(hearer.stats().missed.values()) >= 0)
        for ledger in ledgers:
            ledger.check(accepted)
        # The heartbeat goes on: nobody counts as down although nothing is published.
        await asyncio.sleep(0.5)
        assert is_well(sender, hearer), "a heartbeat stopped"
        assert await sender.close() == 0
        await hearer.close()
        await asyncio.wait(followers)


def is_well(*nodes: Node) -> bool:
    return all(
        node.is_connected and [peer.is_up for peer in node.peers()] == [True] for node in nodes
    )


def run(server: LocalServer, injector: Injector) -> None:
    """Run the scenario on a loop that is run again whenever an exception leaves it."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(lambda loop, context: None)
    task = loop.create_task(scenario(server, injector))
    try:
        while not task.done():
            with contextlib.suppress(KeyboardInterrupt):
                loop.run_until_complete(asyncio.wait_for(asyncio.shield(task), 40))
        task.result()
    finally:
        leftovers = asyncio.all_tasks(loop)
        for each in leftovers:
            each.cancel()
        if leftovers:
            loop.run_until_complete(asyncio.wait(leftovers, timeout=2))
        loop.close()


def functions(server: LocalServer) -> list[str]:
    """Run the scenario without an exception and return the functions that it calls."""
    recorder = Injector(None, MemoryError)
    run(server, recorder)
    return list(recorder.seen)


def failures(
    server: LocalServer, names: list[str], kinds: list[str]
) -> dict[tuple[str, str], BaseException]:
    """Inject each kind of exception into each function and return what went wrong."""
    wrong: dict[tuple[str, str], BaseException] = {}
    for kind in kinds:
        for each in names:
            injector = Injector(each, KINDS[kind])
            try:
                run(server, injector)
                assert injector.has_raised, "it was not called this time"
            except Exception as error:  # noqa: BLE001 - every failure is reported
                wrong[kind, each] = error
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--list", action="store_true")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    with LocalServer() as server:
        names = functions(server)
        if arguments.list:
            print("\n".join(names))
            return 0
        chosen = [
            each for each in names if not arguments.names or any(n in each for n in arguments.names)
        ]
        kinds = [arguments.kind] if arguments.kind else list(KINDS)
        wrong = failures(server, chosen, kinds)
    for (kind, each), error in wrong.items():
        print(f"{kind} in {each}: {type(error).__name__}: {error}")
    print(f"{len(chosen) * len(kinds)} injections, {len(wrong)} failures")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
