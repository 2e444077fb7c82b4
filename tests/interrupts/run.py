"""Raise an exception at each entry and each call of a node's functions, and check a ledger.

Run as ``python tests/interrupts/run.py [--list] [--kind memory|keyboard] [--loop asyncio|uvloop]
[--processes N] [PLACE ...]``; PLACE is a part of a line that ``--list`` prints. A signal handler
may raise at any call, and any call may lack memory. What was under way must then be finished,
repeated, or reported to the program: every event that was accepted is received or reported as
missing, and the node goes on working.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import subprocess
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from fastcoord.server import LocalServer
from interrupts.injector import Injector, Point
from interrupts.scenario import scenario

KINDS: dict[str, type[BaseException]] = {"memory": MemoryError, "keyboard": KeyboardInterrupt}
LOOPS = ("asyncio", "uvloop")
LIMIT = 120
"""Seconds for one run of the scenario."""

Failures = dict[tuple[str, str, Point], BaseException]


def new_loop(loop: str) -> asyncio.AbstractEventLoop:
    if loop == "uvloop":
        import uvloop

        return uvloop.new_event_loop()
    return asyncio.new_event_loop()


def run(server: LocalServer, injector: Injector, loop_name: str) -> None:
    """Run the scenario on a loop that is run again whenever an exception leaves it."""
    loop = new_loop(loop_name)
    asyncio.set_event_loop(loop)
    loop.set_exception_handler(lambda loop, context: None)
    task = loop.create_task(scenario(server, injector))
    deadline = time.monotonic() + LIMIT
    try:
        while not task.done():
            left = deadline - time.monotonic()
            with contextlib.suppress(KeyboardInterrupt):
                loop.run_until_complete(asyncio.wait_for(asyncio.shield(task), left))
        task.result()
    finally:
        leftovers = asyncio.all_tasks(loop)
        for each in leftovers:
            each.cancel()
        if leftovers:
            loop.run_until_complete(asyncio.wait(leftovers, timeout=2))
        loop.close()


def points(server: LocalServer, loop: str) -> list[Point]:
    """Run the scenario without an exception and return the points that it passes."""
    recorder = Injector(None, MemoryError)
    run(server, recorder, loop)
    return list(recorder.seen)


def failures(
    server: LocalServer, chosen: list[Point], kinds: list[str], loop: str
) -> tuple[Failures, list[Point]]:
    """Inject each kind of exception at each point.

    :return: what went wrong, and the points that were not passed this time.
    """
    wrong: Failures = {}
    unreached: list[Point] = []
    for kind in kinds:
        for each in chosen:
            injector = Injector(each, KINDS[kind])
            try:
                run(server, injector, loop)
            except Exception as error:  # noqa: BLE001 - every failure is reported
                wrong[kind, loop, each] = error
            if not injector.has_raised:
                unreached.append(each)
    return wrong, unreached


def in_processes(count: int, arguments: list[str]) -> int:
    """Run this script in several processes at once, each with its share of the points."""
    script = [sys.executable, *(["-X", "dev"] if sys.flags.dev_mode else []), __file__]
    running = [
        subprocess.Popen([*script, *arguments, "--processes", "1", "--share", f"{index}/{count}"])
        for index in range(count)
    ]
    return max(process.wait() for process in running)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("places", nargs="*")
    parser.add_argument("--kind", choices=KINDS)
    parser.add_argument("--loop", choices=LOOPS)
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--processes", type=int, default=4, help="how many runs at once")
    parser.add_argument("--share", default="0/1", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)
    if arguments.processes > 1 and not arguments.list:
        return in_processes(arguments.processes, sys.argv[1:])
    index, count = map(int, arguments.share.split("/"))
    kinds = [arguments.kind] if arguments.kind else list(KINDS)
    status = 0
    for loop in [arguments.loop] if arguments.loop else LOOPS:
        with LocalServer() as server:
            known = points(server, loop)
            if arguments.list:
                print("\n".join(map(str, known)))
                continue
            chosen = [
                each
                for each in known[index::count]
                if not arguments.places or any(part in str(each) for part in arguments.places)
            ]
            wrong, unreached = failures(server, chosen, kinds, loop)
        for (kind, _, each), error in wrong.items():
            print(f"{kind} on {loop} at {each}: {type(error).__name__}: {error}")
        done = len(chosen) * len(kinds) - len(unreached)
        print(
            f"{loop}: {done} injections, {len(wrong)} failures,"
            f" {len(unreached)} places not reached again",
            flush=True,
        )
        status |= bool(wrong)
    return status


if __name__ == "__main__":
    sys.exit(main())
