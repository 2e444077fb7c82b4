"""Tables with a column for each Python on which the contests ran."""

from __future__ import annotations

import re
from typing import Any

from benchmarks import goals
from benchmarks.figures import number, table

Results = dict[str, Any]


def runs(results: Results) -> dict[str, Results]:
    """Return the results of each Python, ordered by version."""
    found = {results["facts"]["python"]: results, **results.get("pythons", {})}
    return dict(sorted(found.items(), key=lambda each: list(map(int, re.findall(r"\d+", each[0])))))


def scores(results: Results) -> str:
    """Format each goal with the value that each Python reaches."""
    found = runs(results)
    judged = [{each.what: each for each in goals.judged(run)} for run in found.values()]
    rows = [
        (
            goal.what,
            goal.goal,
            goal.stretch,
            *(
                f"{one[goal.what].written}, {one[goal.what].verdict}" if goal.what in one else ""
                for one in judged
            ),
        )
        for goal in goals.judged(results)
    ]
    return table(("", "goal", "stretch", *(f"CPython {name}" for name in found)), rows)


def micro(results: Results) -> str:
    """Format the contests within one process: ns per event, and how much better fastcoord is."""
    found = {name: run for name, run in runs(results).items() if "micro" in run}
    contests = {
        name: {contest["key"]: contest["figures"] for contest in run["micro"]}
        for name, run in found.items()
    }
    rows = []
    for contest in results["micro"]:
        for place, figure in enumerate(contest["figures"]):
            title = contest["title"] if place == 0 else ""
            cells = [cell(each.get(contest["key"], []), place) for each in contests.values()]
            rows.append((title, figure["name"], *cells))
    return table(("job, ns per event", "", *(f"CPython {name}" for name in found)), rows)


def exchanged(results: Results, part: str) -> str:
    """Format the events per second of one part, and how much better fastcoord is."""
    found = {name: run for name, run in runs(results).items() if part in run}
    rates = {
        name: {each["name"]: each for each in run[part]["figures"]["rate"]}
        for name, run in found.items()
    }
    contenders = dict.fromkeys(name for each in rates.values() for name in each)
    rows = [
        (
            name,
            *(
                cell([each[name]], 0, compared=not name.startswith("fastcoord"))
                if name in each
                else ""
                for each in rates.values()
            ),
        )
        for name in contenders
    ]
    lines = [table(("events per second", *(f"CPython {name}" for name in found)), rows)]
    lines += [
        f"Not measured on CPython {name}: {peer}: {why}."
        for name, run in found.items()
        for peer, why in {**run[part]["failed"], **run[part]["absent"]}.items()
    ]
    return "\n\n".join(lines)


def cell(figures: list[dict[str, Any]], place: int, *, compared: bool | None = None) -> str:
    """Format the median and the ratio of one contender; nothing if it was not measured.

    :param compared: whether there is a ratio; by default for all but the first.
    """
    if place >= len(figures):
        return ""
    median, ratio = figures[place]["median"], figures[place]["ratio"]
    shown = place > 0 if compared is None else compared
    return f"{number(median)} ({number(ratio)} x)" if shown else number(median)
