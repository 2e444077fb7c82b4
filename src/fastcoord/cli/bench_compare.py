"""``fastcoord bench compare``: compare two results."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import msgspec

from fastcoord.cli.measuring import INVALID, MISSED_OBJECTIVE
from fastcoord.cli.running import WrongUsage
from fastcoord.cli.tables import Table, plain_lines
from fastcoord.tuning.objectives import Change, compare, parse_limit, unit_of
from fastcoord.tuning.result import Result, read_result

if TYPE_CHECKING:
    from fastcoord.tuning.load import Load

__all__ = ["compare_files"]


def compare_files(first: str, second: str, limits: list[str]) -> int:
    """Print the change of each figure.

    :param first: the file of the earlier result.
    :param second: the file of the later result.
    :param limits: limits such as ``p99:10%``.
    :return: the exit status: 1 if a limit is exceeded, 3 if a run is not valid.
    :raises WrongUsage: a file or a limit cannot be read.
    """
    try:
        allowed = [parse_limit(text) for text in limits]
        before, after = read_result(first), read_result(second)
    except OSError as error:
        raise WrongUsage(f"{error.filename} cannot be read: {error.strerror}") from None
    except ValueError as error:
        raise WrongUsage(str(error)) from None
    changes = compare(before, after, allowed)
    absent = [each.name for each in allowed if each.name not in {c.name for c in changes}]
    if absent:
        raise WrongUsage(f"the results have no {', '.join(absent)}")
    if before.load != after.load:
        print(f"note: the loads differ: {_differences(before.load, after.load)}")
    if before.stream != after.stream:
        print("note: only one of the runs used a stream")
    rows = tuple(
        (
            each.name,
            f"{each.before:,.3f}",
            f"{each.after:,.3f}",
            unit_of(each.name),
            _percent(each),
            "worse than allowed" if each.is_failed else "",
        )
        for each in changes
    )
    columns = ("figure", "first", "second", "unit", "worse by", "")
    print("\n".join(plain_lines(Table("", columns, rows))))
    for name, result in ((first, before), (second, after)):
        if not result.valid:
            print(f"fastcoord: {name} is not valid: {_reason(result)}", file=sys.stderr)
    if not (before.valid and after.valid):
        return INVALID
    return MISSED_OBJECTIVE if any(each.is_failed for each in changes) else 0


def _differences(before: Load, after: Load) -> str:
    """Name the fields of the loads that differ, with their values."""
    first, second = (msgspec.to_builtins(each) for each in (before, after))
    changed = (name for name in first if first[name] != second[name])
    return ", ".join(f"{name} {first[name]} / {second[name]}" for name in changed)


def _percent(change: Change) -> str:
    if change.percent is None:
        return "" if change.after == change.before else "was 0"
    return f"{change.percent:+.1f} %"


def _reason(result: Result) -> str:
    return "; ".join(result.problems) or "it was interrupted"
