"""Measure the capacity curves of ``docs/performance.md`` with ``fastcoord bench --sweep``.

``python -m benchmarks.capacity --docs docs/performance.md`` replaces the section between ``<!--
capacity curves -->`` and ``<!-- end of capacity curves -->``, and draws its plot.
"""

from __future__ import annotations

import argparse
import csv
import io
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

from fastcoord.tuning.result import facts

MARK = re.compile(r"(<!-- capacity curves -->\n).*?(<!-- end of capacity curves -->)", re.DOTALL)


class Sweep(NamedTuple):
    """One curve: a setting, its values, and the other options of ``fastcoord bench``."""

    key: str
    values: str
    options: str


ONE_A_MESSAGE = "--mix AppEvent --payload 40 --set capacity.batch-bytes=64"
SWEEPS = (
    Sweep("capacity.client", "1,4,16,64,256,2048", "--flat-out"),
    Sweep(
        "capacity.subscription",
        "1000,4000,16000,65536",
        f"--rate 20000 {ONE_A_MESSAGE} --stall 1",
    ),
    Sweep(
        "capacity.subscription-bytes",
        "1MB,4MB,16MB,64MB",
        "--rate 10000 --mix AppEvent --payload 1000 --stall 1",
    ),
    Sweep("capacity.read-buffer", "4096,16384,65535,262144,1048576", "--flat-out"),
    Sweep("capacity.batch-bytes", "256,1KB,4KB,16KB,64KB,256KB", "--flat-out"),
)


def measure(sweep: Sweep, seconds: float) -> tuple[str, list[dict[str, str]]]:
    """Measure one curve.

    :return: the command, and a row for each value.
    """
    options = f"{sweep.options} --seconds {seconds:g} --warm-up 0.5"
    command = f"fastcoord bench {options} --sweep {sweep.key}={sweep.values}"
    done = subprocess.run(
        [sys.executable, "-m", *command.split(), "--csv", "-"],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )
    if done.returncode not in (0, 3):
        raise RuntimeError(f"{command}: {done.stderr}")
    print(done.stderr, file=sys.stderr)
    return command, list(csv.DictReader(io.StringIO(done.stdout)))


def latency(text: str) -> str:
    """Format a latency in ms, which is empty if no measured event arrived."""
    return f"{float(text):,.2f}" if text else "not measured"


def table(sweep: Sweep, command: str, rows: list[dict[str, str]]) -> str:
    """Format the table of one curve."""
    columns = (
        *("value", "events/s", "p50 (ms)", "p99 (ms)", "missed", "most waiting messages"),
        *("publisher (MB)", "subscriber (MB)"),
    )
    header = [f"| {' | '.join(columns)} |", "| --- " * len(columns) + "|"]
    lines = [f"### `{sweep.key}`", "", f"`{command}`", "", *header]
    for row in rows:
        cells = [
            f"{int(row[sweep.key]):,}",
            f"{float(row['events/s']):,.0f}",
            *(latency(row[name]) for name in ("p50", "p99")),
            *(f"{int(float(row[name])):,}" for name in ("missed", "high_water_messages")),
            *(f"{float(row[f'{side}-memory']):.1f}" for side in ("publisher", "subscriber")),
        ]
        note = "" if row["valid"] == "True" else " (not valid: publishers too slow)"
        lines.append(f"| {' | '.join(cells)}{note} |")
    return "\n".join(lines)


def draw(curves: list[tuple[Sweep, list[dict[str, str]]]], directory: Path) -> None:
    """Draw throughput, latency and memory of every setting."""
    from benchmarks import plots

    figures = ("events/s", "p99", "subscriber-memory")
    names = ("events per second", "p99 (ms)", "subscriber (MB)")
    figure, panels = plots.plt.subplots(len(curves), 3, figsize=(11, 2.4 * len(curves)))
    for line, (sweep, rows) in zip(panels, curves, strict=True):
        x = [int(row[sweep.key]) for row in rows]
        for axes, name, label in zip(line, figures, names, strict=True):
            y = [float(row[name]) for row in rows]
            axes.plot(x, y, marker="o", color="tab:blue")
            axes.set_xscale("log")
            axes.set_ylim(0, max(y) * 1.1)
            axes.set_ylabel(label)
            axes.set_xlabel(sweep.key)
    plots.save(figure, directory, "capacity")


def section(tables: list[str]) -> str:
    """Return the text of the section."""
    machine = facts()
    place = f"{machine['cores']} cores, {machine['processor']}, {machine['python']}"
    load = machine["load_before"]
    head = (
        f"Measured on {time.strftime('%Y-%m-%d')} on {place},\nby one short run for each value,"
        f" with a load average of {load} before. On a machine that other programs use,\n"
        "neighbouring values differ by chance; compare the shapes."
    )
    plot = "![capacity curves](performance/capacity.svg)"
    return "\n\n".join([head, plot, *tables]) + "\n"


def main(argv: list[str] | None = None) -> None:
    """Measure every curve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--docs", metavar="FILE", help="the page to update")
    parser.add_argument("--only", metavar="KEY", help="the curve of one setting, printed")
    parser.add_argument("--seconds", type=float, default=2.0, help="the duration of a run")
    arguments = parser.parse_args(argv)
    if arguments.only and arguments.docs:
        parser.error("--docs needs every curve: leave out --only")
    curves: list[tuple[Sweep, Any]] = []
    tables = []
    for sweep in SWEEPS:
        if arguments.only not in (None, sweep.key):
            continue
        command, rows = measure(sweep, arguments.seconds)
        curves.append((sweep, rows))
        tables.append(table(sweep, command, rows))
    if arguments.docs is None:
        print("\n\n".join(tables))
        return
    page = Path(arguments.docs)
    text = page.read_text("utf-8")
    if not MARK.search(text):
        raise SystemExit(f"{page} has no place for capacity curves")
    written = MARK.sub(lambda found: f"{found[1]}\n{section(tables)}\n{found[2]}", text)
    page.write_text(written, encoding="utf-8")
    draw(curves, page.parent / "performance")


if __name__ == "__main__":
    main()
