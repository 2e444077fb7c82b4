"""``fastcoord stream``: create, show and check the stream of a configuration."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from fastcoord.cli.administrator import Administrator
from fastcoord.cli.arguments import SentenceParser, duration, size
from fastcoord.cli.running import CommandFailed, WrongUsage, run_until_interrupted
from fastcoord.cli.settings import add_file, load
from fastcoord.cli.stream_text import as_builtins, print_stream
from fastcoord.config import is_url
from fastcoord.errors import StreamError
from fastcoord.streaming.settings import (
    DEFAULT_MAX_AGE,
    DEFAULT_MAX_BYTES,
    differences,
    stream_advice,
    stream_problems,
    stream_settings,
)

if TYPE_CHECKING:
    from fastcoord.config import Config
    from fastcoord.nats.stream_info import StreamInfo, StreamSettings

__all__ = ["configure", "run"]

DESCRIPTION = """\
Create, show or check the JetStream stream that cluster.stream of a configuration names.

example: fastcoord stream create node.toml --max-age 6h
         fastcoord stream check node.toml
"""

CREATE = """\
Create the stream that cluster.stream names, for the subject of the events alone. If it exists with
the same settings, do nothing. A full stream removes its oldest events.

example: fastcoord stream create node.toml --storage file --replicas 3 --max-age 6h --max-bytes 4GB
"""

INFO = """\
Print the settings of the stream, the messages that it stores, and its servers.

example: fastcoord stream info node.toml
"""

CHECK = """\
Compare the stream with what fastcoord needs, and print each problem with its remedy. Exit with 1
if there is one. Settings that work, but may not be what is wanted, are printed as advice.

example: fastcoord stream check node.toml
"""

MOST_REPLICAS = 5
DEFAULT_REPLICAS = 3
"""The number of replicas on a cluster of servers, if it has that many with JetStream."""

TOO_MANY_REPLICAS = frozenset({10005, 10074})
EXISTS_DIFFERENTLY = 10058


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the description and the arguments of the command."""
    parser.description = DESCRIPTION
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)

    def add(name: str, summary: str, description: str) -> argparse.ArgumentParser:
        action = actions.add_parser(name, help=summary, description=description)
        add_file(action)
        action.add_argument("--json", action="store_true", help="print one JSON object")
        if isinstance(parser, SentenceParser) and isinstance(action, SentenceParser):
            parser.commands[name] = action
        return action

    create = add("create", "create the stream", CREATE)
    create.add_argument(
        "--storage",
        choices=("file", "memory"),
        default="file",
        help="where the servers store messages (default: file)",
    )
    create.add_argument(
        "--replicas",
        type=int,
        choices=range(1, MOST_REPLICAS + 1),
        metavar="N",
        help="the number of servers that store each message, 1 to 5 (default: 3 on a cluster that"
        " has three servers, otherwise 1)",
    )
    create.add_argument(
        "--max-age",
        type=duration,
        default=DEFAULT_MAX_AGE,
        metavar="DURATION",
        help="remove messages that are older (default: 1h)",
    )
    create.add_argument(
        "--max-bytes",
        type=size,
        default=DEFAULT_MAX_BYTES,
        metavar="SIZE",
        help="remove the oldest messages beyond this size, which each server reserves; 0 for no"
        " limit (default: 1GB)",
    )
    create.add_argument(
        "--duplicate-window",
        type=duration,
        metavar="DURATION",
        help="how long a message that is sent again is recognised (default: 2m, or cluster.max-age"
        " if that is longer)",
    )
    add("info", "print settings and state of the stream", INFO)
    add("check", "compare the stream with what fastcoord needs", CHECK)


def run(arguments: argparse.Namespace) -> int:
    """Create, show or check the stream of a configuration.

    :param arguments: the parsed arguments.
    :return: the exit status.
    :raises StreamError: JetStream refuses the request.
    """
    config = load(arguments.file)
    if config.cluster.stream is None:
        if arguments.file is None or is_url(arguments.file):
            raise CommandFailed("no stream is named: set FASTCOORD_STREAM to its name")
        raise CommandFailed(
            f'{arguments.file}: cluster.stream is not set; name the stream, as in stream = "AGORA"'
        )
    action = {"create": _create, "info": _info, "check": _check}[arguments.action]
    return run_until_interrupted(action(config, arguments))


async def _create(config: Config, arguments: argparse.Namespace) -> int:
    window: float | None = arguments.duplicate_window
    if window is not None and window > arguments.max_age:
        raise WrongUsage("--duplicate-window cannot be longer than --max-age")
    shortest = config.cluster.max_age
    for name, seconds in (("max-age", arguments.max_age), ("duplicate-window", window)):
        if seconds is not None and seconds < shortest:
            raise WrongUsage(
                f"--{name} cannot be shorter than cluster.max-age ({shortest:g} s), for which nodes"
                " keep events and send them again"
            )

    def wanted(replicas: int) -> StreamSettings:
        return stream_settings(
            config,
            storage=arguments.storage,
            replicas=replicas,
            max_age=arguments.max_age,
            max_bytes=arguments.max_bytes or -1,
            duplicate_window=window,
        )

    async with Administrator(config) as admin:
        given: int | None = arguments.replicas
        replicas = given or (DEFAULT_REPLICAS if admin.is_clustered else 1)
        try:
            await _create_or_explain(admin, wanted(replicas))
        except StreamError as error:
            if given is not None or error.code not in TOO_MANY_REPLICAS:
                raise
            await _create_or_explain(admin, wanted(1))
        info = await admin.jetstream.stream_info(config.cluster.stream or "")
    _show(info, arguments)
    return 0


async def _create_or_explain(admin: Administrator, wanted: StreamSettings) -> None:
    try:
        await admin.jetstream.create_stream(wanted)
        return
    except StreamError as error:
        if error.code != EXISTS_DIFFERENTLY:
            raise
    found = (await admin.jetstream.stream_info(wanted.name)).config
    # Settings that fastcoord does not know may differ as well.
    different = "; ".join(differences(wanted, found)) or "compare with 'nats stream info'"
    raise CommandFailed(
        f"the stream {wanted.name} exists with other settings ({different}): see whether it can be"
        " used with 'fastcoord stream check', or change it with"
        f" 'nats stream edit {wanted.name}'"
    )


async def _info(config: Config, arguments: argparse.Namespace) -> int:
    async with Administrator(config) as admin:
        info = await admin.jetstream.stream_info(config.cluster.stream or "")
    _show(info, arguments)
    return 0


def _show(info: StreamInfo, arguments: argparse.Namespace) -> None:
    if arguments.json:
        print(json.dumps(as_builtins(info)))
    else:
        print_stream(info)


async def _check(config: Config, arguments: argparse.Namespace) -> int:
    async with Administrator(config) as admin:
        info = await admin.jetstream.stream_info(config.cluster.stream or "")
    problems = stream_problems(info, config)
    advice = stream_advice(info, config, is_clustered=admin.is_clustered)
    if arguments.json:
        print(
            json.dumps(
                {
                    "stream": info.config.name,
                    "problems": [each._asdict() for each in problems],
                    "advice": [each._asdict() for each in advice],
                }
            )
        )
        return 1 if problems else 0
    for each in problems:
        print(f"problem: {each.what}\n  remedy: {each.remedy}")
    for each in advice:
        print(f"advice: {each.what}\n  remedy: {each.remedy}")
    if not problems:
        print(f"the stream {info.config.name} at {admin.server} can be used")
    return 1 if problems else 0
