"""The file in which a search keeps its runs, so that it can be resumed and reported."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from fastcoord.server.file_lock import open_locked, try_lock
from fastcoord.tuning.advice import Advice
from fastcoord.tuning.measured import Measured
from fastcoord.tuning.sizing import Sizing
from fastcoord.tuning.workload import Workload

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["FORMAT", "TuningState", "read_state", "reserved", "write_state"]

FORMAT = "fastcoord-tune-1"
FORMAT_WITHIN = 100
"""The format is within the first bytes of a file."""

TOKEN_BYTES = 6


class TuningState(msgspec.Struct, frozen=True, kw_only=True):
    """A search, finished or interrupted.

    :ivar present: the capacities before.
    :ivar advice: the recommendation; ``None`` while the search is not finished.
    :ivar checksum: of everything else, in the file.
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
    checksum: str = ""


def read_state(file: str) -> TuningState:
    """Read a search.

    :raises ValueError: the file has another content.
    :raises OSError: the file cannot be read.
    """
    text = Path(file).read_bytes()
    try:
        state = msgspec.json.decode(text, type=TuningState)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        what = "was not written by fastcoord tune"
        if b'"fastcoord-tune-' in text[:FORMAT_WITHIN]:
            what = "is damaged, or was written by another version of fastcoord tune"
        raise ValueError(f"{file} {what}: {error}") from None
    if state.format != FORMAT:
        raise ValueError(f"{file} has the format {state.format!r}, not {FORMAT!r}")
    if state.checksum != _checksum(text):
        raise ValueError(f"{file} is damaged, or was changed by hand: its checksum is wrong")
    return msgspec.structs.replace(state, checksum="")


def write_state(file: str, state: TuningState) -> None:
    """Write a search. An interruption leaves the old or the new file, never half of one.

    :raises OSError: the file cannot be written.
    """
    target = Path(os.path.realpath(file))
    temporary = target.with_name(f"{target.name}.{secrets.token_hex(TOKEN_BYTES)}")
    try:
        checked = msgspec.structs.replace(state, checksum=_checksum(msgspec.json.encode(state)))
        temporary.write_bytes(msgspec.json.format(msgspec.json.encode(checked), indent=1))
        os.replace(temporary, target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _checksum(text: bytes) -> str:
    """Return the checksum of a search in JSON, whatever its own checksum and spaces are."""
    fields = msgspec.json.decode(text)
    fields["checksum"] = ""
    return hashlib.sha256(msgspec.json.encode(fields)).hexdigest()


@contextlib.contextmanager
def reserved(file: str) -> Iterator[None]:
    """Keep other searches from a file, by a lock on ``FILE.lock``, which is removed at the end.

    :param file: the file; temporary files that a killed search has left beside it are removed.
    :raises ValueError: another search uses the file.
    """
    target = os.path.realpath(file)
    lock = _locked(target)
    if lock is None:
        yield
        return
    try:
        for each in glob.glob(f"{glob.escape(target)}.{'[0-9a-f]' * 2 * TOKEN_BYTES}"):
            Path(each).unlink(missing_ok=True)
        yield
    finally:
        Path(f"{target}.lock").unlink(missing_ok=True)
        os.close(lock)


def _locked(file: str) -> int | None:
    """Return the descriptor of the lock, or ``None`` where the folder or its disk permits none."""
    while True:
        try:
            lock = open_locked(Path(f"{file}.lock"), os.O_CREAT)
        except OSError:
            return None
        try:
            try_lock(lock)
        except OSError as error:
            os.close(lock)
            if not isinstance(error, BlockingIOError):
                return None
            raise ValueError(
                f"another search uses {file}: choose another file with --state"
            ) from None
        if os.fstat(lock).st_nlink:
            return lock
        os.close(lock)  # the search that had the lock has just removed it
