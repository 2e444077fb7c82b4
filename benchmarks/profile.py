"""Profile a process of a run: ``python -m benchmarks.profile publish``.

Needs ``perf`` of the Linux tools. The rate is not printed, because profiling slows the process
down.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import exchange, processes
from benchmarks.peers import MODULES
from benchmarks.run import ONE_EVENT
from fastcoord.server import LocalServer

SAMPLES_PER_SECOND = 8_000
LINES = 25


def recorded(role: str, record: Path) -> type[processes.Process]:
    """Return a subclass of Process that runs one role under ``perf record``."""

    class Recorded(processes.Process):
        def command(self) -> list[str]:
            plain = super().command()
            if self.job["role"] != role:
                return plain
            options = ["-e", "cpu-clock", "-F", str(SAMPLES_PER_SECOND), "-o", str(record)]
            return ["perf", "record", "-q", *options, "--", *plain]

        def __exit__(self, *exception: Any) -> None:
            if self.job["role"] == role:
                # perf writes its file when its child has ended.
                pid = str(self._process.pid)
                subprocess.run(["pkill", "-TERM", "-P", pid], check=False)
                self._process.wait(timeout=30)
            super().__exit__(*exception)

    return Recorded


def report(record: Path, by: str) -> str:
    """Return the shares of time by ``dso`` or by ``symbol``, the largest first."""
    done = subprocess.run(
        ["perf", "report", "-i", str(record), "--no-children", "--stdio", "--sort", by],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith("#")]
    return "\n".join(line.rstrip(" -") for line in lines[:LINES])


def main() -> None:
    """Run a peer, and print the profile of one of its processes."""
    parser = argparse.ArgumentParser(prog="benchmarks.profile", description=__doc__)
    parser.add_argument("role", choices=("publish", "subscribe"))
    parser.add_argument("--peer", choices=MODULES, default="fastcoord")
    parser.add_argument("--events", type=int, default=16_000_000)
    parser.add_argument("--one-event", action="store_true", help="one event in each message")
    chosen = parser.parse_args()
    if shutil.which("perf") is None:
        sys.exit("perf is not installed: it comes with the Linux tools of your distribution")
    with tempfile.TemporaryDirectory() as folder, LocalServer() as server:
        record = Path(folder, "perf.data")
        exchange.Process = recorded(chosen.role, record)  # type: ignore[misc]
        wire: dict[str, Any] = ONE_EVENT if chosen.one_event else {}
        exchange.run(server.url, chosen.peer, chosen.events, mode="time", tag="profile", **wire)
        print(report(record, "dso"), report(record, "dso,symbol"), sep="\n\n")


if __name__ == "__main__":
    main()
