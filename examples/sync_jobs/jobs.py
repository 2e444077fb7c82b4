"""Jobs in a pool of threads, and a script that watches them: a program without an event loop.

    FASTCOORD_SERVERS=nats://127.0.0.1:4222 python jobs.py watch 2 20
    FASTCOORD_SERVERS=nats://127.0.0.1:4222 python jobs.py work 1 20

``work`` runs 20 jobs in four threads that share one node. ``watch`` prints their results, also
after Ctrl-C in ``work``.
"""

import sys
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from fastcoord import AppEvent, Missed, PeerDown, RequestTimeout, blocking

DONE = 1
THREADS = 4
PATIENCE = 30.0
"""Seconds without a result after which the watcher gives up."""


def run_job(node: blocking.Node, job: int) -> None:
    time.sleep(0.01)  # the real work of a job
    # Any thread may publish. Nothing waits for the network here.
    node.publish(AppEvent(DONE, str(job).encode()))


def work(node: blocking.Node, jobs: int) -> None:
    is_stopped = threading.Event()

    def run(share: Iterable[int]) -> None:
        for job in share:
            if is_stopped.is_set():
                return
            run_job(node, job)

    # One call for each thread: Ctrl-C while a pool is given many calls may leave a lock of it held.
    pool = ThreadPoolExecutor(THREADS)
    try:
        list(pool.map(run, [range(first, jobs, THREADS) for first in range(THREADS)]))
    finally:
        is_stopped.set()  # after Ctrl-C, no further job begins
        pool.shutdown()
    node.flush()  # the server has all results
    print(f"{node.stats().confirmed} results confirmed", flush=True)


def watch(node: blocking.Node, jobs: int) -> None:
    done: set[int] = set()
    with node.subscribe(peers=True, timeout=PATIENCE) as events:
        print("watching", flush=True)
        try:
            for event in events:
                match event:
                    case AppEvent(kind=kind, payload=payload) if kind == DONE:
                        done.add(int(payload))
                    case PeerDown(node_id=worker, goodbye=clean):
                        print(f"worker {worker} {'has ended' if clean else 'is lost'}")
                        break
                    case Missed():
                        print("some results are lost: ask the job store")
        except RequestTimeout:
            print(f"no result within {PATIENCE:g} s")
    print(f"{len(done)} of {jobs} jobs done", flush=True)


if __name__ == "__main__":
    command, node_id, jobs = sys.argv[1:]
    with blocking.connect(node_id=int(node_id), protocol="fastcoord-1") as node:
        {"work": work, "watch": watch}[command](node, int(jobs))
