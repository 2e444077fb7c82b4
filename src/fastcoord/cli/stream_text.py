"""Print a stream: its settings, its messages and its servers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastcoord.cli.tables import Table, fits, has_rich_terminal, plain_lines, rich_table
from fastcoord.streaming.settings import NANOSECONDS, duration_text

if TYPE_CHECKING:
    from fastcoord.nats.stream_info import StreamInfo

__all__ = ["as_builtins", "print_stream"]


def print_stream(info: StreamInfo) -> None:
    """Print a stream as a table."""
    table = Table(f"stream {info.config.name}", ("property", "value"), tuple(_rows(info)))
    if has_rich_terminal():
        from rich.console import Console

        console = Console()
        if fits(table, console.width):
            console.print(rich_table(table))
            return
    print(*plain_lines(table), sep="\n", flush=True)


def as_builtins(info: StreamInfo) -> dict[str, Any]:
    """Return a stream as plain values for JSON. Durations are in seconds, ``null`` is no limit."""
    stream, state = info.config, info.state
    return {
        "stream": stream.name,
        "subjects": list(stream.subjects),
        "storage": stream.storage,
        "num_replicas": stream.num_replicas,
        "retention": stream.retention,
        "discard": stream.discard,
        "max_age": stream.max_age / NANOSECONDS if stream.max_age > 0 else None,
        "max_bytes": _limit(stream.max_bytes),
        "max_messages": _limit(stream.max_msgs),
        "max_message_size": _limit(stream.max_msg_size),
        "duplicate_window": stream.duplicate_window / NANOSECONDS,
        "messages": state.messages,
        "bytes": state.bytes,
        "first_sequence": state.first_seq,
        "last_sequence": state.last_seq,
        "consumers": state.consumer_count,
        "leader": (info.cluster.leader or None) if info.cluster else None,
        "replicas": [
            {
                "name": each.name,
                "is_current": each.current,
                "is_offline": each.offline,
                "lag": each.lag,
            }
            for each in (info.cluster.replicas if info.cluster else None) or ()
        ],
    }


def _rows(info: StreamInfo) -> list[tuple[str, str]]:
    stream, state = info.config, info.state
    rows = [
        ("stream", stream.name),
        ("subjects", ", ".join(stream.subjects) or "none"),
        ("storage", stream.storage),
        ("number of replicas", str(stream.num_replicas)),
        ("retention", stream.retention),
        ("discard", stream.discard),
        ("max age", duration_text(stream.max_age)),
        ("max bytes", _limit_text(stream.max_bytes)),
        ("max messages", _limit_text(stream.max_msgs)),
        ("max message size", _limit_text(stream.max_msg_size)),
        ("duplicate window", duration_text(stream.duplicate_window)),
        ("messages", f"{state.messages:,}"),
        ("bytes", f"{state.bytes:,}"),
        ("first sequence", _at(state.first_seq, state.first_ts if state.messages else "")),
        ("last sequence", _at(state.last_seq, state.last_ts if state.messages else "")),
        ("consumers", f"{state.consumer_count:,}"),
        ("leader", (info.cluster.leader if info.cluster else "") or "none"),
    ]
    for each in (info.cluster.replicas if info.cluster else None) or ():
        condition = "current" if each.current else f"{each.lag:,} behind"
        rows.append(("replica", f"{each.name}, {'offline' if each.offline else condition}"))
    return rows


def _at(sequence: int, time: str) -> str:
    return f"{sequence:,} at {time}" if time else f"{sequence:,}"


def _limit(value: int) -> int | None:
    return value if value > 0 else None


def _limit_text(value: int) -> str:
    return f"{value:,}" if value > 0 else "unlimited"
