"""Format the results of a run: ``python -m benchmarks.report RESULTS.json [--docs PAGE]``.

Without ``--docs`` the tables are printed. With it they replace the text between ``<!-- table: NAME
-->`` and ``<!-- end -->`` in the page, and plots are written beside it.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import blocking, by_python
from benchmarks.figures import number, table

Results = dict[str, Any]
MARK = re.compile(r"(<!-- table: ([a-z_]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def spread(figure: dict[str, Any]) -> str:
    """Format the least and the most of all rounds."""
    return f"{number(figure['least'])} .. {number(figure['most'])}"


def times(ratio: float) -> str:
    """Format a ratio."""
    return f"{number(ratio)} x"


def facts(results: Results) -> str:
    """Format versions, machine and command."""
    known = results["facts"]
    versions = ", ".join(f"{name} {version}" for name, version in known["versions"].items())
    lines = [
        ("Date", f"{known['date']}, commit {known['commit']}"),
        ("Command", f"`{known['command']}`"),
        ("Machine", f"{known['cores']} cores, {known['processor']}, {known['system']}"),
        ("Load before the run", number(known["load"])),
        ("Python", known["python"]),
        ("Versions", versions),
    ]
    return table(("", ""), lines)


def python(results: Results) -> str:
    """Return the Python of the figures, for the head of a table."""
    return f"CPython {results['facts']['python']}"


def micro(results: Results) -> str:
    """Format the contests within one process."""
    rows = []
    for contest in results["micro"]:
        for place, figure in enumerate(contest["figures"]):
            rows.append(
                (
                    contest["title"] if place == 0 else "",
                    figure["name"],
                    number(figure["median"]),
                    spread(figure),
                    times(figure["ratio"]) if place else "",
                )
            )
    return table(
        (f"job, {python(results)}", "", "ns per event", "least .. most", "fastcoord is better by"),
        rows,
    )


def exchanged(results: Results, name: str) -> str:
    """Format the throughput from process to process."""
    part = results[name]
    if not part["figures"]["rate"]:
        return "No peer passed the check.\n"
    processor = {
        quantity: {each["name"]: each for each in part["figures"][quantity]}
        for quantity in ("publisher", "subscriber")
    }
    rows = []
    for figure in part["figures"]["rate"]:
        peer = figure["name"]
        rows.append(
            (
                peer,
                number(figure["median"]),
                spread(figure),
                times(figure["ratio"]) if not peer.startswith("fastcoord") else "",
                number(processor["publisher"][peer]["median"]),
                number(processor["subscriber"][peer]["median"]),
            )
        )
    header = (
        python(results),
        "events per second",
        "least .. most",
        "fastcoord is better by",
        "publisher, CPU ns per event",
        "subscriber, CPU ns per event",
    )
    lines = [table(header, rows)]
    lines += [f"Not measured: {peer}: {why}." for peer, why in part["failed"].items()]
    lines += [f"Not measured: {peer}: {why}." for peer, why in part["absent"].items()]
    return "\n\n".join(lines)


def user_many(results: Results) -> str:
    """Format one sender with eight receivers, and eight with one."""
    header = (
        python(results),
        "senders",
        "receivers",
        "events per second at a receiver",
        "publisher, CPU ns per event",
        "subscriber, CPU ns per event",
    )
    rows = [
        (
            row["name"],
            str(row["senders"]),
            str(row["receivers"]),
            *(number(row[key]) for key in ("rate", "publisher", "subscriber")),
        )
        for row in results["user_many"]
    ]
    return table(header, rows)


FROM_CALL = ("p50 from the call", "p99 from the call")


def latency(results: Results) -> str:
    """Format percentiles of the latency."""
    rows = []
    for rate, ways in results["latency"].items():
        for place, way in enumerate(ways):
            percentiles = [number(value) for value in way["percentiles"].values()]
            rows.append(
                (
                    f"{int(rate):,}/s" if place == 0 else "",
                    way["name"],
                    *percentiles,
                    number(way["most"]),
                    f"{number(way['p50_least'])} .. {number(way['p50_most'])}",
                    *([number(value) for value in way["called"].values()] or ["", ""]),
                )
            )
    names = [f"p{each.removesuffix('.0')}" for each in ways[0]["percentiles"]]
    return table(
        ("rate", f"µs, {python(results)}", *names, "maximum", "p50 of the rounds", *FROM_CALL), rows
    )


def stages(results: Results) -> str:
    """Format the stages of a single event."""
    rows = [(each["name"], number(each["median"])) for each in results["stages"]]
    return table(("median of each stage", "microseconds"), rows)


def columns(rows: list[dict[str, Any]]) -> str:
    """Format rows with their own column names."""
    return table(list(rows[0]), [[plain(each) for each in row.values()] for row in rows])


def plain(value: float) -> str:
    """Format a parameter exactly, and a measured value with three significant digits."""
    return f"{value:,}" if isinstance(value, int) else number(value)


def crowd(part: dict[str, Any], key: str) -> str:
    """Format the CPU cores that one process uses, by the number of nodes."""
    rows = []
    for row in part["rows"]:
        values = row["cores"] if isinstance(row["cores"], list) else [row["cores"]]
        rows.append((str(row[key]), number(sorted(values)[len(values) // 2])))
    return table((key, f"CPU cores at {part['rate']:,} events/s"), rows)


def footprint(results: Results) -> str:
    """Format memory and imports."""
    memory = table(
        ("buffer", "bytes per event", "bytes on the wire"),
        [
            (row["name"], number(row["bytes"]), number(row["wire"]))
            for row in results["footprint"]["memory"]
        ],
    )
    imports = table(
        ("import", "CPU ms", "least .. most", "wall ms"),
        [
            (
                row["name"],
                number(row["cpu"]),
                f"{number(row['cpu_least'])} .. {number(row['cpu_most'])}",
                number(row["wall"]),
            )
            for row in results["footprint"]["imports"]
        ],
    )
    return f"{memory}\n\n{imports}"


def grown(results: Results, name: str) -> str:
    """Format the costs by one parameter."""
    part = results["growth"][name]
    if name == "subscribers":
        return crowd(part, "subscribers")
    return crowd(part, "publishers") if name == "nodes" else columns(part)


TABLES: dict[str, Callable[[Results], str]] = {
    "facts": facts,
    "goals": by_python.scores,
    "micro": micro,
    "micro_by_python": by_python.micro,
    "user_loop": lambda results: exchanged(results, "user_loop"),
    "user_loop_by_python": lambda results: by_python.exchanged(results, "user_loop"),
    "user_one_event": lambda results: exchanged(results, "user_one_event"),
    "user_one_event_by_python": lambda results: by_python.exchanged(results, "user_one_event"),
    "user_many": user_many,
    "blocking": lambda results: blocking.formatted(results["blocking"]),
    "end_to_end": lambda results: exchanged(results, "end_to_end"),
    "one_event": lambda results: exchanged(results, "one_event"),
    "latency": latency,
    "stages": stages,
    "footprint": footprint,
    "growth_batch_size": lambda results: grown(results, "batch_size"),
    "growth_batch_bytes": lambda results: grown(results, "batch_bytes"),
    "growth_rate": lambda results: grown(results, "rate"),
    "growth_subscribers": lambda results: grown(results, "subscribers"),
    "growth_nodes": lambda results: grown(results, "nodes"),
}


def has(results: Results, name: str) -> bool:
    """Return whether a run has the results of a table."""
    if name.startswith("growth_"):
        return name.removeprefix("growth_") in results.get("growth", {})
    return name in ("facts", "goals") or name.removesuffix("_by_python") in results


def markdown(results: Results) -> str:
    """Format every table of a run."""
    parts = [
        f"## {name}\n\n{write(results)}" for name, write in TABLES.items() if has(results, name)
    ]
    return "\n\n".join(parts)


def fill(page: str, results: Results) -> str:
    """Replace the tables of a page by those of a run; tables without results stay unchanged."""

    def replace(match: re.Match[str]) -> str:
        before, name, after = match.groups()
        if not has(results, name):
            return match.group()
        return f"{before}\n{TABLES[name](results)}\n\n{after}"

    return MARK.sub(replace, page)


def main(arguments: list[str] | None = None) -> None:
    """Write the tables, and plots if there is a page."""
    parser = argparse.ArgumentParser(prog="benchmarks.report", description=__doc__)
    parser.add_argument("results", type=Path, nargs="+", help="later files add to earlier ones")
    parser.add_argument("--docs", type=Path, help="the page with the tables")
    parser.add_argument("--excerpt", type=Path, help="another page with some of them")
    chosen = parser.parse_args(arguments)
    results: Results = {}
    for each in chosen.results:
        results.update(json.loads(each.read_text()))
    if chosen.docs is None:
        print(markdown(results))
        return
    if results["quick"]:
        parser.error("the figures of a quick run mean nothing: they are not published")
    missing = [name for name in TABLES if not has(results, name)]
    if missing:
        parser.error(f"the run has no {', '.join(missing)}: the page needs a complete run")
    from benchmarks import plots

    for page in filter(None, (chosen.docs, chosen.excerpt)):
        page.write_text(fill(page.read_text(), results))
    plots.draw(results, chosen.docs.parent / "performance")


if __name__ == "__main__":
    main()
