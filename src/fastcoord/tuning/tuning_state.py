"""The file in which a search keeps its runs, so that it can be resumed and reported."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import msgspec

from fastcoord.tuning.advice import Advice
from fastcoord.tuning.measured import Measured
from fastcoord.tuning.sizing import Sizing
from fastcoord.tuning.workload import Workload

__all__ = ["FORMAT", "TuningState", "read_state", "write_state"]

FORMAT = "fastcoord-tune-1"


class TuningState(msgspec.Struct, frozen=True, kw_only=True):
    """A search, finished or interrupted.

    :ivar present: the capacities before.
    :ivar advice: the recommendation; ``None`` while the search is not finished.
    """

    format: str = FORMAT
    started_at: str
    machine: dict[str, Any]
    server: str
    workload: Workload
    present: dict[str, Any]
    sizing: Sizing
    runs: list[Measured]
    advice: Advice | None = None


def read_state(file: str) -> TuningState:
    """Read a search.

    :raises ValueError: the file has another content.
    :raises OSError: the file cannot be read.
    """
    try:
        state = msgspec.json.decode(Path(file).read_bytes(), type=TuningState)
    except msgspec.DecodeError as error:
        raise ValueError(f"{file} was not written by fastcoord tune: {error}") from None
    if state.format != FORMAT:
        raise ValueError(f"{file} has the format {state.format!r}, not {FORMAT!r}")
    return state


def write_state(file: str, state: TuningState) -> None:
    """Write a search. An interruption leaves the old or the new file, never half of one.

    :raises OSError: the file cannot be written.
    """
    target = Path(file)
    # Two searches may use the same file: each needs a temporary file of its own.
    temporary = target.with_name(f"{target.name}.{secrets.token_hex(6)}")
    try:
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(state), indent=1))
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
