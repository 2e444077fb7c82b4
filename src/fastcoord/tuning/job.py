"""The messages between a run and its processes, each one line of JSON."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

import fastcoord
from fastcoord.config import load_with_sources
from fastcoord.tuning.load import Load, apply_settings

__all__ = [
    "Go",
    "Job",
    "Progress",
    "PublisherResult",
    "Reply",
    "Sent",
    "Stop",
    "SubscriberResult",
]


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """The job of one process; it is sent on standard input, where nobody can read it.

    :ivar file: the configuration file, or the URL of servers; empty if ``text`` is the
        configuration.
    :ivar settings: settings other than those of the configuration.
    :ivar subject: the subject of this run.
    :ivar stream: the JetStream stream of this run, or ``None`` on plain NATS.
    :ivar address: another address of the server, or ``None``.
    :ivar index: the index of this process among those of its role.
    :ivar samples: the file for pairs of event number and time.
    :ivar stride: every how many events a sample is taken.
    """

    role: Literal["publish", "subscribe"]
    load: Load
    file: str
    text: str
    settings: dict[str, Any]
    subject: str
    stream: str | None
    address: str | None
    index: int
    samples: str
    stride: int

    @property
    def node_id(self) -> int:
        """The node id of this process: publishers count from 1, subscribers from 1001."""
        return self.index + (1 if self.role == "publish" else 1001)

    def config(self) -> fastcoord.Config:
        """Return the configuration of this process.

        :raises ConfigError: the configuration has a problem.
        """
        if self.text:
            config = fastcoord.parse_config(self.text, name="the bundled server")
        else:
            config = load_with_sources(self.file)[0]
        config = apply_settings(config, self.settings)
        replace = msgspec.structs.replace
        cluster = replace(
            config.cluster,
            node_id=self.node_id,
            subject=self.subject,
            presence_subject=f"{self.subject}.fastcoord",
            stream=self.stream,
        )
        nats = config.nats
        if self.address is not None:
            host, _, port = self.address.rpartition(":")
            nats = replace(nats, address=(fastcoord.config.Address(host=host, port=int(port)),))
        return replace(config, nats=nats, cluster=cluster)


class Go(msgspec.Struct, frozen=True, tag=True):
    """The time at which the load starts.

    :ivar start: nanoseconds on the clock of ``time.monotonic_ns``, which all processes of a machine
        share.
    """

    start: int


class Sent(msgspec.Struct, frozen=True, tag=True):
    """How many events the publishers have sent in total."""

    events: int


class Stop(msgspec.Struct, frozen=True, tag=True):
    """The run is to end now."""


class Progress(msgspec.Struct, frozen=True, kw_only=True):
    """The state of a process while it runs."""

    events: int
    missed: int = 0
    waiting: int = 0


class PublisherResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a publisher has done; the figures are of the whole run unless the name says otherwise.

    :ivar measured_events: events of the measured part.
    :ivar measured_seconds: from the end of the warm-up to the last call of ``publish``.
    :ivar late_at_end: seconds by which the last event was published later than scheduled.
    :ivar latest: the largest delay of any call, in seconds.
    :ivar event_loop: the package of the event loop.
    """

    sent: int
    accepted: int
    confirmed: int
    discarded: int
    messages: int
    sent_bytes: int
    measured_events: int
    measured_seconds: float
    cpu_seconds: float
    memory_before: int
    memory_peak: int
    late_at_end: float
    latest: float
    reconnects: int
    event_loop: str = ""
    flush_problem: str | None = None


class SubscriberResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a subscriber has received; the figures are of the whole run unless noted otherwise.

    :ivar received: events that were returned to the program.
    :ivar reported: events that ``Missed`` reported, by cause.
    :ivar unknown_losses: ``Missed`` notices without a number, by cause.
    :ivar read_seconds: from the end of the warm-up until the last event was read.
    :ivar event_loop: the package of the event loop.
    """

    received: int
    duplicated: int
    out_of_order: int
    foreign: int
    reported: dict[str, int]
    unknown_losses: dict[str, int]
    messages: int
    received_bytes: int
    measured_events: int
    read_seconds: float
    cpu_seconds: float
    memory_before: int
    memory_peak: int
    high_water_messages: int
    reconnects: int
    event_loop: str = ""
    ended_by_silence: bool


class Reply(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A line from a process: exactly one field is set."""

    ready: bool = False
    progress: Progress | None = None
    publisher: PublisherResult | None = None
    subscriber: SubscriberResult | None = None
    failed: str | None = None
