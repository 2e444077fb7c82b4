"""CPU time, memory and event loop of a process."""

from __future__ import annotations

import asyncio
import resource
from pathlib import Path

__all__ = ["event_loop", "memory_peak", "processor_seconds", "resident_bytes"]


def event_loop() -> str:
    """Return the package of the running event loop, for example ``"uvloop"``."""
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def processor_seconds() -> float:
    """Return the CPU time of this process in seconds."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def resident_bytes() -> int:
    """Return the resident memory of this process in bytes."""
    return _status("VmRSS") or memory_peak()


def memory_peak() -> int:
    """Return the largest resident memory that this process ever had, in bytes."""
    # ru_maxrss of a new process may be that of the process which started it.
    return _status("VmHWM") or resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _status(name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0  # not Linux
    for line in lines:
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
