"""One run: start the processes, apply the load, and collect the result."""

from __future__ import annotations

import asyncio
import math
import re
import secrets
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fastcoord.server.temporary import TemporaryDirectory
from fastcoord.tuning import histograms
from fastcoord.tuning.job import Job
from fastcoord.tuning.load import Load, NotMeasured, apply_settings, settings_of
from fastcoord.tuning.missing_rights import missing_rights_text
from fastcoord.tuning.processes import WorkerProcess
from fastcoord.tuning.proxy import OutageProxy
from fastcoord.tuning.result import Result, facts, now_text
from fastcoord.tuning.summing import summed

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractAsyncContextManager

    from fastcoord.config import Config
    from fastcoord.tuning.target import Target

    StreamMaker = Callable[[Config, str, float], AbstractAsyncContextManager[str]]

__all__ = ["Run", "RunState", "sampling_stride"]

CONNECT_TIMEOUT = 30.0
LEAD = 0.3
"""Seconds between the message with the start time and that time."""

MAX_SAMPLES = 100_000
"""How many events of one subscriber are timed at most, roughly."""

FLAT_OUT_STRIDE = 1009
END_TIMEOUT = 5.0
"""Seconds for the result of a process after the order to stop."""

CLOSE_TIMEOUT = 2.0
"""Seconds for the end of a process that has nothing more to do."""


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """The progress of a run.

    :ivar phase: ``"connecting"``, ``"warm-up"``, ``"measuring"`` or ``"waiting for the rest"``.
    :ivar share: the elapsed share of the load, from 0 to 1.
    """

    phase: str
    share: float
    sent: int
    received: int
    missed: int


