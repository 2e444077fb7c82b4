"""``fastcoord tune``: choose capacities for a load, by arithmetic or by measurement."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastcoord.cli import load_options
from fastcoord.cli.arguments import number
from fastcoord.cli.ending import EndingSignals
from fastcoord.cli.measuring import INVALID, MISSED_OBJECTIVE, failure_text
from fastcoord.cli.outputs import check_outputs, print_lines, write_output
from fastcoord.cli.running import WrongUsage
from fastcoord.errors import ConfigError, FastcoordError

if TYPE_CHECKING:
    import argparse

    from fastcoord.cli.arguments import SentenceParser
    from fastcoord.tuning.workload import Workload

__all__ = ["configure", "run"]

DESCRIPTION = """\
Choose the capacities of a node for a load: how many events arrive, how long a consumer may stop to
read (--stall), how long a publisher must bridge without a connection (--outage). Print the TOML to
paste, the memory that it can cost, and the settings that can stay as they are.

--arithmetic computes the answer at once; docs/sizing.md explains the formulas. Otherwise runs on a
bundled nats-server, or on that of FILE, find the smallest values that suffice, within --minutes.
Finished runs are kept in a file; after Ctrl-C, --resume continues.

example: fastcoord tune --arithmetic --rate 30000 --lone --stall 3
         fastcoord tune --rate 5000 --lone --nowait --nodes 4 --stall 3 --outage 3 \\
             --objective 'p99<50ms,missed=0' --report report.html

Exit status: 0 success, 1 the load cannot be carried within the limits, 2 wrong usage, 3 a run was
not valid, 130 after Ctrl-C, 143 after SIGTERM.
"""

BATCH_BYTES = "capacity.batch-bytes"
DEFAULT_STATE = "fastcoord-tune.json"


def configure(parser: SentenceParser) -> None:
    """Add the description and the arguments of the command."""
    parser.description = DESCRIPTION
    parser.add_argument(
        "file",
        nargs="*",
        metavar="FILE|URL",
        help="the configuration whose server and present capacities are used, or the URL of servers"
        " (default: a bundled server and the default capacities)",
    )
    parser.words = "file"
    parser.add_argument(
        "--rate",
        type=number(float, 0.1, 100_000_000),
        required=True,
        metavar="N",
        help="events per second that a node receives from all other nodes together",
    )
    parser.add_argument(
        "--nodes",
        type=number(int, 1, load_options.MOST_NODES),
        default=1,
        metavar="N",
        help="number of nodes that publish these events (default: 1)",
    )
    load_options.add_load(parser)
    needs = parser.add_argument_group("requirements")
    for name, text in (
        ("stall", "the longest time for which a consumer stops to read"),
        ("outage", "the longest time without a connection that publishers bridge"),
    ):
        needs.add_argument(
            f"--{name}", type=load_options.seconds, default=0.0, metavar="TIME", help=text
        )
    needs.add_argument(
        "--objective",
        type=load_options.objectives,
        default=(),
        metavar="LIST",
        help="figures that the load without stall and outage must reach, for example"
        " p99<5ms,missed=0",
    )
    needs.add_argument(
        "--memory",
        type=load_options.size,
        metavar="SIZE",
        help="the most memory that the queues of one node may use, for example 256MB",
    )
    how = parser.add_argument_group("search")
    how.add_argument("--arithmetic", action="store_true", help="compute, do not measure")
    how.add_argument(
        "--minutes",
        type=number(float, 0.01, 600),
        default=5.0,
        metavar="N",
        help="time for the search; the runs that confirm the result come in addition (default: 5)",
    )
    how.add_argument(
        "--seconds",
        type=load_options.seconds,
        default=4.0,
        metavar="TIME",
        help="the duration of a run without stall and outage; others are at least as long"
        " (default: 4)",
    )
    how.add_argument(
        "--keep",
        choices=("capacity.read-buffer", BATCH_BYTES),
        action="append",
        default=[],
        metavar="KEY",
        help="do not vary this setting: capacity.read-buffer or capacity.batch-bytes; may be"
        " repeated",
    )
    how.add_argument(
        "--state",
        default=DEFAULT_STATE,
        metavar="FILE",
        help=f"the file for finished runs (default: {DEFAULT_STATE})",
    )
    how.add_argument(
        "--resume", action="store_true", help="use the finished runs of an interrupted search"
    )
    load_options.add_server(parser)
    output = parser.add_argument_group("output")
    output.add_argument("--report", metavar="FILE", help="write an HTML report to FILE")
    output.add_argument("--json", action="store_true", help="print the recommendation as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Recommend capacities.

    :param arguments: the parsed arguments.
    :return: the exit status.
    """
    if arguments.arithmetic and arguments.report:
        raise WrongUsage("--report shows measured runs: leave out --arithmetic")
    if arguments.arithmetic and arguments.objective:
        raise WrongUsage("--objective is reached by measured runs: leave out --arithmetic")
    if arguments.report == "-":
        raise WrongUsage("--report needs a file: standard output has the recommendation")
    if len(arguments.file) > 1:
        raise WrongUsage("one configuration is enough")
    if not arguments.seconds:
        raise WrongUsage("--seconds must be above zero")
    file = arguments.file[0] if arguments.file else None
    try:
        if arguments.arithmetic:
            return _compute(arguments, file)
        check_outputs(arguments.state, arguments.report, source=file)
        if Path(arguments.state).exists() and not Path(arguments.state).is_file():
            raise WrongUsage(f"{arguments.state} is no regular file: --state would replace it")
        with EndingSignals() as ending:
            return _search(arguments, file, ending)
    except WrongUsage:
        raise
    except ConfigError as error:
        raise WrongUsage("; ".join(map(str, error.problems))) from None
    except FastcoordError as error:
        print(f"fastcoord: {failure_text(error, 'a run was not valid')}", file=sys.stderr)
        return INVALID


