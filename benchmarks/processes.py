"""The processes of a run and the messages that they exchange."""

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
LIBNATS_NAME = "libnats (C), one event a message, structs"
LIBNATS_EVENTS = 1_000_000
REPLY_TIMEOUT = 120.0
"""Seconds within which a process must send its next line."""


class Failed(Exception):
    """A process ended or sent nothing instead of doing its job."""


class Process:
    """One worker process.

    :param job: the job; see ``worker.py``.
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
        """Return the command line."""
        return (
            libnats_command(self.job) if self.job["peer"] == LIBNATS else python_command(self.job)
        )

    def receive(self) -> dict[str, Any]:
        """Read the next line of the process.

        :raises Failed: there is none.
        """
        output = self._process.stdout
        assert output is not None
        if not select.select([output], [], [], REPLY_TIMEOUT)[0]:
            self._process.kill()
        line = output.readline()
        if not line:
            _, errors = self._process.communicate()
            last = errors.strip().splitlines()[-1:] or [f"exit {self._process.returncode}"]
            raise Failed(f"{self.job['peer']}, {self.job['role']}: {last[0]}")
        received: dict[str, Any] = json.loads(line)
        return received

    def send(self, **facts: Any) -> None:
        """Send a line to the process."""
        stream = self._process.stdin
        assert stream is not None
        stream.write(json.dumps(facts) + "\n")
        stream.flush()

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exception: Any) -> None:
        # Its work is done or has failed: there is nothing to clean up.
        self._process.kill()
        self._process.communicate()


def python_command(job: dict[str, Any]) -> list[str]:
    """Return the command line of a peer in Python."""
    return [sys.executable, "-m", "benchmarks.worker", json.dumps(job)]


def libnats_command(job: dict[str, Any]) -> list[str]:
    """Return the command line of the peer in C."""
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
    """Compile the peer in C.

    :raises native.Unavailable: there is no compiler or no libnats.
    """
    return native.compile_c(HERE / "peers" / "libnats.c", "", ["-lnats", "-lpthread"])


def name_of(peer: str) -> str:
    """Return the name of a peer in tables."""
    return LIBNATS_NAME if peer == LIBNATS else peers.load(peer).NAME


def events_of(peer: str) -> int:
    """Return the number of events in a run of about a second."""
    return LIBNATS_EVENTS if peer == LIBNATS else peers.load(peer).EVENTS


def present(names: list[str]) -> tuple[list[str], dict[str, str]]:
    """Find the peers that can run here.

    :return: those that can run, and the reason for each other one.
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
    """Return the reason why a peer cannot run."""
    if name == "nats_core" and sys.version_info < (3, 13):
        return "nats-core needs Python 3.13"
    return f"{problem}: `pip install --group bench`"
