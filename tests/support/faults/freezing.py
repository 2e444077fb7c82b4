"""Freezing a server reliably."""

from __future__ import annotations

from pathlib import Path

from fastcoord.server import LocalServer
from support.wait import until


async def freeze(server: LocalServer) -> None:
    """Freeze a server and return when all of its threads are stopped.

    The signal needs some time to reach every thread, and a running thread still answers a PING.
    """
    server.freeze()
    await until(lambda: states(server.pid) == {"T"})


def states(pid: int) -> set[str]:
    """Return the states of a process's threads; T is stopped."""
    files = Path(f"/proc/{pid}/task").glob("*/stat")
    return {file.read_text().rpartition(")")[2].split()[0] for file in files}
