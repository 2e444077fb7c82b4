"""A server that is frozen for sure."""

from __future__ import annotations

from pathlib import Path

from fastcoord.server import LocalServer
from support.wait import until


async def freeze(server: LocalServer) -> None:
    """Freeze a server, and return when not one of its threads runs any more.

    The signal takes a moment to reach them all, and one that still runs answers a PING.
    """
    server.freeze()
    await until(lambda: states(server.pid) == {"T"})


def states(pid: int) -> set[str]:
    """Give the states of a process's threads; T is stopped."""
    files = Path(f"/proc/{pid}/task").glob("*/stat")
    return {file.read_text().rpartition(")")[2].split()[0] for file in files}
