"""The ``fastcoord`` command."""

from __future__ import annotations

import errno
import io
import os
import sys
from typing import TYPE_CHECKING

from fastcoord._early_interrupt import INTERRUPTED
from fastcoord.cli.arguments import build_parser, command_module, hide_logins
from fastcoord.cli.running import CommandFailed, EndedBySignal, WrongUsage
from fastcoord.errors import ConfigError, FastcoordError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["main"]

FAILURE = 1
USAGE = 2
HANGUP = 128 + 1
UNWRITABLE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    :param argv: the arguments; by default those of the process.
    :return: the exit status. A failure is reported on standard error, without a traceback.
    """
    words = sys.argv[1:] if argv is None else list(argv)
    _prepare_streams()
    try:
        arguments = build_parser(words).parse_args(words)
        code = command_module(arguments.command).run(arguments)
        if code == HANGUP:
            _drop_output()
        # Errors of buffered output appear here, and not when Python ends.
        sys.stdout.flush()
        return code
    except SystemExit as exit:  # argparse has printed its message
        return exit.code if isinstance(exit.code, int) else USAGE
    except KeyboardInterrupt as error:
        return error.status if isinstance(error, EndedBySignal) else INTERRUPTED
    except BrokenPipeError:
        _drop_output()  # the reader of standard output has ended
        return FAILURE
    except ConfigError as error:
        for problem in error.problems:
            print(f"fastcoord: {problem}", file=sys.stderr)
        return FAILURE
    except (FastcoordError, CommandFailed) as error:
        print(f"fastcoord: {hide_logins(str(error))}", file=sys.stderr)
        return USAGE if isinstance(error, WrongUsage) else FAILURE
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        _drop_output()
        try:
            print(f"fastcoord: the output cannot be written: {error.strerror}", file=sys.stderr)
        except OSError:
            # The terminal is closed. Python would exit with 120 if it could not write the rest.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stderr.fileno())
        return FAILURE


def _prepare_streams() -> None:
    """Replace closed standard streams with the null device, and escape what cannot be encoded.

    A socket could get the number of a closed stream, and output or input would go to it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            descriptor = os.open(os.devnull, os.O_RDWR)
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8"))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _drop_output() -> None:
    """Drop what is left of the output, which Python would try to write again at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
