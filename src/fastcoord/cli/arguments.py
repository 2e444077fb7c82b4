"""The commands of ``fastcoord`` and how their arguments are parsed.

A command is a module of this package with two functions: ``configure(parser)`` adds its
description and arguments, ``run(arguments)`` returns the exit status. :data:`COMMANDS` lists them.
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import re
import sys
from typing import TYPE_CHECKING, Any, Literal, NoReturn, Protocol, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = [
    "COMMANDS",
    "Command",
    "NodeId",
    "SentenceParser",
    "add_node_id",
    "build_parser",
    "command_module",
    "duration",
    "event_kind",
    "hide_logins",
    "node_id",
    "number",
    "size",
]

COMMANDS = {
    "demo": "run three nodes on a local nats-server and count every event",
    "check": "print the settings of a configuration, or its problems",
    "listen": "print the events of a running cluster",
    "peers": "list the other nodes of a running cluster",
    "stream": "create, show or check the JetStream stream of a configuration",
    "publish": "publish events given as arguments or as JSON lines",
    "init": "print a commented configuration to start from",
    "decode": "decode one captured payload, in one protocol or in all",
    "bench": "measure throughput and latency under a load",
    "tune": "choose capacities for a load, by arithmetic or by measurement",
}
"""The summary of each command by its name, which is also the name of its module."""

DESCRIPTION = (
    "A coordination bus for clusters of processes over NATS, wire-compatible with Stalwart."
)

NodeId = int | Literal["auto"]

EPILOGUE = """\
`fastcoord COMMAND --help` describes a command.

Exit status: 0 success, 1 failure, 2 wrong usage, 130 after Ctrl-C, 143 after SIGTERM, 129 if the
terminal was closed.

example: fastcoord check --connect node.toml
         eval "$(fastcoord --print-completion bash)"
"""


_LOGIN = re.compile(r"//.*@")
_NUMBER = re.compile(r"\s*\d+\s*")
_CHOICE = re.compile(r"invalid choice: '([^']*)' \(choose from (.*)\)$")


class Command(Protocol):
    """The functions of a command's module."""

    def configure(self, parser: SentenceParser) -> None:
        """Add the description and the arguments of the command."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Run the command and return its exit status."""


class SentenceParser(argparse.ArgumentParser):
    """A parser that reports wrong usage in one sentence and suggests the nearest option."""

    def __init__(self, **options: Any) -> None:
        options.setdefault("formatter_class", argparse.RawDescriptionHelpFormatter)
        super().__init__(allow_abbrev=False, **options)
        self.commands: dict[str, SentenceParser] = {}
        """The parsers of the commands, or of the actions of one command."""
        self.words: str | None = None
        """The ``dest`` of the argument that also takes the words behind an option."""
        self.given: Sequence[str] = ()
        """The command line that is being parsed."""

    def error(self, message: str) -> NoReturn:
        # argparse reports the value of a mistyped option as a wrong argument, or another argument
        # as missing. The mistyped option is the cause.
        if not self.commands:
            options = (word for word in self.given if word.startswith("--"))
            message = next(filter(None, map(self._unknown, options)), message)
        message = hide_logins(message + _nearest_choice(message))
        self.exit(2, f"{self.prog}: {message}; see '{self.prog} --help'\n")

    def _unknown(self, word: str, cutoff: float = 0.6, otherwise: str = "") -> str | None:
        """Return what is wrong with an option that this parser does not have.

        :param cutoff: how similar an option must be to be suggested, from 0 to 1.
        :param otherwise: the hint if no option is similar.
        """
        name = word.partition("=")[0]
        known = [option for action in self._actions for option in action.option_strings]
        if name in (*known, "--"):
            return None
        near = difflib.get_close_matches(name, known, n=1, cutoff=cutoff)
        hint = f", did you mean {near[0]}?" if near else otherwise
        return f"there is no argument {word!r} here{hint}"

    def parse_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: argparse.Namespace | None = None
    ) -> argparse.Namespace:
        given = list(sys.argv[1:] if args is None else args)
        if given[:1] == ["help"]:
            given = [*given[1:], "--help"]
        if not given and self.commands:
            self.print_help(sys.stderr)
            self.exit(2)
        if given and given[0].startswith("--"):
            # argparse would take the value of this option as the command.
            problem = self._unknown(given[0], 0.75, ": options stand behind the command")
            if problem:
                self.error(problem)
        for parser in self.commands.values():
            for each in (parser, *parser.commands.values()):
                each.given = given
        found, unknown = self.parse_known_args(given, namespace)
        if unknown:
            command = self.commands.get(found.command, self)
            command = command.commands.get(getattr(found, "action", ""), command)
            if command.words:
                # argparse gives nothing to nargs="*" if an option stands before the words.
                options = [word for word in unknown if word.startswith("-") and word != "-"]
                words = [word for word in unknown if word not in options]
                setattr(found, command.words, [*getattr(found, command.words), *words])
                unknown = options
                if not unknown:
                    return found
            word = unknown[0]
            command.error(command._unknown(word) or f"there is no argument {word!r} here")
        return found


def _nearest_choice(message: str) -> str:
    """Return a hint for a mistyped choice: the only one that is similar."""
    found = _CHOICE.search(message)
    if found is None:
        return ""
    choices = re.findall(r"[\w.-]+", found[2])
    near = difflib.get_close_matches(found[1].lower(), choices, n=2)
    return f", did you mean {near[0]}?" if len(near) == 1 else ""


