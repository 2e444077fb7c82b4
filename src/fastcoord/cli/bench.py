"""``fastcoord bench``: measure throughput and latency under a load."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastcoord.cli import load_options
from fastcoord.cli.arguments import number
from fastcoord.cli.ending import EndingSignals
from fastcoord.cli.measuring import (
    INVALID,
    MISSED_OBJECTIVE,
    failure_text,
    measure_until_ended,
)
from fastcoord.cli.outputs import check_outputs, keeps_older, print_lines, write_output
from fastcoord.cli.running import CommandFailed, WrongUsage
from fastcoord.errors import ConfigError, FastcoordError

if TYPE_CHECKING:
    import argparse

    from fastcoord.cli.arguments import SentenceParser
    from fastcoord.tuning.load import Load
    from fastcoord.tuning.result import Result

__all__ = ["configure", "run"]

DESCRIPTION = """\
Start publishers and subscribers in processes of their own, measure throughput, latency, CPU time
and memory, and account for every event. Without FILE a bundled nats-server is used. The events
travel on a subject of their own, never on the configured one.

With --rate, each event has a scheduled time, and latency counts from that time ("corrected"), so
that delays of the publisher count as well. "Uncorrected" latency counts from the call of publish.

example: fastcoord bench --rate 30000 --lone --seconds 10
         fastcoord bench node.toml --flat-out --list 100 --read batches
         fastcoord bench --rate 5000 --objective 'p99<5ms,missed=0' --json result.json
         fastcoord bench --rate 5000 --sweep capacity.batch-bytes=1KB,4KB,16KB
         fastcoord bench compare before.json after.json --fail p99:10%

