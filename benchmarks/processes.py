"""Starts the processes of a run, and listens to them."""

from __future__ import annotations

import importlib
import json
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks import native, peers

HERE = Path(__file__).parent
LIBNATS = "libnats"
LIBNATS_NAME = "libnats (C), an event a message, structs"
LIBNATS_EVENTS = 1_000_000
SILENCE = 120.0
"""Seconds without a word after which a process has failed."""


class Failed(Exception):
    """A process ended, or was silent, instead of doing its job."""


class Process:
    """One worker.

    :param job: what it is to do; see ``worker.py``.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self.job = job
        self._process = subprocess.Popen(
            self.command(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=HERE.parent,
        )

    def command(self) -> list[str]:
        """Give what is run."""
        return (
            libnats_command(self.job) if self.job["peer"] == LIBNATS else python_command(self.job)
        )

    def hear(self) -> dict[str, Any]:
        """Read its next line.

        :raises Failed: there is none.
        """
        output = self._process.stdout
        assert output is not None
        if not select.select([output], [], [], SILENCE)[0]:
            self._process.kill()
        line = output.readline()
        if not line:
            _, errors = self._process.communicate()
            last = errors.strip().splitlines()[-1:] or [f"exit {self._process.returncode}"]
            raise Failed(f"{self.job['peer']}, {self.job['role']}: {last[0]}")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def tell(self, **facts: Any) -> None:
        """Send it a line."""
        stream = self._process.stdin
        assert stream is not None
        stream.write(json.dumps(facts) + "\n")
        stream.flush()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exception: Any) -> None:
        # Nothing that it still holds is of use to anyone.
        self._process.kill()
        self._process.communicate()


def python_command(job: dict[str, Any]) -> list[str]:
    """Give the command for a peer in Python."""
    return [sys.executable, "-m", "benchmarks.worker", json.dumps(job)]


def libnats_command(job: dict[str, Any]) -> list[str]:
    """Give the command for the peer in C."""
    role = {"publish": "publish", "publish_paced": "paced"}.get(job["role"]) or job["mode"]
    wire = job["wire"]
    arguments = (
        role,
        wire["url"],
        wire["subject"],
        wire.get("kind", "StateChange"),
        job["count"],
        min(job["count"], job.get("distinct", job["count"])),
        job.get("rate", 0),
        job.get("file", "-"),
        int(job.get("patience", 0)),
    )
    return [str(libnats()), *map(str, arguments)]


def libnats() -> Path:
    """Give the peer in C, compiled.

    :raises native.Unavailable: there is no compiler or no libnats.
    """
    return native.compile_c(HERE / "peers" / "libnats.c", "", ["-lnats", "-lpthread"])


def name_of(peer: str) -> str:
    """Give what a peer is called in tables."""
    return LIBNATS_NAME if peer == LIBNATS else peers.load(peer).NAME


def events_of(peer: str) -> int:
    """Give how many events make a run of about a second."""
    return LIBNATS_EVENTS if peer == LIBNATS else peers.load(peer).EVENTS


def present(names: list[str]) -> tuple[list[str], dict[str, str]]:
    """Tell peers that can run here from those that cannot.

    :return: the former, and why for each of the latter.
    """
    able, unable = [], {}
    for name in names:
        try:
            if name == LIBNATS:
                libnats()
            else:
                importlib.import_module(f"benchmarks.peers.{peers.MODULES[name]}")
            able.append(name)
        except ImportError as problem:
            unable[name] = why_missing(name, problem)
        except native.Unavailable as problem:
            unable[name] = f"{problem} (Debian: apt-get install libnats-dev)"
    return able, unable


def why_missing(name: str, problem: ImportError) -> str:
    """Say what would make a peer run."""
    if name == "nats_core" and sys.version_info < (3, 13):
        return "nats-core needs Python 3.13"
    return f"{problem}: `pip install --group bench`"
