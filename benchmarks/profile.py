"""Profile a process of a run: ``python -m benchmarks.profile read``.

``produce`` and ``read`` are the processes of the user's loop, ``publish`` and ``subscribe`` those
of the transport alone. Needs ``perf`` of the Linux tools. The rate is not printed, because
profiling slows the process down.
"""

from __future__ import annotations

import argparse
import platform
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from benchmarks import exchange, processes
from benchmarks.peers import MODULES
from benchmarks.run import ONE_EVENT
from benchmarks.user_loop import contenders
from benchmarks.user_loop import contest as user_loop
from fastcoord.server import LocalServer

SAMPLES_PER_SECOND = 8_000
LINES = 25
MODULES_OF_FASTCOORD = {path.stem for path in Path("src/fastcoord").rglob("*.pyx")}
PARTS = ("interpreter", "compiled code of fastcoord", "kernel", "other libraries")


def recorded(base: type[processes.Process], role: str, record: Path) -> Any:
    """Return a subclass of a process that runs one role under ``perf record``."""

    class Recorded(base):  # type: ignore[misc, valid-type]
        def command(self) -> list[str]:
            plain: list[str] = super().command()
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


def report(record: Path, by: str) -> list[str]:
    """Return the shares of time by ``dso`` or by ``symbol``, the largest first."""
    done = subprocess.run(
        ["perf", "report", "-i", str(record), "--no-children", "--stdio", "--sort", by],
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith("#")]
    return [line.rstrip(" -") for line in lines]


def part_of(library: str) -> str:
    """Return the part of the program to which a file in a profile belongs."""
    if library.startswith("["):
        return "kernel"
    if library.startswith(("python", "libpython")):
        return "interpreter"
    if library.split(".")[0] in MODULES_OF_FASTCOORD:
        return "compiled code of fastcoord"
    return "other libraries"


def shares(lines: list[str]) -> dict[str, float]:
    """Sum the shares of files, in percent, by part of the program."""
    sums = dict.fromkeys(PARTS, 0.0)
    for line in lines:
        share, library = line.split(maxsplit=1)
        sums[part_of(library.strip())] += float(share.rstrip("%"))
    return sums


def main() -> None:
    """Run a contender, and print the profile of one of its processes."""
    parser = argparse.ArgumentParser(prog="benchmarks.profile", description=__doc__)
    parser.add_argument("role", choices=("produce", "read", "publish", "subscribe"))
    parser.add_argument("--peer", choices=MODULES, default="fastcoord", help="of the transport")
    parser.add_argument(
        "--contender", choices=contenders.PYTHON, default="one_call", help="of the user's loop"
    )
    parser.add_argument("--events", type=int, default=8_000_000)
    parser.add_argument("--one-event", action="store_true", help="one event in each message")
    parser.add_argument("--shares", action="store_true", help="print nothing but the sums")
    chosen = parser.parse_args()
    if shutil.which("perf") is None:
        sys.exit("perf is not installed: it comes with the Linux tools of your distribution")
    with tempfile.TemporaryDirectory() as folder, LocalServer() as server:
        record = Path(folder, "perf.data")
        if chosen.role in ("publish", "subscribe"):
            exchange.Process = recorded(processes.Process, chosen.role, record)  # type: ignore[misc]
            wire: dict[str, Any] = ONE_EVENT if chosen.one_event else {}
            exchange.run(server.url, chosen.peer, chosen.events, mode="time", tag="profile", **wire)
        else:
            user_loop.Worker = recorded(user_loop.Worker, chosen.role, record)  # type: ignore[misc]
            wire = user_loop.LONE_WIRE if chosen.one_event else {}
            user_loop.run(server.url, chosen.contender, chosen.events, "profile", **wire)
        libraries = report(record, "dso")
        if not chosen.shares:
            print(*libraries[:LINES], "", *report(record, "dso,symbol")[:LINES], "", sep="\n")
        print(
            f"{platform.python_version()}, {chosen.role}:",
            ", ".join(f"{part} {share:.0f} %" for part, share in shares(libraries).items()),
        )


if __name__ == "__main__":
    main()
