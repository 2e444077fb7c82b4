"""Remove the streams that killed runs of ``fastcoord bench --stream`` have left on a server.

A stream belongs to a run if it has both the name and the metadata that runs give to their streams.
Streams of others are never deleted. Servers before 2.10 store no metadata.
"""

from __future__ import annotations

import hashlib
import os
import re
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from fastcoord.nats.jetstream import JetStream

__all__ = ["PREFIX", "is_abandoned", "remove_abandoned", "run_metadata"]

PREFIX = "FASTCOORD_BENCH_"
NAME = re.compile(f"{PREFIX}[0-9a-f]{{12}}")
KIND = "temporary stream of a measured run"
IDLE_LIMIT = 3600.0
"""Seconds after the last message and the longest duration of its run."""

MOST_PAGES = 20
"""So many pages of names are requested at most; a page has 1024."""

ENDED_STATES = "ZX"
"""The states of a process in ``/proc`` that has ended, and whose parent has not noticed it."""


class _Names(msgspec.Struct):
    total: int = 0
    limit: int = 0
    streams: tuple[str, ...] | None = None


class _Settings(msgspec.Struct):
    name: str = ""
    metadata: dict[str, str] | None = None


class _State(msgspec.Struct):
    messages: int = 0
    last_seq: int = 0
    last_ts: str = ""


class Found(msgspec.Struct):
    """A stream as the server describes it.

    :ivar created: when it was made, on the server's clock.
    :ivar ts: the time of the answer, on the same clock.
    """

    config: _Settings = msgspec.field(default_factory=_Settings)
    state: _State = msgspec.field(default_factory=_State)
    created: str = ""
    ts: str = ""


def run_metadata(longest: float) -> dict[str, str]:
    """Return the metadata for the stream of a run of this process.

    :param longest: the longest duration of the run in seconds.
    """
    return {
        "fastcoord": KIND,
        "fastcoord.seconds": f"{longest:.0f}",
        "fastcoord.machine": _machine(),
        "fastcoord.process": f"{os.getpid()} {_started_at(os.getpid())}",
    }


async def remove_abandoned(jetstream: JetStream) -> list[str]:
    """Delete the streams of runs that were killed.

    :return: their names.
    :raises FastcoordError: JetStream refuses a request, or does not answer.
    """
    removed = []
    for name in await _names(jetstream):
        found = await jetstream.call(f"STREAM.INFO.{name}", None, Found)
        if is_abandoned(found):
            await jetstream.call(f"STREAM.DELETE.{name}", None, dict[str, Any])
            removed.append(name)
    return removed


async def _names(jetstream: JetStream) -> list[str]:
    names: list[str] = []
    offset = 0
    for _ in range(MOST_PAGES):
        page = await jetstream.call("STREAM.NAMES", {"offset": offset}, _Names)
        names += filter(NAME.fullmatch, page.streams or ())
        offset += len(page.streams or ())
        if not page.streams or offset >= page.total:
            break
    return names


def is_abandoned(stream: Found) -> bool:
    """Return whether a stream is that of a run that was killed.

    The process of a run of this machine is looked up. On another machine it may still run: its
    stream is abandoned an hour after the run must have ended, if no message was stored since.
    """
    facts = stream.config.metadata or {}
    if NAME.fullmatch(stream.config.name) is None or facts.get("fastcoord") != KIND:
        return False
    machine = _machine()
    if machine and facts.get("fastcoord.machine") == machine:
        return _has_ended(facts.get("fastcoord.process", ""))
    try:
        longest = max(0.0, float(facts["fastcoord.seconds"]))
        used = _seconds(stream.created)
        if stream.state.last_seq:
            used = max(used, _seconds(stream.state.last_ts))
        idle = _seconds(stream.ts) - used
    except (KeyError, ValueError):
        return False
    return idle > longest + IDLE_LIMIT


def _machine() -> str:
    """Return what distinguishes the process ids of this machine or container from those of others.

    :return: an empty text where that is unknown, as on other systems than Linux.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")
        ids = os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    return hashlib.sha256(f"{boot} {ids}".encode()).hexdigest()[:16]


def _started_at(pid: int) -> str:
    """Return the start time of a process, or a dash where it cannot be read.

    :raises ProcessLookupError: the process has ended.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", errors="replace")
    except OSError:
        return "-"
    words = stat.rpartition(")")[2].split()  # the name of the program may have spaces
    if words[0] in ENDED_STATES:
        raise ProcessLookupError
    return words[19]


def _has_ended(process: str) -> bool:
    """Return whether a process of this machine has ended.

    :param process: its id and its start time. A later process may have the same id.
    """
    pid, _, started_at = process.partition(" ")
    if not pid.isascii() or not pid.isdigit() or not 0 < int(pid) < 1 << 31:
        return False
    try:
        now = _started_at(int(pid))
        if now == "-":
            os.kill(int(pid), 0)  # /proc may hide the processes of other users
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return "-" not in (now, started_at) and now != started_at


def _seconds(text: str) -> float:
    """Read a time such as ``2026-01-31T12:00:00.123456789Z``, to the second.

    :raises ValueError: it has another form.
    """
    return datetime.fromisoformat(f"{text[:19]}+00:00").timestamp()
