"""What the kernel knows of processes."""

from pathlib import Path


def exists(pid: int) -> bool:
    """Whether the process runs; one that has ended and waits for its parent does not."""
    return state(pid) not in ("", "Z")


def state(pid: int) -> str:
    """One letter: R or S runs, T is stopped, Z has ended; nothing for what is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except OSError:
        return ""
