"""The batches in ``vectors/``, which Stalwart's own encoder wrote."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

DIRECTORY = Path(__file__).parents[2] / "vectors"

COMPATIBLE_PROTOCOLS = {
    "stalwart-0.15": ("stalwart-0.15",),
    "stalwart-0.16": ("stalwart-0.16", "stalwart-1.0"),
}
"""The protocols that read and write the batches of a file byte for byte."""


class Vector(NamedTuple):
    """One batch as Stalwart wrote it."""

    name: str
    """File and line, for example ``stalwart-0.15:7``."""
    node_id: int
    events: list[list[Any]]
    """``[type, fields]`` each."""
    payload: bytes

    @property
    def protocols(self) -> tuple[str, ...]:
        return COMPATIBLE_PROTOCOLS[self.name.partition(":")[0]]


def load_vectors() -> list[Vector]:
    """Read every batch of every file, in order."""
    return [
        _parse(f"{recorded_with}:{number}", line)
        for recorded_with in COMPATIBLE_PROTOCOLS
        for number, line in enumerate(_lines(recorded_with), start=1)
    ]


def _lines(recorded_with: str) -> list[str]:
    return (DIRECTORY / f"{recorded_with}.jsonl").read_text(encoding="utf-8").split("\n")[:-1]


def _parse(name: str, line: str) -> Vector:
    batch = json.loads(line)
    return Vector(name, batch["node_id"], batch["events"], bytes.fromhex(batch["hex"]))


VECTORS = load_vectors()
CASES = [(vector, protocol) for vector in VECTORS for protocol in vector.protocols]
"""Every batch with every protocol that it fits."""
CASE_NAMES = [f"{vector.name}-as-{protocol}" for vector, protocol in CASES]
