"""Short texts that the command and its report share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcoord.tuning.load import default_settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastcoord.tuning.advice import Advice, Finding
    from fastcoord.tuning.load import Load
    from fastcoord.tuning.workload import Workload

__all__ = ["SMALLEST_SUFFICIENT", "margin_text", "skipped_text", "verdict_text", "workload_text"]

SMALLEST_SUFFICIENT = "smallest that sufficed"
"""The name of the column of ``Finding.minimum``."""


def workload_text(workload: Workload) -> str:
    """Describe a workload in one line."""
    load = workload.load
    style = {
        "loop": "one call an event",
        "lone": "lone events",
        "list": f"lists of {load.list_size}",
    }[load.style]
    nodes = "1 node" if load.publishers == 1 else f"{load.publishers} nodes"
    words = [f"{load.rate:,.0f} events/s of {nodes}", style]
    if set(load.mix) != {"StateChange"}:
        words.append(_kinds_text(load))
    if load.nowait:
        words.append("publish_nowait")
    if load.burst > 1:
        words.append(f"bursts of {load.burst:,}")
    if workload.stream:
        words.append("with a stream")
    if workload.stall:
        words.append(f"a stall of {workload.stall:g} s")
    if workload.outage:
        words.append(f"an outage of {workload.outage:g} s")
    if workload.objectives:
        words.append(workload.objectives)
    if workload.memory:
        words.append(f"at most {workload.memory / 2**20:,.4g} MB")
    return ", ".join(words)


def _kinds_text(load: Load) -> str:
    kinds = []
    for kind, weight in load.mix.items():
        name = f"AppEvent of {load.payload_bytes:,} bytes" if kind == "AppEvent" else kind
        kinds.append(name if len(load.mix) == 1 else f"{name} ({weight})")
    return " and ".join(kinds)


def verdict_text(advice: Advice) -> str:
    """Say what is to be done with a recommendation."""
    where = "into the sections that the configuration has already, instead of lines with the same"
    if not advice.defaults_suffice:
        start = "These lines come closest; put them" if advice.problems else "Put these lines"
        return f"{start} {where} keys:"
    if advice.problems:
        return "No better settings were found."
    defaults = default_settings()
    are_defaults = all(each.present == defaults[each.key] for each in advice.findings)
    what = "The defaults suffice" if are_defaults else "The present settings suffice"
    return f"{what}. There is nothing to change."


def skipped_text(not_measured: Mapping[int, str]) -> str:
    """Name the values that a search has skipped, to be appended to a sentence."""
    return "".join(f"; {value:,} was not measured: {why}" for value, why in not_measured.items())


def margin_text(finding: Finding) -> str:
    """Return how many times larger a recommendation is than the largest value that failed.

    If no value close to the need failed, it is compared with the smallest value that sufficed.
    """
    if finding.failing and finding.is_close:
        return f"{finding.recommended / finding.failing:,.1f} x"
    if finding.minimum:
        return f"over {finding.recommended / finding.minimum:,.1f} x"
    return ""