def _workload(arguments: argparse.Namespace, protocol: str) -> Workload:
    from fastcoord.tuning.event_data import event_sizes, unsupported
    from fastcoord.tuning.load import Load
    from fastcoord.tuning.workload import Workload

    absent = unsupported(arguments.mix, protocol)
    if absent:
        raise WrongUsage(f"{protocol} has no {', '.join(absent)}: choose another --mix")
    load = Load(rate=arguments.rate, publishers=arguments.nodes, **load_options.style(arguments))
    sizes = event_sizes(load.mix, load.payload_bytes, protocol)
    return Workload(
        load=load,
        event_bytes=round(sum(sizes) / len(sizes), 1),
        largest_event=max(sizes),
        stall=arguments.stall,
        outage=arguments.outage,
        objectives=",".join(each.text for each in arguments.objective),
        memory=arguments.memory,
        stream=arguments.stream,
    )


def _compute(arguments: argparse.Namespace, file: str | None) -> int:
    from fastcoord.cli.tune_text import advice_lines, needs_lines
    from fastcoord.config import load_with_sources
    from fastcoord.tuning.advice import arithmetic_advice
    from fastcoord.tuning.load import default_settings, settings_of
    from fastcoord.tuning.sizing import DEFAULT_MAX_AGE, size_up

    present, protocol, store = default_settings(), arguments.protocol, "nats"
    max_age = DEFAULT_MAX_AGE
    if file is not None:
        config = load_with_sources(file)[0]
        present, protocol = settings_of(config), config.cluster.protocol
        store, max_age = config.cluster.coordinator, config.cluster.max_age
        arguments.stream = arguments.stream or config.cluster.stream is not None
    workload = _workload(arguments, protocol)
    sizing = size_up(workload, present, max_age)
    advice = arithmetic_advice(present, sizing, store)
    if arguments.json:
        _print_json({"workload": workload, "sizing": sizing, "advice": advice})
    else:
        print_lines([*needs_lines(workload, sizing), "", *advice_lines(workload, advice)])
    return MISSED_OBJECTIVE if advice.problems else 0


def _search(arguments: argparse.Namespace, file: str | None, ending: EndingSignals) -> int:
    from fastcoord.cli.bench_stream import note_unused_stream, stream_maker
    from fastcoord.cli.tune_text import advice_lines
    from fastcoord.cli.tuning_run import TuningRun
    from fastcoord.tuning.histograms import check_library
    from fastcoord.tuning.load import settings_of
    from fastcoord.tuning.report import report_html
    from fastcoord.tuning.sizing import fits
    from fastcoord.tuning.target import open_target
    from fastcoord.tuning.tuning_state import reserved

    check_library()
    try:
        with open_target(
            file,
            protocol=arguments.protocol,
            subject_prefix=arguments.subject,
            jetstream=arguments.stream,
            largest_event=arguments.payload or 0,
        ) as target:
            note_unused_stream(target.config, arguments.stream)
            workload = _workload(arguments, target.config.cluster.protocol)
            if BATCH_BYTES in arguments.keep and not fits(workload, settings_of(target.config)):
                raise WrongUsage(
                    f"an event takes {workload.largest_event:,} bytes, and does not fit into"
                    f" {BATCH_BYTES}: leave out --keep {BATCH_BYTES}"
                )
            if problem := workload.steady(arguments.seconds).unmeasured():
                raise WrongUsage(problem)
            with reserved(arguments.state):
                tuning = TuningRun(
                    workload,
                    target,
                    arguments.state,
                    budget=arguments.minutes * 60,
                    seconds=arguments.seconds,
                    resume=arguments.resume,
                    kept=arguments.keep,
                    make_stream=stream_maker(arguments.stream),
                )
                state = tuning.search(ending)
    except ValueError as error:
        if isinstance(error, FastcoordError):
            raise
        raise WrongUsage(str(error)) from None
    if state.advice is None:
        count, way = len(state.runs), "continue with the same options and --resume"
        after = f"after {count} runs; {way}" if count else "within the first run"
        print(f"fastcoord: interrupted {after}", file=sys.stderr)
        return ending.status
    if arguments.json:
        _print_json({"workload": workload, "sizing": state.sizing, "advice": state.advice})
    else:
        print_lines(advice_lines(workload, state.advice))
    if arguments.report:
        try:
            write_output(arguments.report, report_html(state))
        except WrongUsage as error:
            way = f"{arguments.state} has the finished runs, and --resume uses them"
            raise WrongUsage(f"{error}; {way}") from None
        print(f"fastcoord: the report is in {arguments.report}", file=sys.stderr)
    return MISSED_OBJECTIVE if state.advice.problems else 0


def _print_json(what: Any) -> None:
    import msgspec

    print(msgspec.json.format(msgspec.json.encode(what), indent=2).decode())
