"""Compare the settings of a stream with those that fastcoord needs. This module does no I/O."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

from fastcoord.nats.frames import HEADER_ALLOWANCE
from fastcoord.nats.stream_info import StreamInfo, StreamSettings

if TYPE_CHECKING:
    from fastcoord.config import Config

__all__ = [
    "DEFAULT_DUPLICATE_WINDOW",
    "DEFAULT_MAX_AGE",
    "DEFAULT_MAX_BYTES",
    "NANOSECONDS",
    "StreamFinding",
    "differences",
    "duration_text",
    "is_covered",
    "stream_advice",
    "stream_problems",
    "stream_settings",
]

NANOSECONDS = 1_000_000_000
DEFAULT_MAX_AGE = 3600.0
DEFAULT_MAX_BYTES = 1024**3
DEFAULT_DUPLICATE_WINDOW = 120.0
"""Seconds; :func:`stream_settings` takes ``cluster.max-age`` if that is longer."""

MESSAGE_ALLOWANCE = HEADER_ALLOWANCE + 128
"""The most bytes that the headers of a message with a batch add to it."""


class StreamFinding(NamedTuple):
    """One setting that should be different."""

    what: str
    """What is wrong, and what follows from it."""
    remedy: str

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}"


def stream_settings(
    config: Config,
    *,
    storage: str = "file",
    replicas: int = 1,
    max_age: float = DEFAULT_MAX_AGE,
    max_bytes: int = DEFAULT_MAX_BYTES,
    duplicate_window: float | None = None,
) -> StreamSettings:
    """Return the settings of a new stream for a configuration.

    :param config: the configuration; it names the stream and the subject.
    :param storage: ``"file"`` or ``"memory"``.
    :param replicas: the number of servers that store each message.
    :param max_age: the age in seconds at which messages are removed.
    :param max_bytes: the size at which the oldest messages are removed; ``-1`` for no limit.
    :param duplicate_window: for how many seconds the server recognises a message that is sent
        again; by default two minutes or ``cluster.max-age``, whichever is longer, but at most
        ``max_age``.
    :return: the settings.
    """
    if duplicate_window is None:
        duplicate_window = min(max_age, max(DEFAULT_DUPLICATE_WINDOW, config.cluster.max_age))
    return StreamSettings(
        name=config.cluster.stream or "",
        subjects=(config.cluster.subject,),
        storage=storage,
        num_replicas=replicas,
        max_age=round(max_age * NANOSECONDS),
        max_bytes=max_bytes,
        duplicate_window=round(duplicate_window * NANOSECONDS),
        allow_direct=True,
    )


def stream_problems(info: StreamInfo, config: Config) -> list[StreamFinding]:
    """List the settings with which fastcoord cannot keep its promise.

    :param info: the stream.
    :param config: the configuration of a node.
    :return: the problems; empty if the stream can be used.
    """
    found = [
        *_subject_problems(info.config, config),
        *_storing_problems(info.config, config),
        *_limit_problems(info.config, config),
    ]
    if info.cluster is not None and not info.cluster.leader:
        found.append(
            StreamFinding("the stream has no leader", "start enough of the servers that store it")
        )
    return found


def _subject_problems(stream: StreamSettings, config: Config) -> Iterator[StreamFinding]:
    cluster = config.cluster
    subjects = f"nats stream edit {stream.name} --subjects={cluster.subject}"
    if stream.mirror is not None:
        yield StreamFinding(
            "the stream is a mirror of another one, and stores no other events", _again(config)
        )
    elif not is_covered(cluster.subject, stream.subjects):
        yield StreamFinding(
            f"the stream does not store {cluster.subject} (cluster.subject)", subjects
        )
    # Nodes detect a loss by the sequence of the stream, and messages of other subjects count too.
    others = [each for each in stream.subjects if each != cluster.subject]
    if others and is_covered(cluster.presence_subject, others):
        yield StreamFinding(
            f"the stream also stores {cluster.presence_subject} (cluster.presence-subject), so that"
            " heartbeats fill it",
            subjects,
        )
    elif others:
        yield StreamFinding(
            f"the stream also stores other subjects than the events' ({', '.join(others)})",
            subjects,
        )
    if stream.sources:
        yield StreamFinding(
            "the stream also stores messages of other streams (sources)", _again(config)
        )
    if stream.subject_transform is not None:
        yield StreamFinding(
            "the stream changes the subjects of messages (subject transform)", _again(config)
        )


def _storing_problems(stream: StreamSettings, config: Config) -> Iterator[StreamFinding]:
    edit = f"nats stream edit {stream.name}"
    max_age = round(config.cluster.max_age * NANOSECONDS)
    if stream.retention != "limits":
        yield StreamFinding(
            f"the retention is {stream.retention}, which removes events that other nodes still"
            " need; it must be limits",
            _again(config),
        )
    if stream.discard != "old":
        yield StreamFinding(
            f"a full stream refuses new events (discard {stream.discard}) instead of removing old"
            " ones",
            f"{edit} --discard=old",
        )
    if stream.sealed:
        yield StreamFinding("the stream is sealed, and accepts no messages", _again(config))
    if stream.no_ack:
        yield StreamFinding(
            "the stream confirms no messages (no_ack), and flush() would wait for ever",
            f"{edit} --ack",
        )
    if stream.duplicate_window < max_age:
        yield StreamFinding(
            f"the duplicate window of {duration_text(stream.duplicate_window)} is shorter than"
            f" cluster.max-age ({duration_text(max_age)}), so that an event that is sent again may"
            " be stored twice",
            f"{edit} --dupe-window={duration_text(max_age)}"
            # JetStream refuses a window that is longer than the max age of the stream.
            + (f" --max-age={duration_text(max_age)}" if 0 < stream.max_age < max_age else ""),
        )


def _limit_problems(stream: StreamSettings, config: Config) -> Iterator[StreamFinding]:
    needed = config.nats.capacity.batch_bytes + MESSAGE_ALLOWANCE
    if 0 <= stream.max_msg_size < needed:
        yield StreamFinding(
            f"the stream refuses messages above {stream.max_msg_size} bytes, and a batch may have"
            f" {needed} (capacity.batch-bytes and headers)",
            f"nats stream edit {stream.name} --max-msg-size={needed}, or reduce"
            " capacity.batch-bytes",
        )
    if stream.max_consumers > 0:
        yield StreamFinding(
            f"the stream allows only {stream.max_consumers} consumers, and each node needs one",
            _again(config),
        )


def _again(config: Config) -> str:
    return f"remove the stream, and make it with 'fastcoord stream create {config.source}'"


def stream_advice(info: StreamInfo, config: Config, *, is_clustered: bool) -> list[StreamFinding]:
    """List the settings that work, but that may not be what is wanted.

    :param info: the stream.
    :param config: the configuration of a node.
    :param is_clustered: whether the server belongs to a cluster.
    :return: the advice; it may be empty.
    """
    stream, cluster = info.config, config.cluster
    edit = f"nats stream edit {stream.name}"
    found: list[StreamFinding] = []

    def advise(what: str, remedy: str) -> None:
        found.append(StreamFinding(what, remedy))

    if cluster.presence_subject == cluster.subject:
        advise(
            "heartbeats travel on the events' subject (cluster.presence-subject), so that the"
            " stream stores them as well",
            "give them a subject of their own",
        )
    if is_clustered and stream.num_replicas == 1:
        advise(
            "one server stores the stream: while it is down, no event is confirmed or received",
            f"{edit} --replicas=3",
        )
    if stream.storage == "memory" and stream.num_replicas == 1:
        advise(
            "the stream is stored in the memory of one server, whose restart removes all events",
            "use file storage, or three replicas",
        )
    if stream.max_age <= 0 and stream.max_bytes < 0 and stream.max_msgs < 0:
        advise(
            "nothing limits the stream, so that it fills the storage of the server",
            f"{edit} --max-age=1h --max-bytes=1GB",
        )
    if 0 < stream.max_age < DEFAULT_DUPLICATE_WINDOW * NANOSECONDS:
        advise(
            f"events are removed after {duration_text(stream.max_age)}: a node that is away for"
            " longer misses some",
            f"{edit} --max-age=1h",
        )
    late = [each for each in (info.cluster and info.cluster.replicas) or () if not each.current]
    if late:
        names = ", ".join(f"{each.name}{' (offline)' if each.offline else ''}" for each in late)
        advise(
            f"replicas that do not have everything: {names}",
            "start these servers, or wait until they have caught up",
        )
    return found


def is_covered(subject: str, patterns: Iterable[str]) -> bool:
    """Return whether one of the patterns matches a subject.

    :param subject: a subject without wildcards.
    :param patterns: subjects, which may have the wildcards ``*`` and ``>``.
    """
    return any(_matches(subject.split("."), pattern.split(".")) for pattern in patterns)


def _matches(tokens: list[str], pattern: list[str]) -> bool:
    for index, expected in enumerate(pattern):
        if expected == ">":
            return len(tokens) > index
        if index >= len(tokens) or expected not in ("*", tokens[index]):
            return False
    return len(tokens) == len(pattern)


def differences(wanted: StreamSettings, found: StreamSettings) -> list[str]:
    """List the settings in which an existing stream differs from the wanted one."""
    texts = []
    for name in wanted.__struct_fields__:
        one, other = getattr(wanted, name), getattr(found, name)
        if one != other:
            texts.append(f"{name.replace('_', ' ')} {_value(name, other)}, not {_value(name, one)}")
    return texts


def _value(name: str, value: object) -> str:
    if name in ("max_age", "duplicate_window") and isinstance(value, int):
        return duration_text(value)
    if name.startswith("max_") and isinstance(value, int) and value <= 0:
        return "unlimited"
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return str(value)


def duration_text(nanoseconds: int) -> str:
    """Write a duration as the ``nats`` tool reads it, such as ``1h`` or ``1500ms``."""
    if nanoseconds <= 0:
        return "unlimited"
    for unit, size in (("h", 3600 * NANOSECONDS), ("m", 60 * NANOSECONDS), ("s", NANOSECONDS)):
        if nanoseconds % size == 0:
            return f"{nanoseconds // size}{unit}"
    return f"{nanoseconds / 1_000_000:g}ms"
