"""The demo's server and node processes, from start to end."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from fastcoord.cli.administrator import Administrator
from fastcoord.cli.demo.messages import NodeTask, Order
from fastcoord.cli.demo.process import NodeProcess
from fastcoord.cli.demo.sums import add_up, as_builtins
from fastcoord.cli.demo.views import make_view
from fastcoord.cli.running import CommandFailed
from fastcoord.config import load_config
from fastcoord.server import LocalServer
from fastcoord.server.temporary import TemporaryDirectory
from fastcoord.streaming.settings import stream_settings

if TYPE_CHECKING:
    from fastcoord.cli.demo.messages import Phase

__all__ = ["Demo", "DemoOptions"]

PHASE_TIMEOUT = 30.0
"""Seconds within which every node must reach the next phase."""

DOWN_TIME = 1.0
"""Seconds for which a killed server is down."""

STREAM = "DEMO"
"""The name of the stream of ``demo --stream``."""

CONFIG = """\
# `fastcoord demo` wrote this file. Its nodes have the ids 1, 2, 3 and so on. With node-id = "auto",
# each other node that uses the file chooses a free id.

[store."nats"]
type = "nats"
address = "{address}"

[cluster]
coordinator = "nats"
node-id = "auto"
protocol = "{protocol}"
heartbeat = "500ms"
"""

NEXT_STEPS = """\
Next steps:
  {command} demo --keep                        leave the cluster running, to join it
  {command} demo --seconds 10 --rate 20000     publish more
  {command} demo --kill                        kill the server in the middle
  {command} demo --kill --stream               the same with a stream, which loses nothing
  {command} init                               print a configuration to start from"""

NEXT_STEPS_WHILE_RUNNING = """\
Next steps, in another terminal:
  {command} check --connect {config}
  {command} listen {config}"""


def command_name() -> str:
    """Return the name of this command, with its path if ``PATH`` does not lead to it."""
    if shutil.which("fastcoord") is not None:
        return "fastcoord"
    script = Path(sys.executable).with_name("fastcoord")
    if not script.exists():
        return f"{sys.executable} -m fastcoord"
    try:
        return str(script.relative_to(Path.cwd()))
    except ValueError:
        return str(script)


def config_text(address: str, protocol: str, *, has_stream: bool) -> str:
    """Write the configuration of the demo's nodes.

    :param address: the address of the server.
    :param protocol: the wire protocol.
    :param has_stream: whether the nodes use the stream of the demo.
    :return: the TOML.
    """
    text = CONFIG.format(address=address, protocol=protocol)
    return text + (f'stream = "{STREAM}"\n' if has_stream else "")


@dataclass(frozen=True, kw_only=True)
class DemoOptions:
    """The options of the command, as its help explains them."""

    nodes: int = 3
    seconds: float = 5.0
    rate: int = 2000
    seed: int = 1
    protocol: str = "stalwart-0.15"
    server: str | None = None
    keep: bool = False
    kill: bool = False
    stream: bool = False
    plain: bool = False
    as_json: bool = False


class Demo:
    """Start a server and node processes, supervise them, and remove every trace of them.

    :param options: the options of the command.
    """

    def __init__(self, options: DemoOptions) -> None:
        self._options = options
        self._server = LocalServer(
            binary=options.server, name="fastcoord-demo", jetstream=options.stream
        )
        self._view = make_view(plain=options.plain, as_json=options.as_json)
        self._nodes: list[NodeProcess] = []
        self._changed: asyncio.Event
        self._is_server_down = False

    async def run(self) -> int:
        """Run the demo from start to end.

        :return: the exit status.
        """
        self._changed = asyncio.Event()
        with TemporaryDirectory("fastcoord-demo-") as folder:
            async with self._server:
                try:
                    config = self._write_config(folder)
                    if self._options.stream:
                        await self._create_stream(config)
                    await self._start_nodes(config)
                    await self._publish()
                    code = self._show_sums()
                    self._show_next_steps(config)
                    if self._options.keep:
                        await self._stay_up()
                finally:
                    self._view.end_progress()
                    await self._stop_nodes()
        return code

    def _write_config(self, folder: Path) -> Path:
        config = folder / "node.toml"
        address = f"{self._server.host}:{self._server.port}"
        text = config_text(address, self._options.protocol, has_stream=self._options.stream)
        config.write_text(text, encoding="utf-8")
        self._view.line(f"nats-server  pid {self._server.pid}  {self._server.url}")
        return config

    async def _create_stream(self, path: Path) -> None:
        config = load_config(path)
        async with Administrator(config) as administrator:
            await administrator.jetstream.create_stream(stream_settings(config))
        self._view.line(f"The stream {STREAM} stores the events of {config.cluster.subject}.")

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
            self._view.line(f"node {node_id}  pid {node.pid}")
        await self._wait_for_phase("ready", "connected to the server and to each other")
        self._view.line("Every node knows every other node. They publish now.")

    async def _publish(self) -> None:
        self._order(Order(action="publish"))
        killing = asyncio.create_task(self._kill_server()) if self._options.kill else None
        try:
            await self._wait_for_phase(
                "published", "published and flushed", extra_time=self._options.seconds
            )
            if killing is not None:
                await killing
        finally:
            if killing is not None:
                killing.cancel()
                await asyncio.wait({killing})
        sent = {node.node_id: node.report.sent for node in self._nodes}
        self._order(Order(action="finish", published=sent))
        await self._wait_for_phase("done", "received the events of the others")
        self._view.end_progress()

    async def _kill_server(self) -> None:
        """Kill the server in the middle of the time of publishing, and start it again."""
        await asyncio.sleep(self._options.seconds / 2)
        pid = self._server.pid
        self._is_server_down = True
        self._server.kill()
        self._view.line(f"The nats-server is killed (pid {pid}). The nodes keep their events.")
        await asyncio.sleep(DOWN_TIME)
        await self._server.start_async()
        self._is_server_down = False
        self._view.line(f"The nats-server runs again (pid {self._server.pid}).")

    def _show_sums(self) -> int:
        reports = {node.node_id: node.report for node in self._nodes}
        summary = add_up(reports, is_loss_expected=self._options.kill and not self._options.stream)
        if self._options.as_json:
            print(json.dumps(as_builtins(reports, summary)), flush=True)
        for table in summary.tables:
            self._view.table(table)
        self._view.line()
        self._view.line(summary.verdict)
        for problem in summary.problems:
            self._view.line(f"WRONG: {problem}")
        return 1 if summary.problems else 0

    def _show_next_steps(self, config: Path) -> None:
        steps = NEXT_STEPS_WHILE_RUNNING if self._options.keep else NEXT_STEPS
        self._view.line()
        self._view.line(steps.format(command=command_name(), config=config))

    async def _stay_up(self) -> None:
        self._view.line()
        self._view.line("The cluster keeps running, with a few events a second, until Ctrl-C.")
        self._order(Order(action="stay"))
        while True:
            await self._wait_for_change()

    def _order(self, order: Order) -> None:
        for node in self._nodes:
            node.order(order)

    async def _wait_for_phase(self, phase: Phase, what: str, *, extra_time: float = 0.0) -> None:
        loop = asyncio.get_running_loop()
        timeout = PHASE_TIMEOUT + extra_time
        deadline = loop.time() + timeout
        # Before Python 3.12, asyncio.wait_for may swallow the cancellation by Ctrl-C.
        alarm = loop.call_at(deadline + 0.1, self._changed.set)
        try:
            while late := [node.node_id for node in self._nodes if node.report.phase != phase]:
                if loop.time() > deadline:
                    names = ", ".join(f"node {node_id}" for node_id in late)
                    raise CommandFailed(f"{names}: not {what} within {timeout:g} seconds")
                await self._wait_for_change()
        finally:
            alarm.cancel()

    async def _wait_for_change(self) -> None:
        await self._changed.wait()
        self._changed.clear()
        self._view.progress({node.node_id: node.report for node in self._nodes})
        if not self._server.is_running and not self._is_server_down:
            raise CommandFailed("the nats-server ended before the demo was over")
        for node in self._nodes:
            if node.exit_code is not None:
                raise CommandFailed(
                    f"node {node.node_id} ended before the demo was over: {node.how_it_ended()}"
                )

    async def _stop_nodes(self) -> None:
        await asyncio.gather(*(node.stop() for node in self._nodes))
