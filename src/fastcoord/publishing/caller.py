"""Check that a call comes from the event loop of the node."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

from fastcoord.errors import WrongLoop

if TYPE_CHECKING:
    from fastcoord.publishing.node_state import NodeState

__all__ = ["CallerCheck"]


class CallerCheck:
    """Raise ``WrongLoop`` for calls from another event loop or thread.

    A program may create the event loop in one thread and run it in another. So each check looks up
    the thread of the loop again.

    :param state: stores the thread, which the fast path of ``publish`` compares.
    :param name: the name of the node in error messages, such as ``"node 1"``.
    """

    def __init__(self, state: NodeState, name: str) -> None:
        self._state = state
        self.name = name
        self._loop = asyncio.get_running_loop()
        state.set_thread(threading.get_ident())

    def is_in_loop(self) -> bool:
        """Return whether the calling thread runs the node's event loop now."""
        return asyncio._get_running_loop() is self._loop

    def check(self) -> None:
        """Check the calling thread and the event loop that it runs.

        Without a running loop the call is allowed, so that
        ``loop.run_until_complete(node.publish(event))`` works.

        :raises WrongLoop: the call comes from another event loop or thread.
        """
        if self._state.is_closed:
            # The calling method handles a closed node itself: it raises or returns at once.
            return
        running = asyncio._get_running_loop()
        if running is not self._loop and (running is not None or self._loop.is_running()):
            raise WrongLoop(
                f"{self.name} belongs to another event loop: call its methods there, for example"
                " with asyncio.run_coroutine_threadsafe; only publish_nowait may be called from any"
                " thread"
            )
        self._state.set_thread(threading.get_ident())
