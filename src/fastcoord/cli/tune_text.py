"""Format a recommendation as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcoord.cli.tables import Table, plain_lines
from fastcoord.tuning.advice import toml_block
from fastcoord.tuning.target import DEFAULT_MAX_PAYLOAD, MESSAGE_ALLOWANCE
from fastcoord.tuning.wording import margin_text, verdict_text, workload_text

if TYPE_CHECKING:
    from fastcoord.tuning.advice import Advice
    from fastcoord.tuning.sizing import Sizing
    from fastcoord.tuning.workload import Workload

__all__ = ["advice_lines", "needs_lines"]

MB = 1024 * 1024


def needs_lines(workload: Workload, sizing: Sizing) -> list[str]:
    """Format the steps of the arithmetic."""
    need = sizing.needs
    rows = (
        ("bytes of an event", f"{workload.event_bytes:,.1f}"),
        ("events in a message", f"{need.events_per_message:,.0f}"),
        ("messages a second at a subscriber", f"{need.messages_per_second:,.0f}"),
        ("messages that wait after the stall", f"{need.subscription:,.0f}"),
        ("bytes that wait after the stall", f"{need.subscription_bytes:,.0f}"),
        ("seconds until publishers reconnect", f"{need.reconnect:g}"),
        ("batches that wait after the outage", f"{need.client:,.0f}"),
    )
    return plain_lines(Table("", ("step (docs/sizing.md)", "value"), rows))


def advice_lines(workload: Workload, advice: Advice) -> list[str]:
    """Format a recommendation, the TOML first."""
    lines = [f"For {workload_text(workload)}:", ""]
    lines += [verdict_text(advice), ""]
    if not advice.defaults_suffice:
        lines += [toml_block(advice), ""]
    rows = tuple(
        (
            each.key,
            f"{each.present:,}",
            f"{each.recommended:,}",
            "" if each.minimum is None else f"{each.minimum:,}",
            margin_text(each),
        )
        for each in advice.findings
    )
    columns = ("setting", "present", "recommended", "minimum", "margin")
    used = [index for index, _ in enumerate(columns) if any(row[index] for row in rows)]
    shown = tuple(tuple(row[index] for index in used) for row in rows)
    lines += plain_lines(Table("", tuple(columns[index] for index in used), shown))
    lines += ["", *(f"{each.key}: {each.reason}." for each in advice.findings)]
    bound = f"at most {advice.memory / MB:,.0f} MB"
    lines += ["", f"Memory of the queues of one node with one subscription: {bound}."]
    if workload.largest_event + MESSAGE_ALLOWANCE > DEFAULT_MAX_PAYLOAD:
        size = workload.largest_event + MESSAGE_ALLOWANCE
        lines.append(f"The server must accept messages of {size:,} bytes (its max_payload).")
    if advice.max_age is not None:
        lines.append(
            "Without cluster.max-age, events that wait longer than the present value are discarded."
        )
    idle = [each.key for each in advice.findings if not each.matters]
    if idle and not advice.defaults_suffice:
        lines.append(f"These settings can stay as they are: {', '.join(idle)}.")
    lines += [
        f"An event larger than {each.recommended:,} bytes is then refused (capacity.batch-bytes)."
        for each in advice.findings
        if each.key == "capacity.batch-bytes" and each.recommended < each.present
    ]
    lines += [f"Not reached: {problem}." for problem in advice.problems]
    if advice.is_confirmed is not None and not advice.problems:
        lines.append("Confirmed by runs with these settings.")
    elif advice.is_confirmed is None:
        lines.append("Computed, not measured; without --arithmetic, runs confirm it.")
    return lines