Exit status: 0 success, 1 an objective or a limit was missed, 2 wrong usage, 3 the run is not valid
(the publishers could not keep up, a connection broke, the server could not be used), 130 after
Ctrl-C, 143 after SIGTERM; both print the figures up to then.
"""


def configure(parser: SentenceParser) -> None:
    """Add the description and the arguments of the command."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "file",
        nargs="*",
        metavar="FILE|URL",
        help="the configuration, TOML or JSON, or the URL of servers; or: compare A.json B.json",
    )
    parser.words = "file"
    parser.add_argument(
        "--rate",
        type=number(float, 0.1, 100_000_000),
        metavar="N",
        help="events per second of all publishers together (default: 1000)",
    )
    parser.add_argument("--flat-out", action="store_true", help="publish as fast as possible")
    parser.add_argument(
        "--seconds",
        type=load_options.seconds,
        default=10.0,
        metavar="TIME",
        help="the duration of the measured part (default: 10)",
    )
    parser.add_argument(
        "--warm-up",
        type=load_options.seconds,
        default=1.0,
        metavar="TIME",
        help="seconds with the same load before it (default: 1)",
    )
    for role in ("publishers", "subscribers"):
        parser.add_argument(
            f"--{role}",
            type=number(int, 1, load_options.MOST_NODES),
            default=1,
            metavar="N",
            help=f"number of {role} (default: 1)",
        )
    load_options.add_load(parser)
    faults = parser.add_argument_group("faults, after a fifth of the duration")
    for name, text in (
        ("stall", "each subscriber stops to read for this time"),
        ("generator-stall", "each publisher stops to publish for this time, then catches up"),
        ("outage", "the publishers have no connection for this time (not with TLS)"),
    ):
        faults.add_argument(
            f"--{name}", type=load_options.seconds, default=0.0, metavar="TIME", help=text
        )
    parser.add_argument(
        "--set",
        type=load_options.setting,
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="another setting for all nodes, for example capacity.client=4096; may be repeated",
    )
    parser.add_argument(
        "--sweep",
        type=load_options.sweep,
        metavar="KEY=V1,V2,…",
        help="one run for each value of a setting, and a table of all; with --csv, one line each",
    )
    load_options.add_server(parser)
    output = parser.add_argument_group("output")
    output.add_argument(
        "--objective",
        type=load_options.objectives,
        default=(),
        metavar="LIST",
        help="figures to reach, for example p99<5ms,missed=0,events/s>10000",
    )
    for name, what in (
        ("json", "the result as JSON"),
        ("csv", "the result as CSV"),
        ("hgrm", "the corrected latency for plotters of HdrHistogram (uncorrected: beside it)"),
    ):
        output.add_argument(
            f"--{name}", metavar="FILE", help=f"write {what} to FILE; - for standard output"
        )
    output.add_argument(
        "--fail",
        action="append",
        default=[],
        metavar="NAME:N%",
        help="with compare: exit with 1 if this figure is more than N%% worse, for example"
        " p99:10%%",
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure one run, or compare two results.

    :param arguments: the parsed arguments.
    :return: the exit status.
    """
    words = arguments.file
    try:
        if words[:1] == ["compare"]:
            from fastcoord.cli.bench_compare import compare_files

            if len(words) != 3:
                raise WrongUsage("compare takes two files: fastcoord bench compare A.json B.json")
            return compare_files(words[1], words[2], arguments.fail)
        if arguments.fail:
            raise WrongUsage("--fail needs compare: fastcoord bench compare A.json B.json --fail …")
        if len(words) > 1:
            raise WrongUsage("one configuration is enough")
        load = _load(arguments)
        source = words[0] if words else None
        check_outputs(arguments.json, arguments.csv, arguments.hgrm, source=source)
        with EndingSignals() as ending:
            return _measure(arguments, source, load, ending)
    except WrongUsage:
        raise
    except ConfigError as error:
        raise WrongUsage("; ".join(map(str, error.problems))) from None
    except (FastcoordError, CommandFailed) as error:
        print(f"fastcoord: {failure_text(error, 'the run is not valid')}", file=sys.stderr)
        return INVALID


def _load(arguments: argparse.Namespace) -> Load:
    """Return the load.

    :raises WrongUsage: the options do not fit together.
    """
    from fastcoord.tuning.load import Load

    if arguments.flat_out and arguments.rate is not None:
        raise WrongUsage("--flat-out and --rate exclude each other")
    if arguments.sweep is not None and (arguments.json or arguments.hgrm):
        raise WrongUsage("--sweep writes no --json and no --hgrm: use --csv")
    if arguments.flat_out and arguments.generator_stall:
        raise WrongUsage("--generator-stall needs --rate: without a schedule nothing is late")
    if not arguments.seconds:
        raise WrongUsage("--seconds must be above zero")
    load = Load(
        rate=None if arguments.flat_out else arguments.rate or 1000.0,
        publishers=arguments.publishers,
        subscribers=arguments.subscribers,
        seconds=arguments.seconds,
        warm_up=arguments.warm_up,
        stall=arguments.stall,
        generator_stall=arguments.generator_stall,
        outage=arguments.outage,
        **load_options.style(arguments),
    )
    if problem := load.unmeasured():
        raise WrongUsage(problem)
    if load.longest_incident > load.seconds * 0.7:
        raise WrongUsage(
            f"--seconds must be at least {load.longest_incident / 0.7:.1f}, so that the load"
            " goes on after the stall or outage"
        )
    return load


def _measure(
    arguments: argparse.Namespace, file: str | None, load: Load, ending: EndingSignals
) -> int:
    from fastcoord.cli.bench_stream import note_unused_stream, stream_maker
    from fastcoord.cli.bench_sweep import measure_sweep
    from fastcoord.tuning.event_data import unsupported
    from fastcoord.tuning.histograms import check_library
    from fastcoord.tuning.run import Run
    from fastcoord.tuning.target import open_target

    check_library()
    try:
        with open_target(
            file,
            protocol=arguments.protocol,
            subject_prefix=arguments.subject,
            jetstream=arguments.stream,
            largest_event=load.payload_bytes,
        ) as target:
            note_unused_stream(target.config, arguments.stream)
            protocol = target.config.cluster.protocol
            absent = unsupported(load.mix, protocol)
            if absent:
                raise WrongUsage(f"{protocol} has no {', '.join(absent)}: choose another --mix")
            if arguments.sweep is not None:
                return measure_sweep(arguments, load, target, ending)
            run = Run(load, dict(arguments.set), target, make_stream=stream_maker(arguments.stream))
            result = measure_until_ended(run, ending)
    except ValueError as error:
        if isinstance(error, FastcoordError):
            raise
        raise WrongUsage(str(error)) from None
    return _finish(arguments, result, ending)


def _finish(arguments: argparse.Namespace, result: Result, ending: EndingSignals) -> int:
    """Write and print the result, and return the exit status."""
    import msgspec

    from fastcoord.cli.bench_text import outcome_lines, result_lines
    from fastcoord.tuning.histograms import hgrm
    from fastcoord.tuning.objectives import judge
    from fastcoord.tuning.result import csv_text

    forms: dict[str, Any] = {
        "json": lambda: msgspec.json.format(msgspec.json.encode(result), indent=2).decode() + "\n",
        "csv": lambda: csv_text(result),
        "hgrm": lambda: hgrm(result.latency) if result.latency else "",
    }
    to_output = [name for name in forms if getattr(arguments, name) == "-"]
    outcomes = judge(result, arguments.objective)
    lines = [*result_lines(result), *outcome_lines(outcomes)]
    print_lines(lines, sys.stderr if to_output else sys.stdout)
    outputs = {getattr(arguments, name): text for name, text in forms.items()}
    if arguments.hgrm not in (None, "-") and result.corrected and result.uncorrected:
        file = Path(arguments.hgrm)
        beside = file.with_name(f"{file.stem}.uncorrected{file.suffix}")
        outputs[str(beside)] = functools.partial(hgrm, result.uncorrected)
        pair = {arguments.hgrm, str(beside)}
    else:
        pair = set()
    kept = {file for file in outputs if file and result.interrupted and keeps_older(file)}
    if kept & pair:
        kept |= pair  # two runs in these files would be plotted as one
    failures = []
    for where, text in outputs.items():
        try:
            if where is not None and where not in kept:
                write_output(where, text())
        except WrongUsage as error:
            failures.append(str(error))  # the other files are written all the same
    if failures:
        raise WrongUsage("; ".join(failures))
    if result.interrupted:
        return ending.status
    for problem in result.problems:
        print(f"fastcoord: the run is not valid: {problem}", file=sys.stderr)
    if not result.valid:
        return INVALID
    return 0 if all(each.is_met for each in outcomes) else MISSED_OBJECTIVE
