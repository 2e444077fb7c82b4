"""Ctrl-C ends the ``fastcoord`` command without a traceback while it imports its modules.

The package imports this module first. In other programs it does nothing. It imports only what
Python has loaded already: ``signal`` and ``typing`` take longer than the rest of this module.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]
import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import NoReturn

__all__ = ["INTERRUPTED", "is_command"]

INTERRUPTED = 130
"""The exit status after Ctrl-C: 128 and the number of the signal, as in a shell."""

WITH_ARGUMENT = ("-W", "-X", "--check-hash-based-pycs")
"""The options of the interpreter whose argument is the next word."""


def is_command(program: str, command_line: Sequence[str]) -> bool:
    """Return whether a process runs the ``fastcoord`` command.

    :param program: ``sys.argv[0]``: the path of a script, or ``-m`` while Python imports the
        package of a module that it runs.
    :param command_line: ``sys.orig_argv``: the interpreter and all words behind it.
    """
    if program == "-m":
        return _module_of(command_line) == "fastcoord"
    # A process of multiprocessing has sys.argv of its parent, but its own command line.
    return os.path.basename(program) == "fastcoord" and program in command_line


def _module_of(command_line: Sequence[str]) -> str:
    """Return the argument of ``-m``, which may be combined with other options, as in ``-Im``."""
    words = iter(command_line[1:])
    for word in words:
        if word in WITH_ARGUMENT:
            next(words, None)
        elif word[1:2] not in ("W", "X", "-") and "m" in word:
            return word.partition("m")[2] or next(words, "")
    return ""


def _end(number: int, frame: object) -> NoReturn:
    # Commands that have something to clean up set their own handlers meanwhile.
    os._exit(INTERRUPTED)


if (
    is_command((getattr(sys, "argv", None) or [""])[0], sys.orig_argv)
    # A signal that is ignored, as in the background jobs of a shell script, stays ignored.
    and _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler
):
    _signal.signal(_signal.SIGINT, _end)
