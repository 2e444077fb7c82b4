"""The load of one run, and the settings under which it runs."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import msgspec

from fastcoord.config import Config, parse_config
from fastcoord.config._settings import CLUSTER, STORE
from fastcoord.errors import FastcoordError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "TUNABLE",
    "LibraryMissing",
    "Load",
    "NotMeasured",
    "apply_settings",
    "default_settings",
    "parse_setting",
    "settings_of",
]

TUNABLE = (
    "capacity.client",
    "capacity.subscription",
    "capacity.subscription-bytes",
    "capacity.read-buffer",
    "capacity.batch-bytes",
    "heartbeat",
    "max-age",
    "pace",
)
"""The settings that a run may change, by their key in the configuration."""

CAPACITIES = TUNABLE[:5]


class NotMeasured(FastcoordError):
    """A run could not take place, for example because no server could be used."""


class LibraryMissing(NotMeasured):
    """A library that the commands need is not installed."""


class Load(msgspec.Struct, frozen=True, kw_only=True):
    """What publishers and subscribers do in one run.

    :ivar rate: events per second of all publishers together; ``None`` for as many as possible.
    :ivar mix: the weight of each kind of event.
    :ivar payload_bytes: the size of the payload of ``AppEvent``.
    :ivar style: ``"loop"`` calls ``publish`` for all events that are due before it returns to the
        event loop, so that they share messages. ``"lone"`` returns to the event loop after each
        event, so that each one has its own message. ``"list"`` calls ``publish_many``.
    :ivar list_size: events in one list.
    :ivar nowait: whether to call ``publish_nowait``; with ``"lone"``, each call has a task of its
        own.
    :ivar read: whether subscribers iterate over ``"events"`` or ``"batches"``.
    :ivar burst: how many events of one publisher are due at the same time.
    :ivar publishers: the number of publishing nodes, each in its own process.
    :ivar subscribers: the number of subscribing nodes, each in its own process.
    :ivar seconds: how long the measured part lasts.
    :ivar warm_up: seconds with the same load before the measured part.
    :ivar stall: seconds for which each subscriber stops to read.
    :ivar generator_stall: seconds for which each publisher stops to publish.
    :ivar outage: seconds for which the publishers have no connection.
    :ivar loop: the event loop, ``"asyncio"`` or ``"uvloop"``.
    :ivar seed: the seed of the values in the events.
    """

    rate: float | None = None
    mix: dict[str, int] = msgspec.field(default_factory=lambda: {"StateChange": 1})
    payload_bytes: int = 40
    style: Literal["loop", "lone", "list"] = "loop"
    list_size: int = 1
    nowait: bool = False
    read: Literal["events", "batches"] = "events"
    burst: int = 1
    publishers: int = 1
    subscribers: int = 1
    seconds: float = 10.0
    warm_up: float = 1.0
    stall: float = 0.0
    generator_stall: float = 0.0
    outage: float = 0.0
    loop: Literal["asyncio", "uvloop"] = "asyncio"
    seed: int = 1

    @property
    def incident_at(self) -> float:
        """Seconds after the start at which a stall or an outage begins."""
        return self.warm_up + self.seconds * 0.2

    @property
    def longest_incident(self) -> float:
        """The seconds of the longest stall or outage."""
        return max(self.stall, self.generator_stall, self.outage)

    @property
    def group(self) -> int:
        """How many events of one publisher are due at the same time."""
        if self.style != "list":
            return self.burst
        return -(-max(self.burst, self.list_size) // self.list_size) * self.list_size

    @property
    def events_per_publisher(self) -> int | None:
        """The events that each publisher has to send; ``None`` for as many as possible."""
        if self.rate is None:
            return None
        total = self.rate * (self.warm_up + self.seconds) / self.publishers
        return max(1, round(total / self.group)) * self.group

    def unmeasured(self) -> str | None:
        """Return why no event of a publisher is due in the measured part, or ``None``."""
        if self.rate is None:
            return None
        interval = self.group * self.publishers / self.rate
        due = self.rate * (self.warm_up + self.seconds) / self.publishers / self.group
        last = (max(1, round(due)) - 1) * interval
        if due >= 0.5 and last >= self.warm_up * (1 - 1e-9):
            return None
        events = "an event" if self.group == 1 else f"{self.group:,} events"
        return (
            f"--seconds must be at least {math.ceil(interval * 15) / 10:,.1f}: each publisher has"
            f" {events} every {interval:,.1f} s, and none in the measured part"
        )

    def due_at(self, publisher: int, number: int) -> int:
        """Return when an event is to be published, in nanoseconds after the start.

        :param publisher: the index of the publisher.
        :param number: the number of the event among those of the publisher.
        """
        assert self.rate is not None
        offset = publisher / self.rate
        groups = number // self.group
        return int((offset + groups * self.group * self.publishers / self.rate) * 1e9)

    def due(self, publisher: int, elapsed: int) -> int:
        """Return how many events of a publisher are due.

        :param elapsed: nanoseconds since the start.
        """
        assert self.rate is not None
        seconds = elapsed / 1e9 - publisher / self.rate
        if seconds < 0:
            return 0
        return (int(seconds * self.rate / self.publishers / self.group) + 1) * self.group


def parse_setting(word: str) -> tuple[str, Any]:
    """Read ``KEY=VALUE``.

    :param word: for example ``capacity.client=4096`` or ``capacity.batch-bytes=64KB``.
    :return: the key and the value.
    :raises ValueError: the key cannot be set, or the value is not allowed.
    """
    key, equals, text = word.partition("=")
    key = key.strip().removeprefix("cluster.")
    if not equals or key not in TUNABLE:
        raise ValueError(f"{word!r} is not KEY=VALUE with one of these keys: {', '.join(TUNABLE)}")
    setting = STORE.get(key) or CLUSTER[key]
    try:
        return key, setting.read(text.strip())
    except ValueError as error:
        raise ValueError(f"{key}: {error}") from None


def default_settings() -> dict[str, Any]:
    """Return the default of each capacity, by its key."""
    return settings_of(
        parse_config('[store.n]\ntype="nats"\naddress="localhost"\n[cluster]\ncoordinator="n"')
    )


def settings_of(config: Config) -> dict[str, Any]:
    """Return the capacities of a configuration by their keys."""
    return {key: getattr(config.nats.capacity, _attribute(key)) for key in CAPACITIES}


def apply_settings(config: Config, settings: Mapping[str, Any]) -> Config:
    """Return a copy of a configuration with other settings.

    :param config: the configuration.
    :param settings: values by the keys of :data:`TUNABLE`.
    """
    replace = msgspec.structs.replace
    capacities = {_attribute(key): settings[key] for key in settings if key in CAPACITIES}
    cluster = {_attribute(key): settings[key] for key in settings if key not in CAPACITIES}
    capacity = replace(config.nats.capacity, **capacities)
    return replace(
        config,
        nats=replace(config.nats, capacity=capacity),
        cluster=replace(config.cluster, **cluster),
    )


def _attribute(key: str) -> str:
    return key.removeprefix("capacity.").replace("-", "_")
