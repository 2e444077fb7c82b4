"""``fastcoord bench --sweep``: one run for each value of a setting."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from fastcoord.cli.bench_stream import stream_maker
from fastcoord.cli.bench_text import load_text, milliseconds
from fastcoord.cli.measuring import INVALID, MISSED_OBJECTIVE, ProgressLine
from fastcoord.cli.outputs import keeps_older, print_lines, write_output
from fastcoord.cli.tables import Table, plain_lines
from fastcoord.errors import FastcoordError
from fastcoord.tuning.objectives import judge
from fastcoord.tuning.result import csv_text, metrics
from fastcoord.tuning.run import Run

if TYPE_CHECKING:
    import argparse

    from fastcoord.cli.ending import EndingSignals
    from fastcoord.tuning.load import Load
    from fastcoord.tuning.result import Result
    from fastcoord.tuning.target import Target

__all__ = ["measure_sweep"]


def measure_sweep(
    arguments: argparse.Namespace, load: Load, target: Target, ending: EndingSignals
) -> int:
    """Measure one run for each value, and print a table.

    :param arguments: the parsed arguments of ``bench``.
    :param load: the load of each run.
    :param target: the server.
    :param ending: ends the runs early.
    :return: the exit status.
    :raises WrongUsage: the file for the results cannot be written.
    """
    key, values = arguments.sweep
    make_stream = stream_maker(arguments.stream)
    runs = [
        Run(load, {**dict(arguments.set), key: value}, target, make_stream=make_stream)
        for value in values
    ]
    results: list[Result] = []
    failures: list[str] = []
    is_stopped = False

    async def measure_all() -> None:
        for value, run in zip(values, runs, strict=True):
            if is_stopped:
                return
            line.prefix = f"{key} = {value}: "
            run.on_progress = line.show
            try:
                results.append(await run.measure())
            except FastcoordError as error:
                if not results:
                    raise
                failures.append(str(error))  # the figures of the other runs are still wanted
                return

    def stop() -> None:
        nonlocal is_stopped
        is_stopped = True
        for run in runs:
            run.stop()

    with ProgressLine() as line:
        ending.run(measure_all, stop)
    text = csv_text(*results)
    output = sys.stderr if arguments.csv == "-" else sys.stdout
    print_lines([f"{load_text(load)}; {target.name}", "", *_table(key, results)], output)
    if arguments.csv and not (is_stopped and keeps_older(arguments.csv)):
        write_output(arguments.csv, text)
    if is_stopped:
        return ending.status
    for failure in failures:
        print(f"fastcoord: the run is not valid: {failure}", file=sys.stderr)
    status = _status(results, arguments.objective)
    return INVALID if failures else status


def _status(results: list[Result], objectives: Any) -> int:
    for result in results:
        for problem in result.problems:
            print(f"fastcoord: a run is not valid: {problem}", file=sys.stderr)
    if not all(result.valid for result in results):
        return INVALID
    met = all(each.is_met for result in results for each in judge(result, objectives))
    return 0 if met else MISSED_OBJECTIVE


def _table(key: str, results: list[Result]) -> list[str]:
    rows = []
    for result in results:
        figures = metrics(result)
        latency = [
            milliseconds(figures[name]) if name in figures else "" for name in ("p50", "p99")
        ]
        rows.append(
            (
                f"{result.settings[key]:,}",
                f"{figures['events/s']:,.0f}",
                f"{figures['messages/s']:,.0f}",
                *latency,
                f"{result.missed:,}",
                f"{result.high_water_messages:,}",
                f"{figures['publisher-memory']:.1f}",
                f"{figures['subscriber-memory']:.1f}",
                "" if result.valid else "not valid",
            )
        )
    columns = (
        *(key, "events/s", "messages/s", "p50", "p99", "missed", "most waiting"),
        *("publisher MB", "subscriber MB", ""),
    )
    return plain_lines(Table("", columns, tuple(rows)))
