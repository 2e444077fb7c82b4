"""Run the coroutine of a command, and cancel it on Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

__all__ = [
    "CommandFailed",
    "EndedBySignal",
    "WrongUsage",
    "ask_for_input",
    "ending_signals",
    "handle_signal",
    "restore_handler",
    "run_until_interrupted",
]


class CommandFailed(Exception):
    """A command failed; the message is for the user."""


class WrongUsage(CommandFailed):
    """The arguments of a command do not fit together."""


class EndedBySignal(KeyboardInterrupt):
    """A signal has ended the command.

    :ivar status: the exit status, 128 and the number of the signal.
    """

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


def ask_for_input(what: str) -> None:
    """Print what a command reads from standard input, if that is a terminal.

    :param what: what to type, for example ``JSON lines``.
    """
    if sys.stdin.isatty():
        print(f"fastcoord: type {what}, then Ctrl-D on a line of its own", file=sys.stderr)


def ending_signals() -> list[signal.Signals]:
    """Return the signals that end a command. Windows has no SIGHUP."""
    signals = [signal.SIGINT, signal.SIGTERM]
    if sys.platform != "win32":
        signals.append(signal.SIGHUP)
    return signals


def handle_signal(
    loop: asyncio.AbstractEventLoop,
    number: signal.Signals,
    callback: Callable[[signal.Signals], None],
) -> None:
    """Call a function between the callbacks of the event loop when a signal arrives."""
    if sys.platform == "win32":
        # The event loops of Windows have no handlers of signals.
        signal.signal(number, lambda *_: loop.call_soon_threadsafe(callback, number))
    else:
        loop.add_signal_handler(number, callback, number)


def restore_handler(loop: asyncio.AbstractEventLoop, number: signal.Signals, handler: Any) -> None:
    """Undo ``handle_signal``.

    :param handler: the handler to use from now on, as for ``signal.signal``.
    """
    if sys.platform != "win32":
        loop.remove_signal_handler(number)
    signal.signal(number, handler)


def _is_closing(task: asyncio.Task[Any]) -> bool:
    """Return whether a task is the one in which a node says goodbye."""
    return task.get_name().startswith("fastcoord ") and task.get_name().endswith(" close")


def run_until_interrupted(main: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine, and cancel it on Ctrl-C, SIGTERM or SIGHUP so that it can clean up.

    :param main: returns the exit status.
    :return: the exit status, or 128 and the number of the signal, for example 130 after Ctrl-C.
    """
    caught: list[int] = []

    async def cancellable() -> int:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None

        def interrupt(number: int) -> None:
            # A closed terminal can be reported twice, and after the failure of a write has ended
            # the command. Only Ctrl-C interrupts the goodbye of a node.
            is_ending = bool(caught) or any(map(_is_closing, asyncio.all_tasks()))
            caught.append(number)
            if number == signal.SIGINT or not is_ending:
                task.cancel()

        before = {number: signal.getsignal(number) for number in ending_signals()}
        if sys.platform != "win32" and before[signal.SIGHUP] is signal.SIG_IGN:
            del before[signal.SIGHUP]  # under nohup
        for number in before:
            handle_signal(loop, number, interrupt)
        try:
            return await main
        finally:
            # A signal that arrives while the loop closes would be written to its closed pipe.
            for number, handler in before.items():
                restore_handler(loop, number, handler)

    try:
        code = asyncio.run(cancellable())
    except (asyncio.CancelledError, OSError):
        # Nothing can be written to a closed terminal.
        if not caught:
            raise
    return 128 + caught[0] if caught else code
