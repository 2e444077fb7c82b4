"""A thread that runs the event loop of one blocking node."""

from __future__ import annotations

import asyncio
import atexit
import concurrent.futures
import logging
import sys
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastcoord._forking import call_in_child
from fastcoord.errors import FastcoordError, NodeClosed, WrongLoop
from fastcoord.node import DEFAULT_CLOSE_TIMEOUT, Node

__all__ = ["LoopThread"]

T = TypeVar("T")

END_TIMEOUT = 1.0
"""How many seconds ``close`` may take after its timeout, to end the tasks and the thread."""

NEEDED = ("threading", "_thread", "select", "selectors", "socket")
"""The modules that gevent must not replace."""

logger = logging.getLogger("fastcoord")

_running: set[LoopThread] = set()
"""The threads whose node is not closed. An exit of the interpreter closes these nodes."""


class LoopThread:
    """A daemon thread with an event loop of its own, and the node that lives there.

    :ivar node: the node, once it is connected. This reference keeps the node until it is closed,
        whether or not the program still refers to it.
    :ivar loop: the event loop.
    """

    def __init__(self) -> None:
        _refuse_gevent()
        self.node: Node | None = None
        self.loop = asyncio.new_event_loop()
        # Reentrant: the garbage collector may close another node while a method holds the lock.
        self._lock = threading.RLock()
        self._is_ended = False
        self._unconfirmed = 0
        # A daemon thread: others would be joined before the functions of ``atexit`` run.
        self._thread = threading.Thread(target=self._run, name="fastcoord", daemon=True)
        _running.add(self)
        call_in_child(self)
        self._thread.start()

    def _run(self) -> None:
        asyncio.set_event_loop(self.loop)
        reason: BaseException | None = None
        try:
            self.loop.run_forever()
        except BaseException as error:
            reason = error
            raise
        finally:
            with self._lock:
                # From now on ``submit`` refuses calls. What it has accepted still runs below.
                self._is_ended = True
            _running.discard(self)
            try:
                self._end_node(reason)
                self._end_tasks()
            finally:
                asyncio.set_event_loop(None)
                self.loop.close()

    def _end_node(self, reason: BaseException | None) -> None:
        """End a node whose event loop was ended by an exception, such as ``SystemExit``."""
        session = None if self.node is None else self.node._session
        if reason is not None and session is not None and not session.is_closing:
            logger.error("%s: %r has ended its event loop", session.name, reason)
            session.abandon(f"ended by {reason!r}")
            # The task of the end is created by a callback.
            self.loop.run_until_complete(asyncio.sleep(0))
            self._unconfirmed = self.loop.run_until_complete(session.close(0.0))

    def _end_tasks(self) -> None:
        # Tasks of accepted calls are created by callbacks: let these run first.
        self.loop.run_until_complete(asyncio.sleep(0))
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        if tasks:
            self.loop.run_until_complete(asyncio.wait(tasks))
        # The callbacks of these tasks pass their results to the waiting threads.
        self.loop.run_until_complete(asyncio.sleep(0))

    @property
    def is_ended(self) -> bool:
        """Whether the event loop has ended, or this process is a forked child."""
        return self._is_ended

    @property
    def is_current(self) -> bool:
        """Whether the calling thread is this one."""
        return threading.get_ident() == self._thread.ident

    def submit(self, callback: Callable[[], object]) -> bool:
        """Schedule a callback on the event loop; never wait.

        :return: whether the callback was scheduled; ``False`` if the event loop has ended.
        """
        with self._lock:
            if self._is_ended:
                return False
            self.loop.call_soon_threadsafe(callback)
            return True

    def run(self, make: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Run a coroutine on the event loop and wait for its result.

        If a signal handler raises an exception meanwhile, such as ``KeyboardInterrupt``, the
        coroutine is cancelled.

        :param make: creates the coroutine; called on the event loop.
        :raises NodeClosed: the event loop has ended.
        :raises WrongLoop: this thread is the one that runs the event loop.
        """
        if self.is_current:
            raise WrongLoop(
                "this call would wait for the thread that it runs in: a callback of the event loop"
                " of a blocking node may call publish_nowait only"
            )
        result: concurrent.futures.Future[T] = concurrent.futures.Future()
        tasks: list[asyncio.Task[T]] = []

        def start() -> None:
            if not result.set_running_or_notify_cancel():
                return
            try:
                tasks.append(self.loop.create_task(make()))
            except BaseException as error:  # noqa: BLE001 - the waiting thread raises it
                result.set_exception(error)
            else:
                tasks[0].add_done_callback(lambda task: _pass_on(task, result))

        def cancel() -> None:
            for task in tasks:
                task.cancel()

        if not self.submit(start):
            raise NodeClosed("the node is closed")
        try:
            return result.result()
        except BaseException:
            if not result.done() and not result.cancel():
                self.submit(cancel)
            raise

    def call(self, function: Callable[[], T]) -> T:
        """Call a function on the event loop, or here if the loop has ended."""
        if self.is_current or self._is_ended:
            return function()

        async def run_function() -> T:
            return function()

        try:
            return self.run(run_function)
        except NodeClosed:
            # The loop may have ended before it ran the function.
            if self._is_ended:
                return function()
            raise

    def pause(self) -> None:
        """Wait until the event loop has run one iteration."""
        if self.is_current:
            return
        lock = threading.Lock()
        lock.acquire()
        if self.submit(lock.release):
            # If the event loop is busy for longer, the caller goes on.
            lock.acquire(timeout=END_TIMEOUT)

    # ------------------------------------------------------------------------------- ending

    async def _close(self, timeout: float) -> int:
        try:
            if self.node is not None:
                self._unconfirmed = await self.node.close(timeout)
        except asyncio.CancelledError:
            # A signal has interrupted the caller. The node goes on closing, and the exit of the
            # interpreter waits for it.
            raise
        except BaseException:
            self.loop.stop()
            raise
        self.loop.call_soon(self.loop.stop)
        return self._unconfirmed

    def close(self, timeout: float) -> int:
        """Close the node and end the thread.

        :param timeout: the limit in seconds.
        :return: the number of events that were not confirmed.
        """
        if not self._is_ended:
            try:
                self.run(lambda: self._close(timeout))
            except (NodeClosed, concurrent.futures.CancelledError):
                # Another thread has closed the node at the same time.
                logger.debug("the node was closed by another thread")
        self._thread.join(END_TIMEOUT)
        return self._unconfirmed

    def close_later(self, timeout: float) -> None:
        """Start closing the node; do not wait."""
        self.submit(lambda: self._closing_task(timeout))

    def _closing_task(self, timeout: float) -> None:
        # The event loop keeps only weak references to tasks.
        self._closing = self.loop.create_task(self._close(timeout))

    def join(self, timeout: float) -> None:
        """Wait until the thread has ended."""
        self._thread.join(timeout)

    def forked(self) -> None:
        """Note that this process is a forked child, in which the thread does not exist."""
        self._lock = threading.RLock()
        self._is_ended = True
        _running.discard(self)
        # The child must not close the event loop: it shares its selector with the parent.
        _inherited.append(self.loop)


_inherited: list[asyncio.AbstractEventLoop] = []
"""The event loops of the parent process."""


def _refuse_gevent() -> None:
    """Raise an error if gevent has replaced what an event loop in a thread needs.

    :raises FastcoordError: gevent has patched threads, sockets or ``select``.
    """
    monkey = sys.modules.get("gevent.monkey")
    if monkey is None:
        return
    patched = [name for name in NEEDED if monkey.is_module_patched(name)]
    if patched:
        raise FastcoordError(
            f"fastcoord.blocking runs an event loop in a thread of the operating system, and gevent"
            f" has replaced {', '.join(patched)}: do not patch these modules in this process, or"
            " use fastcoord in a process of its own"
        )


def _pass_on(task: asyncio.Task[T], result: concurrent.futures.Future[T]) -> None:
    """Give the result of a task to the thread that waits for it."""
    if task.cancelled():
        result.set_exception(NodeClosed("the node was closed during this call"))
        return
    error = task.exception()
    if error is None:
        result.set_result(task.result())
    else:
        result.set_exception(error)


def _close_all() -> None:
    """Close the nodes that the program has not closed, when the interpreter exits."""
    threads = list(_running)
    deadline = time.monotonic() + DEFAULT_CLOSE_TIMEOUT + END_TIMEOUT
    for thread in threads:
        thread.close_later(DEFAULT_CLOSE_TIMEOUT)
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


atexit.register(_close_all)
