"""The recommendation of ``tune``: settings, their cost, and the TOML to paste."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fastcoord.tuning.sizing import Sizing

__all__ = [
    "TOO_LARGE_EVENT",
    "Advice",
    "Finding",
    "arithmetic_advice",
    "size_text",
    "toml_block",
]

_UNITS = ((1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB"))
TOO_LARGE_EVENT = "the largest event does not fit into the present value"
SIZES = ("capacity.subscription-bytes", "capacity.batch-bytes")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """What was found about one setting.

    :ivar present: the value before.
    :ivar recommended: the value to write.
    :ivar minimum: the smallest value with which a measured run succeeded, or ``None``.
    :ivar failing: the largest value with which a measured run failed, or ``None``.
    :ivar is_close: whether ``minimum`` is close to the need; otherwise the search ended before a
        closer value was tried, and the need may be far below ``minimum``.
    :ivar not_measured: the values whose runs were not valid, with the reason.
    :ivar matters: whether the load needs another value than the present one.
    :ivar reason: one sentence.
    """

    key: str
    present: Any
    recommended: Any
    minimum: Any = None
    failing: Any = None
    is_close: bool = True
    not_measured: dict[int, str] = msgspec.field(default_factory=dict)
    matters: bool
    reason: str


class Advice(msgspec.Struct, frozen=True, kw_only=True):
    """The recommendation.

    :ivar findings: one for each capacity.
    :ivar max_age: ``cluster.max-age`` in seconds if the present one is too short.
    :ivar memory: the most bytes that the queues of a node with one subscription can use.
    :ivar is_confirmed: whether runs with the recommendation met everything; ``None`` if nothing was
        measured.
    :ivar problems: what cannot be reached.
    :ivar store: the name of the store in the configuration.
    """

    findings: list[Finding]
    max_age: float | None
    memory: int
    is_confirmed: bool | None
    problems: list[str]
    store: str = "nats"

    @property
    def settings(self) -> dict[str, Any]:
        """The recommended capacities."""
        return {each.key: each.recommended for each in self.findings}

    @property
    def defaults_suffice(self) -> bool:
        """Whether nothing has to be changed."""
        return self.max_age is None and not any(each.matters for each in self.findings)


def size_text(value: int) -> str:
    """Format a size so that a configuration accepts it: ``64MB``, or the number of bytes."""
    for unit, name in _UNITS:
        if value >= unit and value % unit == 0:
            return f'"{value // unit}{name}"'
    return str(value)


def toml_block(advice: Advice) -> str:
    """Return the settings that differ from the present ones, as TOML.

    :return: an empty text if there is nothing to change.
    """
    lines = []
    changed: Mapping[str, Any] = {each.key: each for each in advice.findings if each.matters}
    if changed:
        # TOML escapes what JSON does, and DEL.
        name = json.dumps(advice.store, ensure_ascii=False).replace("\x7f", "\\u007f")
        lines.append(f"[store.{name}]")
        for key, finding in changed.items():
            value = finding.recommended
            lines.append(f"{key} = {size_text(value) if key in SIZES else value}")
    if advice.max_age is not None:
        lines += [""] if lines else []
        lines += ["[cluster]", f'max-age = "{advice.max_age:.0f}s"']
    return "\n".join(lines)


def arithmetic_advice(present: dict[str, Any], sizing: Sizing, store: str) -> Advice:
    """Return the recommendation without a measurement.

    :param present: the present capacities.
    :param sizing: the computed ones.
    :param store: the name of the store in the configuration.
    """
    findings = []
    for key, value in sizing.settings.items():
        matters = value != present[key]
        reason = "the arithmetic needs more" if matters else "the present value suffices"
        if matters and key == "capacity.batch-bytes":
            reason = TOO_LARGE_EVENT
        if matters and value < present[key]:
            reason = "smaller, because of the memory limit"
        findings.append(
            Finding(
                key=key, present=present[key], recommended=value, matters=matters, reason=reason
            )
        )
    return Advice(
        findings=findings,
        max_age=sizing.max_age,
        memory=sizing.memory,
        is_confirmed=None,
        problems=sizing.problems,
        store=store,
    )
