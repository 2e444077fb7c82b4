"""Compare a stream with plain NATS: ``python -m benchmarks.streams [--seconds 5] [--rounds 3]``.

Both run alternately on one server, publisher and subscriber in a process each. The storage of the
stream is that of the environment variable FASTCOORD_STORAGE: ``memory`` or ``file``.
"""

from __future__ import annotations

import argparse
import statistics
from typing import Any

from benchmarks import exchange, latency
from fastcoord.server import LocalServer

PEERS = ["fastcoord", "fastcoord_stream"]
ONE_EVENT: dict[str, Any] = {"kind": "AppEvent", "options": {"capacity.batch-bytes": 64}}
COUNTS = {"full batches": 2_000_000, "one event a message": 200_000}


def main() -> None:
    """Run the comparison and print a line for each measurement."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=5.0, help="of each latency run")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with LocalServer(jetstream=True) as server:
        for name, wire in (("full batches", {}), ("one event a message", ONE_EVENT)):
            rates: dict[str, list[float]] = {peer: [] for peer in PEERS}
            cpu: dict[str, list[float]] = {peer: [] for peer in PEERS}
            for number in range(arguments.rounds):
                for peer in PEERS:
                    tag = f"{name[:3]}{number}"
                    done = exchange.run(
                        server.url, peer, COUNTS[name], mode="time", tag=tag, **wire
                    )
                    rates[peer].append(done["rate"])
                    cpu[peer].append(done["publisher"] + done["subscriber"])
            plain, stream = (statistics.median(rates[peer]) for peer in PEERS)
            used = [statistics.median(cpu[peer]) for peer in PEERS]
            print(
                f"{name}: plain {plain:,.0f}/s, stream {stream:,.0f}/s, ratio"
                f" {stream / plain:.2f}; CPU {used[0]:.0f} and {used[1]:.0f} ns an event; runs"
                f" {[round(each) for each in rates['fastcoord_stream']]}",
                flush=True,
            )
        delays: dict[str, list[float]] = {peer: [] for peer in PEERS}
        for number in range(arguments.rounds):
            for peer in PEERS:
                way = (peer, "asyncio")
                run = latency.run(server.url, way, 1000, arguments.seconds, f"{number}")
                delays[peer].append(run.scheduled.get_value_at_percentile(50) / 1e3)
        plain, stream = (statistics.median(delays[peer]) for peer in PEERS)
        print(
            f"p50 at 1,000/s: plain {plain:.0f} us, stream {stream:.0f} us,"
            f" ratio {stream / plain:.2f}"
        )


if __name__ == "__main__":
    main()
