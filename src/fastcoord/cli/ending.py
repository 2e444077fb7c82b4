"""End a measurement on Ctrl-C, on SIGTERM, and when its terminal is closed."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from fastcoord.cli.running import EndedBySignal, ending_signals, handle_signal, restore_handler

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

__all__ = ["EndingSignals"]

Answer = TypeVar("Answer")


class EndingSignals:
    """Handle the signals that end a command, so that it removes its server and its files.

    Within the context, a signal raises :class:`EndedBySignal`, except during :meth:`run`. Signals
    that are ignored, as under nohup, stay ignored.

    :ivar status: the exit status for the first signal, 128 and its number; 0 before.
    """

    def __init__(self) -> None:
        self.status = 0
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> EndingSignals:
        for each in ending_signals():
            handler = signal.getsignal(each)
            if handler is not signal.SIG_IGN:
                self._handlers[each] = handler
                signal.signal(each, self._raise)
        return self

    def __exit__(self, *exception: object) -> None:
        for each, handler in self._handlers.items():
            signal.signal(each, handler)

    def run(self, work: Callable[[], Awaitable[Answer]], stop: Callable[[], None]) -> Answer:
        """Run a coroutine; ask it to stop on the first signal, and cancel it on the second.

        Further ones are ignored: they would end the cleanup.

        :param work: makes the coroutine.
        :param stop: asks it to end soon.
        :return: the result of the coroutine.
        :raises EndedBySignal: it was cancelled.
        """

        async def main() -> Answer:
            loop = asyncio.get_running_loop()
            task = asyncio.current_task()
            assert task is not None
            count = 0

            def end(number: signal.Signals) -> None:
                nonlocal count
                count += 1
                self._note(number)
                if count == 1:
                    stop()
                elif count == 2:
                    task.cancel()

            for number in self._handlers:
                handle_signal(loop, number, end)
            try:
                return await work()
            finally:
                for number in self._handlers:
                    restore_handler(loop, number, self._raise)

        try:
            return asyncio.run(main())
        except asyncio.CancelledError:
            raise EndedBySignal(self.status) from None

    def _raise(self, number: int, frame: object) -> NoReturn:
        self._note(number)
        raise EndedBySignal(self.status)

    def _note(self, number: int) -> None:
        self.status = self.status or 128 + number