class Run:
    """One run.

    :param load: what publishers and subscribers do.
    :param settings: settings other than those of the configuration.
    :param target: the server.
    :param on_progress: called several times a second.
    :param make_stream: makes the stream for a configuration, a subject and the longest duration of
        the run in seconds, and deletes it at the end; ``None`` on plain NATS.
    """

    def __init__(
        self,
        load: Load,
        settings: dict[str, Any],
        target: Target,
        on_progress: Callable[[RunState], None] | None = None,
        make_stream: StreamMaker | None = None,
    ) -> None:
        self.load = load
        self._settings = settings
        self._target = target
        self.on_progress = on_progress
        self._make_stream = make_stream
        self._publishers: list[WorkerProcess] = []
        self._subscribers: list[WorkerProcess] = []
        self._start = 0
        self._is_sent = False
        self._stopped = asyncio.Event()

    def stop(self) -> None:
        """End the run early; its result is then marked as interrupted."""
        self._stopped.set()

    async def measure(self) -> Result:
        """Run, and return the result.

        :raises NotMeasured: the processes could not connect.
        """
        histograms.check_library()
        machine, started_at = facts(), now_text()
        async with AsyncExitStack() as stack:
            folder = stack.enter_context(_temporary_directory())
            proxy = None
            if self.load.outage:
                host, port = self._target.proxied_address()
                proxy = await stack.enter_async_context(OutageProxy(host, port))
            subject = f"{self._target.subject_prefix}.{secrets.token_hex(6)}"
            stream = None
            if self._make_stream is not None:
                config = apply_settings(self._target.config, self._settings)
                longest = 2 * self._limit + CONNECT_TIMEOUT
                making = self._make_stream(config, subject, longest)
                stream = await stack.enter_async_context(making)
            self._make_processes(folder, proxy, subject, stream)
            stack.push_async_callback(self._end)
            showing = asyncio.create_task(self._show())
            stack.callback(showing.cancel)
            problems = await self._apply(proxy)
            result = summed(
                self.load,
                [each.reply.publisher for each in self._publishers if each.reply],
                [each.reply.subscriber for each in self._subscribers if each.reply],
                problems,
                self._stopped.is_set(),
            )
            corrected, uncorrected = await asyncio.to_thread(
                histograms.latencies,
                self.load,
                self._start,
                [Path(each.job.samples) for each in self._publishers],
                [Path(each.job.samples) for each in self._subscribers],
            )
        return Result(
            started_at=started_at,
            command=[_without_login(word) for word in sys.argv[1:]],
            machine=machine,
            load=self.load,
            settings={**settings_of(self._target.config), **self._settings},
            server=self._target.name,
            stream=self._make_stream is not None,
            corrected=corrected,
            uncorrected=uncorrected,
            **result,
        )

    def _make_processes(
        self, folder: Path, proxy: OutageProxy | None, subject: str, stream: str | None
    ) -> None:
        load = self.load
        count = load.events_per_publisher
        stride = FLAT_OUT_STRIDE
        if count is not None:
            stride = sampling_stride(count * load.publishers, load.group)
        for role, number, processes in (
            ("subscribe", load.subscribers, self._subscribers),
            ("publish", load.publishers, self._publishers),
        ):
            for index in range(number):
                job = Job(
                    role=role,  # type: ignore[arg-type]
                    load=load,
                    file=self._target.file,
                    text=self._target.text,
                    settings=self._settings,
                    subject=subject,
                    stream=stream,
                    address=proxy.address if proxy and role == "publish" else None,
                    index=index,
                    samples=str(folder / f"{role}.{index}"),
                    stride=stride,
                )
                processes.append(WorkerProcess(job, lambda: None))

    async def _apply(self, proxy: OutageProxy | None) -> list[str]:
        """Apply the load.

        :return: what makes the run invalid.
        """
        everything = (*self._subscribers, *self._publishers)
        for process in everything:
            try:
                await process.start()
            except OSError as error:  # for example too many open files
                raise NotMeasured(f"a process cannot be started: {error}") from error
        await self._wait([each.ready for each in everything], CONNECT_TIMEOUT)
        for process in everything:
            if process.failure is not None:
                text = missing_rights_text(
                    process.failure, process.job.subject, self._target.subject_prefix
                )
                raise NotMeasured(text)
        if not self._stopped.is_set() and not all(each.ready.is_set() for each in everything):
            raise NotMeasured(f"a process did not connect within {CONNECT_TIMEOUT:g} s")
        self._start = time.monotonic_ns() + int(LEAD * 1e9)
        for process in everything:
            process.go(self._start)
        cutting = asyncio.create_task(self._cut(proxy)) if proxy else None
        try:
            await self._wait([each.done for each in self._publishers], self._limit)
        finally:
            if cutting is not None:
                cutting.cancel()
        is_early = self._stopped.is_set() or self._has_failure()
        if is_early:
            for process in self._publishers:
                process.stop()
            await self._finish(self._publishers, END_TIMEOUT)
        self._is_sent = True
        total = sum(
            each.reply.publisher.sent
            for each in self._publishers
            if each.reply is not None and each.reply.publisher is not None
        )
        for process in self._subscribers:
            process.sent(total)
            if is_early:
                process.stop()
        await self._finish(self._subscribers, self._limit)
        problems = self._problems()
        if proxy and not is_early and proxy.accepted < self.load.publishers:
            problems.append(
                "the outage was none: publishers connected to another server of the cluster; use a"
                " single server, for example the bundled one"
            )
        return problems

    @property
    def _limit(self) -> float:
        """Seconds that publishers, and then subscribers, may need."""
        load = self.load
        return (load.warm_up + load.seconds) * 1.5 + load.longest_incident + CONNECT_TIMEOUT

    async def _finish(self, processes: list[WorkerProcess], timeout: float) -> None:
        done = [asyncio.create_task(each.done.wait()) for each in processes]
        try:
            await asyncio.wait(done, timeout=timeout)
        finally:
            for task in done:
                task.cancel()

    async def _wait(self, events: list[asyncio.Event], timeout: float) -> None:
        """Wait for all events, or until the run is stopped, or until a process fails."""
        deadline = time.monotonic() + timeout
        while not all(each.is_set() for each in events):
            if self._stopped.is_set() or time.monotonic() > deadline:
                return
            if self._has_failure():
                return
            await asyncio.sleep(0.02)

    def _has_failure(self) -> bool:
        everything = (*self._publishers, *self._subscribers)
        return any(each.failure is not None for each in everything)

    def _problems(self) -> list[str]:
        problems = []
        for process in (*self._publishers, *self._subscribers):
            role = "publisher" if process.job.role == "publish" else "subscriber"
            who = f"{role} {process.job.index + 1}"
            if process.failure is not None:
                problems.append(f"{who}: {process.failure}")
            elif process.reply is None and not self._stopped.is_set():
                problems.append(f"{who}: no result in time")
        return problems

    async def _cut(self, proxy: OutageProxy) -> None:
        at = self._start / 1e9 + self.load.incident_at
        await asyncio.sleep(max(0.0, at - time.monotonic()))
        proxy.cut()
        await asyncio.sleep(self.load.outage)
        await proxy.listen()

    async def _show(self) -> None:
        while self.on_progress is not None:
            self.on_progress(self._state())
            await asyncio.sleep(0.1)

    def _state(self) -> RunState:
        load = self.load
        elapsed = time.monotonic() - self._start / 1e9 if self._start else 0.0
        if not self._start:
            phase = "connecting"
        elif self._is_sent:
            phase = "waiting for the rest"
        else:
            phase = "warm-up" if elapsed < load.warm_up else "measuring"
        return RunState(
            phase=phase,
            share=min(1.0, max(0.0, elapsed / (load.warm_up + load.seconds))),
            sent=sum(each.progress.events for each in self._publishers),
            received=sum(each.progress.events for each in self._subscribers),
            missed=sum(each.progress.missed for each in self._subscribers),
        )

    async def _end(self) -> None:
        everything = (*self._publishers, *self._subscribers)
        await asyncio.gather(*(each.end(CLOSE_TIMEOUT) for each in everything))


def _temporary_directory() -> TemporaryDirectory:
    try:
        return TemporaryDirectory("fastcoord-bench-")
    except OSError as error:
        raise NotMeasured(f"no temporary directory can be made: {error}") from error


def sampling_stride(events: int, group: int) -> int:
    """Return every how many events of a publisher a sample is taken.

    :param events: the events of the run.
    :param group: how many events of one publisher are due at the same time. Samples must not all
        have the same place in their group.
    """
    stride = max(1, -(-events // MAX_SAMPLES))
    while math.gcd(stride, group) > 1:
        stride += 1
    return stride


def _without_login(word: str) -> str:
    """Replace user name and password in the URL of servers."""
    return re.sub(r"://.*@", "://***@", word, flags=re.DOTALL)
