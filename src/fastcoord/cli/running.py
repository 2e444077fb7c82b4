"""Run the coroutine of a command, and cancel it on Ctrl-C."""

from __future__ import annotations

import asyncio
import signal
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Coroutine

__all__ = [
    "CommandFailed",
    "EndedBySignal",
    "WrongUsage",
    "ask_for_input",
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


def run_until_interrupted(main: Coroutine[Any, Any, int]) -> int:
    """Run a coroutine, and cancel it on Ctrl-C and SIGTERM so that it can clean up.

    :param main: returns the exit status.
    :return: the exit status, or 130 after Ctrl-C and 143 after SIGTERM.
    """
    caught: list[int] = []

    async def cancellable() -> int:
        loop = asyncio.get_running_loop()
        task = asyncio.current_task()
        assert task is not None

        def interrupt(number: int) -> None:
            caught.append(number)
            task.cancel()

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt, number)
        try:
            return await main
        finally:
            # A signal that arrives while the loop closes would be written to its closed pipe.
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    try:
        code = asyncio.run(cancellable())
    except asyncio.CancelledError:
        if not caught:
            raise
    return 128 + caught[0] if caught else code
