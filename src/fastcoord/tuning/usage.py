"""CPU time, memory and event loop of a process."""

from __future__ import annotations

import asyncio
import sys
import time
from pathlib import Path

if sys.platform == "win32":

    def _largest() -> int:
        return 0
else:
    import resource

    def _largest() -> int:
        largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return largest if sys.platform == "darwin" else largest * 1024


__all__ = ["event_loop", "memory_peak", "processor_seconds", "resident_bytes"]


def event_loop() -> str:
    """Return the package of the running event loop, for example ``"uvloop"``."""
    return type(asyncio.get_running_loop()).__module__.partition(".")[0]


def processor_seconds() -> float:
    """Return the CPU time of this process in seconds."""
    return time.process_time()


def resident_bytes() -> int:
    """Return the resident memory of this process in bytes; 0 on Windows."""
    return _status("VmRSS") or memory_peak()


def memory_peak() -> int:
    """Return the largest resident memory that this process ever had, in bytes; 0 on Windows."""
    # ru_maxrss of a new process may be that of the process which started it.
    return _status("VmHWM") or _largest()


def _status(name: str) -> int:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return 0  # not Linux
    for line in lines:
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    return 0
