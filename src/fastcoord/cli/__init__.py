"""The ``fastcoord`` command."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from fastcoord.cli.arguments import build_parser
from fastcoord.cli.running import CommandFailed
from fastcoord.errors import ConfigError, FastcoordError

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence

__all__ = ["main"]

FAILURE = 1
USAGE = 2
INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    :param argv: the arguments; by default those of the process.
    :return: the exit status. A failure is told on standard error, without a traceback.
    """
    try:
        return _run(build_parser().parse_args(argv))
    except SystemExit as exit:  # argparse has said what it had to say
        return exit.code if isinstance(exit.code, int) else USAGE
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output is gone, and must not be written to once more at the exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILURE
    except ConfigError as error:
        for problem in error.problems:
            print(f"fastcoord: {problem}", file=sys.stderr)
        return FAILURE
    except (FastcoordError, CommandFailed) as error:
        print(f"fastcoord: {error}", file=sys.stderr)
        return FAILURE


def _run(arguments: argparse.Namespace) -> int:
    # Each command is imported when it is wanted: the help must not wait for all of them.
    if arguments.command == "demo":
        from fastcoord.cli.demo import DemoOptions, run_demo

        options = DemoOptions(
            nodes=arguments.nodes,
            seconds=arguments.seconds,
            rate=arguments.rate,
            seed=arguments.seed,
            protocol=arguments.protocol,
            server=arguments.server,
            keep=arguments.keep,
            plain=arguments.plain,
        )
        return run_demo(options)
    if arguments.command == "check":
        from fastcoord.cli.check import run_check

        return run_check(arguments.file, connect=arguments.connect)
    from fastcoord.cli.listen import run_listen

    return run_listen(
        arguments.file, node_id=arguments.node_id, kinds=arguments.kinds, as_json=arguments.json
    )
