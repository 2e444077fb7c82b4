"""A workload as one line of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from fastcoord.tuning.workload import Workload

__all__ = ["workload_text"]


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
        words.append(f"at most {workload.memory / 2**20:,.0f} MB")
    return ", ".join(words)
