"""Format a recommendation as lines of text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from fastcoord.cli.tables import Table, plain_lines
from fastcoord.tuning.advice import toml_block
from fastcoord.tuning.sizing import memory_text
from fastcoord.tuning.target import DEFAULT_MAX_PAYLOAD, MESSAGE_ALLOWANCE
from fastcoord.tuning.wording import SMALLEST_SUFFICIENT, margin_text, verdict_text, workload_text

if TYPE_CHECKING:
    from fastcoord.tuning.advice import Advice
    from fastcoord.tuning.sizing import Sizing
    from fastcoord.tuning.workload import Workload

__all__ = ["advice_lines", "needs_lines"]


def needs_lines(workload: Workload, sizing: Sizing) -> list[str]:
    """Format the steps of the arithmetic."""
    need = sizing.needs
    rows = (
        ("event", f"{workload.event_bytes:,.1f}", "bytes, with change ids of some millions"),
        ("together", f"{need.together:,}", "events before the program returns to its event loop"),
        ("per-message", f"{need.events_per_message:,.0f}", "events in a message"),
        ("message", f"{need.message_bytes:,.1f}", "bytes of a message with the longest node id"),
        ("messages", f"{need.messages_per_second:,.1f}", "a second at a subscriber"),
        ("sent", f"{need.sent_per_second:,.1f}", "messages a second of one publisher"),
        ("burst", f"{need.burst:,}", "messages of one publisher at the same time"),
        ("reconnect", f"{need.reconnect:g}", "seconds until publishers reconnect"),
        ("subscription", f"{need.subscription:,.0f}", "messages that wait after the stall"),
        ("subscription-bytes", f"{need.subscription_bytes:,.0f}", "bytes of these messages"),
        ("client", f"{need.client:,.0f}", "batches that wait after the outage"),
        ("max-age", f"{need.max_age:g}", "seconds that the oldest event waits"),
    )
    return plain_lines(Table("", ("name (docs/sizing.md)", "value", "meaning"), rows))


def advice_lines(workload: Workload, advice: Advice) -> list[str]:
    """Format a recommendation, the TOML first."""
    lines = [f"For {workload_text(workload)}:", ""]
    if advice.problems:
        lines += ["The load cannot be carried within the limits."]
        lines += [*(f"Not reached: {problem}." for problem in advice.problems), ""]
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
    columns = ("setting", "present", "recommended", SMALLEST_SUFFICIENT, "margin")
    used = [index for index, _ in enumerate(columns) if any(row[index] for row in rows)]
    shown = tuple(tuple(row[index] for index in used) for row in rows)
    lines += plain_lines(Table("", tuple(columns[index] for index in used), shown))
    lines += ["", *(f"{each.key}: {each.reason}." for each in advice.findings)]
    bound = f"at most {memory_text(advice.memory)}"
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
    if advice.is_confirmed is not None and not advice.problems:
        lines.append("Confirmed by runs with these settings.")
    elif advice.is_confirmed is None:
        lines.append("Computed, not measured; without --arithmetic, runs confirm it.")
    return lines
