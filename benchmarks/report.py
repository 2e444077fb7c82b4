"""Write a run down: ``python -m benchmarks.report RESULTS.json [--docs docs/performance.md]``.

Without ``--docs`` the tables go to standard output. With it they replace what stands between the
marks ``<!-- table: NAME -->`` and ``<!-- end -->`` of the page, and plots are drawn beside it.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import goals
from benchmarks.figures import number, table

Results = dict[str, Any]
MARK = re.compile(r"(<!-- table: ([a-z_]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def spread(figure: dict[str, Any]) -> str:
    """Write the least and the most of all rounds."""
    return f"{number(figure['least'])} .. {number(figure['most'])}"


def times(ratio: float) -> str:
    """Write how many times better ours is."""
    return f"{number(ratio)} x"


def facts(results: Results) -> str:
    """Write what was measured, and on what."""
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


def scores(results: Results) -> str:
    """Write each goal and what was measured."""
    rows = [
        (each.what, each.written, each.goal, each.stretch, each.verdict)
        for each in goals.judged(results)
    ]
    return table(("", "measured", "goal", "stretch", "reached"), rows)


def micro(results: Results) -> str:
    """Write the contests within one process."""
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
    return table(("job", "", "ns per event", "least .. most", "fastcoord is better by"), rows)


def exchanged(part: dict[str, Any]) -> str:
    """Write what was carried from process to process."""
    if not part["figures"]["rate"]:
        return "Nobody passed the check.\n"
    processor = {
        quantity: {each["name"]: each for each in part["figures"][quantity]}
        for quantity in ("publisher", "subscriber")
    }
    rows = []
    for figure in part["figures"]["rate"]:
        name = figure["name"]
        rows.append(
            (
                name,
                number(figure["median"]),
                spread(figure),
                times(figure["ratio"]) if not name.startswith("fastcoord") else "",
                number(processor["publisher"][name]["median"]),
                number(processor["subscriber"][name]["median"]),
            )
        )
    header = (
        "",
        "events per second",
        "least .. most",
        "fastcoord is better by",
        "publisher, CPU ns per event",
        "subscriber, CPU ns per event",
    )
    lines = [table(header, rows)]
    lines += [f"Not measured: {name}: {why}." for name, why in part["failed"].items()]
    lines += [f"Not measured: {name}: {why}." for name, why in part["absent"].items()]
    return "\n\n".join(lines)


def latency(results: Results) -> str:
    """Write percentiles of the delays."""
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
                )
            )
    names = [f"p{each.removesuffix('.0')}" for each in ways[0]["percentiles"]]
    return table(("rate", "microseconds", *names, "longest", "p50 of the rounds"), rows)


def stages(results: Results) -> str:
    """Write where the time of a lone event goes."""
    rows = [(each["name"], number(each["median"])) for each in results["stages"]]
    return table(("median of each stage", "microseconds"), rows)


def columns(rows: list[dict[str, Any]]) -> str:
    """Write rows as they are."""
    return table(list(rows[0]), [[plain(each) for each in row.values()] for row in rows])


def plain(value: float) -> str:
    """Write what was chosen exactly, and what was measured with the digits that count."""
    return f"{value:,}" if isinstance(value, int) else number(value)


def crowd(part: dict[str, Any], key: str) -> str:
    """Write the cores that one process keeps busy, by the size of the crowd."""
    rows = []
    for row in part["rows"]:
        values = row["cores"] if isinstance(row["cores"], list) else [row["cores"]]
        rows.append((str(row[key]), number(sorted(values)[len(values) // 2])))
    return table((key, f"cores busy at {part['rate']:,} events/s"), rows)


def footprint(results: Results) -> str:
    """Write bytes and imports."""
    memory = table(
        ("what waits", "bytes per event", "of these on the wire"),
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
    """Write one kind of growth."""
    part = results["growth"][name]
    if name == "subscribers":
        return crowd(part, "subscribers")
    return crowd(part, "publishers") if name == "nodes" else columns(part)


TABLES: dict[str, Callable[[Results], str]] = {
    "facts": facts,
    "goals": scores,
    "micro": micro,
    "end_to_end": lambda results: exchanged(results["end_to_end"]),
    "lane": lambda results: exchanged(results["lane"]),
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
    """Say whether a run holds what a table is about."""
    if name.startswith("growth_"):
        return name.removeprefix("growth_") in results.get("growth", {})
    return name in ("facts", "goals") or name in results


def markdown(results: Results) -> str:
    """Write every table of a run."""
    parts = [
        f"## {name}\n\n{write(results)}" for name, write in TABLES.items() if has(results, name)
    ]
    return "\n\n".join(parts)


def fill(page: str, results: Results) -> str:
    """Replace the tables of a page by those of a run; what it does not hold stays as it was."""

    def replace(match: re.Match[str]) -> str:
        before, name, after = match.groups()
        if not has(results, name):
            return match.group()
        return f"{before}\n{TABLES[name](results)}\n\n{after}"

    return MARK.sub(replace, page)


def main(arguments: list[str] | None = None) -> None:
    """Write tables, and plots if there is a page for them."""
    parser = argparse.ArgumentParser(prog="benchmarks.report", description=__doc__)
    parser.add_argument("results", type=Path, nargs="+", help="later ones add to earlier ones")
    parser.add_argument("--docs", type=Path, help="the page whose tables are to be replaced")
    chosen = parser.parse_args(arguments)
    results: Results = {}
    for each in chosen.results:
        results.update(json.loads(each.read_text()))
    if chosen.docs is None:
        print(markdown(results))
        return
    if results["quick"]:
        parser.error("a quick run tries the way only: its figures are not to be published")
    missing = [name for name in TABLES if not has(results, name)]
    if missing:
        parser.error(f"the run lacks {', '.join(missing)}: a page is written from a whole run")
    from benchmarks import plots

    chosen.docs.write_text(fill(chosen.docs.read_text(), results))
    plots.draw(results, chosen.docs.parent / "performance")


if __name__ == "__main__":
    main()