def hide_logins(text: str) -> str:
    """Hide user names and passwords of URLs in a message, which may quote an argument.

    A wrong URL may contain blanks or further ``@``.
    """
    return _LOGIN.sub("//***@", text)


class PrintVersion(argparse.Action):
    """Print the version, and exit."""

    def __call__(self, parser: argparse.ArgumentParser, *ignored: object) -> None:
        # This import takes longer than those of a short command.
        from importlib.metadata import version

        print(f"fastcoord {version('fastcoord')}")
        parser.exit()


class PrintCompletion(argparse.Action):
    """Print a completion script for a shell, and exit."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        try:
            from fastcoord.cli.completion import completion_script
        except ImportError:
            parser.error("--print-completion needs shtab: pip install 'fastcoord[cli]'")
        assert isinstance(parser, SentenceParser)
        commands = []
        for name, command in parser.commands.items():
            if command.description is None:
                command_module(name).configure(command)
            commands += [command, *command.commands.values()]
        print(completion_script(parser, commands, values))
        parser.exit()


def build_parser(argv: Sequence[str]) -> SentenceParser:
    """Make the parser for a command line.

    :param argv: the command line. Only the module of the command that it names is imported, so
        that ``--help`` does not wait for all of them.
    :return: the parser.
    """
    parser = SentenceParser(prog="fastcoord", description=DESCRIPTION, epilog=EPILOGUE)
    parser.add_argument(
        "--version", action=PrintVersion, nargs=0, help="print the installed version, and exit"
    )
    parser.add_argument(
        "--print-completion",
        action=PrintCompletion,
        choices=("bash", "zsh", "fish", "tcsh"),
        metavar="SHELL",
        help="print the completion script of bash, zsh, fish or tcsh",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, summary in COMMANDS.items():
        command: SentenceParser = commands.add_parser(name, help=summary)
        parser.commands[name] = command
        if name in argv:
            command_module(name).configure(command)
    return parser


def command_module(name: str) -> Command:
    """Import the module of a command.

    :param name: a key of :data:`COMMANDS`.
    :return: the module.
    """
    return cast("Command", importlib.import_module(f"fastcoord.cli.{name}"))


def add_node_id(parser: argparse.ArgumentParser) -> None:
    """Add the option for the node id that a command joins with.

    The default is a free one, because a running node may have the one of the file.
    """
    parser.add_argument(
        "--node-id",
        type=node_id,
        default="auto",
        metavar="ID",
        help="the node id to join with (default: a free one)",
    )


def node_id(text: str) -> NodeId:
    """Read a node id, for the ``type`` of an argument.

    :param text: a whole number, or ``auto`` for a free id.
    """
    if text == "auto":
        return "auto"
    try:
        return int(number(int, 0, 65535)(text))
    except argparse.ArgumentTypeError as error:
        raise argparse.ArgumentTypeError(f"{error}, or auto for a free one") from None


def number(
    kind: Callable[[str], Any], smallest: float, largest: float
) -> Callable[[str], float | int]:
    """Make a parser of numbers within a range.

    :param kind: ``int`` or ``float``.
    :param smallest: the smallest number allowed.
    :param largest: the largest number allowed.
    :return: the parser, for the ``type`` of an argument.
    """

    def parse(text: str) -> float | int:
        try:
            value: float | int = kind(text)
        except ValueError:
            value = largest + 1
        if not smallest <= value <= largest:
            what = "a whole number" if kind is int else "a number"
            raise argparse.ArgumentTypeError(
                f"{text!r} is not {what} from {smallest:g} to {largest:,}"
            )
        return value

    return parse


def duration(text: str) -> float:
    """Read a duration in the form of the settings, for the ``type`` of an argument.

    :param text: for example ``90s``. A number without a unit is refused: in the settings it means
        milliseconds, which nobody expects here.
    :return: the duration in seconds.
    """
    from fastcoord.config import read_duration

    if _NUMBER.fullmatch(text):
        raise argparse.ArgumentTypeError(f"{text!r} was given; write a unit, as in {text}s")
    try:
        return read_duration(text)
    except ValueError:
        # The error of the settings also allows a number without a unit.
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a duration such as 250ms, 5s, 1m, 2h or 1d, above zero and at most"
            " 365 days"
        ) from None


def size(text: str) -> int:
    """Read a size in the form of the settings, for the ``type`` of an argument.

    :param text: for example ``64MB``.
    :return: the size in bytes.
    """
    from fastcoord.config import size_reader

    try:
        return size_reader(0, 2**60)(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} was given; {error}") from None


def event_kind(name: str) -> str:
    """Check the name of an event kind, for the ``type`` of an argument.

    :param name: the name, for example ``StateChange``.
    :return: the same name.
    :raises argparse.ArgumentTypeError: when no event kind has this name.
    """
    from fastcoord import events

    known = [
        each
        for each in events.__all__
        if isinstance(kind := getattr(events, each), type)
        and issubclass(kind, events.Event)
        and kind is not events.Event
    ]
    if name in known:
        return name
    near = difflib.get_close_matches(name, known, n=1)
    hint = f", did you mean {near[0]}?" if near else f": choose from {', '.join(known)}"
    raise argparse.ArgumentTypeError(f"there is no event {name!r}{hint}")
