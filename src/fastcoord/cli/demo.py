"""``fastcoord demo``: real node processes on a real server, and every event counted."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastcoord.cli.demo_messages import NodeTask, Order
from fastcoord.cli.demo_process import NodeProcess
from fastcoord.cli.demo_report import make_view
from fastcoord.cli.demo_sums import add_up
from fastcoord.cli.running import CommandFailed, run_until_interrupted
from fastcoord.server import LocalServer

if TYPE_CHECKING:
    from fastcoord.cli.demo_messages import Phase

__all__ = ["DemoOptions", "run_demo"]

PATIENCE = 30.0
"""Seconds within which every node has to reach the next phase."""

GUEST_ID = 100
"""A node id that no demo node has, for whoever wants to listen."""

CONFIG = """\
# Written by `fastcoord demo`. The same file starts every node; only the node id differs.

[store."nats"]
type = "nats"
address = "{address}"

[cluster]
coordinator = "nats"
protocol = "{protocol}"
heartbeat = "500ms"
"""

NEXT = """\
The configuration of every node: {config}
Try next:
  {command} check {config}
  {listen}
  {command} demo --seconds 10 --rate 20000"""

LISTEN_LATER = "{command} demo --keep      keeps the cluster up, for `fastcoord listen`"
LISTEN_NOW = "{command} listen {config} --node-id {guest}     in another terminal"


def command_word() -> str:
    """Give what to type for this command: with its folder where a shell would not find it."""
    if shutil.which("fastcoord") is not None:
        return "fastcoord"
    beside = Path(sys.executable).with_name("fastcoord")
    if not beside.exists():
        return f"{sys.executable} -m fastcoord.cli"
    try:
        return str(beside.relative_to(Path.cwd()))
    except ValueError:
        return str(beside)


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """The command's options, as its help explains them."""

    nodes: int = 3
    seconds: float = 5.0
    rate: int = 2000
    seed: int = 1
    protocol: str = "stalwart-0.15"
    server: str | None = None
    keep: bool = False
    plain: bool = False


def run_demo(options: DemoOptions) -> int:
    """Run the demo.

    :param options: the command's options.
    :return: the exit status: 1 when anything is missing or does not add up.
    :raises CommandFailed: when a node dies or does not come along.
    :raises ServerError: when there is no nats-server, or it does not start.
    """
    return run_until_interrupted(Demo(options).run())


class Demo:
    """The process that starts everything, watches it, and leaves nothing behind."""

    def __init__(self, options: DemoOptions) -> None:
        self._options = options
        self._server = LocalServer(binary=options.server, name="fastcoord-demo")
        self._view = make_view(plain=options.plain)
        self._nodes: list[NodeProcess] = []
        self._changed: asyncio.Event

    async def run(self) -> int:
        """Play every act in turn."""
        self._changed = asyncio.Event()
        async with self._server:
            try:
                config = self._write_config()
                await self._start_nodes(config)
                await self._publish()
                code = self._tell_sums()
                self._tell_next(config)
                if self._options.keep:
                    await self._stay_up()
            finally:
                self._view.end_progress()
                await self._stop_nodes()
        return code

    def _write_config(self) -> Path:
        config = Path(tempfile.mkdtemp(prefix="fastcoord-demo-")) / "node.toml"
        config.write_text(
            CONFIG.format(
                address=f"{self._server.host}:{self._server.port}",
                protocol=self._options.protocol,
            ),
            encoding="utf-8",
        )
        self._view.say(f"nats-server  pid {self._server.pid}  {self._server.url}")
        self._view.say(f"configuration  {config}")
        return config

    async def _start_nodes(self, config: Path) -> None:
        node_ids = tuple(range(1, self._options.nodes + 1))
        for node_id in node_ids:
            task = NodeTask(
                config=str(config),
                node_id=node_id,
                node_ids=node_ids,
                seed=self._options.seed,
                rate=self._options.rate,
                seconds=self._options.seconds,
            )
            log = config.with_name(f"node-{node_id}.log")
            node = NodeProcess(task, log, self._changed.set)
            self._nodes.append(node)
            await node.start()
            self._view.say(f"node {node_id}  pid {node.pid}")
        await self._until_all_are("ready", "connected to the server and heard each other")
        self._view.say("Every node has heard every other node; they publish now.")

    async def _publish(self) -> None:
        self._order(Order(action="publish"))
        await self._until_all_are(
            "published", "published and flushed", extra_time=self._options.seconds
        )
        sent = {node.node_id: node.report.sent for node in self._nodes}
        self._order(Order(action="finish", published=sent))
        await self._until_all_are("done", "received what the others published")
        self._view.end_progress()

    def _tell_sums(self) -> int:
        summary = add_up({node.node_id: node.report for node in self._nodes})
        for table in summary.tables:
            self._view.table(table)
        self._view.say()
        self._view.say(summary.verdict)
        for problem in summary.problems:
            self._view.say(f"WRONG: {problem}")
        return 1 if summary.problems else 0

    def _tell_next(self, config: Path) -> None:
        listen = LISTEN_NOW if self._options.keep else LISTEN_LATER
        self._view.say()
        words = {"command": command_word(), "config": config, "guest": GUEST_ID}
        self._view.say(NEXT.format(listen=listen.format(**words), **words))

    async def _stay_up(self) -> None:
        self._view.say()
        self._view.say("The cluster stays up, with an event now and then, until Ctrl-C.")
        self._order(Order(action="stay"))
        while True:
            await self._wait_for_change()

    def _order(self, order: Order) -> None:
        for node in self._nodes:
            node.order(order)

    async def _until_all_are(self, phase: Phase, what: str, *, extra_time: float = 0.0) -> None:
        loop = asyncio.get_running_loop()
        patience = PATIENCE + extra_time
        deadline = loop.time() + patience
        # Not wait_for: before Python 3.12 it may swallow the cancellation that Ctrl-C is.
        alarm = loop.call_at(deadline + 0.1, self._changed.set)
        try:
            while late := [node.node_id for node in self._nodes if node.report.phase != phase]:
                if loop.time() > deadline:
                    names = ", ".join(f"node {node_id}" for node_id in late)
                    raise CommandFailed(f"{names} has not {what} within {patience:g} seconds")
                await self._wait_for_change()
        finally:
            alarm.cancel()

    async def _wait_for_change(self) -> None:
        await self._changed.wait()
        self._changed.clear()
        self._view.progress({node.node_id: node.report for node in self._nodes})
        if not self._server.is_running:
            raise CommandFailed("the nats-server ended before the demo was over")
        for node in self._nodes:
            if node.exit_code is not None:
                raise CommandFailed(
                    f"node {node.node_id} left before the demo was over: it {node.how_it_ended()}"
                )

    async def _stop_nodes(self) -> None:
        await asyncio.gather(*(node.stop() for node in self._nodes))
