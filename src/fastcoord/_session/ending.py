"""The ends of a node: closed, abandoned, forked, or without a connection for good."""

from __future__ import annotations

import asyncio
import logging

from fastcoord._forking import detach_loop
from fastcoord._session.parts import Parts
from fastcoord.errors import ConnectionLost, NodeClosed, PermissionDenied

__all__ = ["Ending"]

logger = logging.getLogger("fastcoord")


class Ending(Parts):
    """Ends a node in each way."""

    def forked(self) -> None:
        """End the node in a forked child. The parent continues to use its node."""
        self.is_forked = True
        detach_loop(self._loop)
        # In debug mode, an event loop refuses to cancel tasks from another thread. In this process,
        # the thread of the loop may not exist.
        self._loop.set_debug(False)
        self.state.end(NodeClosed("forked: connect again in this process"))
        self._supervisor.abandon()
        self._liveness.stop()
        self._hold.cancel()

    def abandon(self, how: str = "abandoned") -> None:
        """End a node without a goodbye, because the program no longer refers to it.

        The garbage collector calls this, in any thread.

        :param how: the word for the errors of later calls.
        """
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._abandon, how)

    def _abandon(self, how: str) -> None:
        if self._closing is None:
            self._drop_everything(NodeClosed(f"node {self.node_id} was {how}"))

    def _drop_everything(self, reason: Exception) -> asyncio.Task[int]:
        """End the node now.

        :return: a task of its own, which releases the resources.
        """
        self._end(reason)
        self._supervisor.drop()
        self._closing = self._loop.create_task(self._release(), name=f"fastcoord {self.name} close")
        return self._closing

    def check_caller(self) -> None:
        """Raise unless the call comes from the node's event loop and process."""
        if self.is_forked:
            self.state.check()
        self.sender.check_caller()

    def _end(self, reason: Exception) -> None:
        self.state.end(reason)
        self.sender.end()
        self._own_id.stop()
        self._presence.end(reason)
        if self._stream is not None:
            self._stream.end(reason)
        self._subscriptions.end(reason if isinstance(reason, ConnectionLost) else None)
        self._liveness.stop()
        self._hold.cancel()

    async def close(self, timeout: float) -> int:
        """Send waiting events and a goodbye, then disconnect; later calls wait for the first."""
        if self._closing is None:
            self._closing = asyncio.create_task(
                self._close(timeout), name=f"fastcoord {self.name} close"
            )
            # The event loop may end before the first step of the task.
            self._closing.add_done_callback(lambda _: self._supervisor.drop())
        return await asyncio.shield(self._closing)

    async def _close(self, timeout: float) -> int:
        # A tenth of the time is reserved for disconnecting.
        deadline = self._loop.time() + timeout * 0.9
        batcher = self.sender.batcher
        discarded = batcher.discarded
        try:
            await self._own_id.end()
            if self.state.ended is None:
                await self.sender.close(deadline)
        except (TimeoutError, ConnectionLost, PermissionDenied):
            logger.debug("%s: closing without confirmation", self.name)
        finally:
            self._end(NodeClosed(f"node {self.node_id} is closed"))
            await self._release()
        unconfirmed = batcher.waiting + batcher.discarded - discarded
        if unconfirmed:
            logger.warning(
                "%s: closed with %d events that the server did not confirm",
                self.name,
                unconfirmed,
            )
        return unconfirmed

    async def _release(self) -> int:
        """Release the resources of a node that has ended.

        :return: the number of events that were not confirmed.
        """
        try:
            await self._own_id.end()
            if self._stream is not None:
                await self._stream.close()
        finally:
            await self._supervisor.close()
        return self.sender.batcher.waiting
