"""The status of processes, from /proc."""

from pathlib import Path


def exists(pid: int) -> bool:
    """Return whether the process runs; a zombie does not."""
    return state(pid) not in ("", "Z")


def state(pid: int) -> str:
    """Return the state letter (R, S, T, Z, ...); empty if the process does not exist."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return ""


def thread_states(pid: int) -> set[str]:
    """Return the state letters of all threads of a process."""
    files = Path(f"/proc/{pid}/task").glob("*/stat")
    return {file.read_text().rpartition(") ")[2][0] for file in files}
