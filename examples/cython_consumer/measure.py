"""Compare the compiled consumer with the same work in Python."""

import time
from collections.abc import Callable

from changes import Changes

import fastcoord

PROTOCOL = "fastcoord-1"
EVENTS = 1_000


class PythonChanges:
    """What ``changes.pyx`` does, in Python."""

    def __init__(self) -> None:
        self.events = 0
        self.newest = 0

    def read(self, payload: bytes) -> None:
        for event in fastcoord.decode_batch(payload, protocol=PROTOCOL):
            if isinstance(event, fastcoord.StateChange):
                self.newest = max(self.newest, event.change_id)
            self.events += 1


def nanoseconds_per_event(read: Callable[[bytes], None], payload: bytes) -> float:
    best = float("inf")
    for _ in range(200):
        before = time.perf_counter_ns()
        read(payload)
        best = min(best, time.perf_counter_ns() - before)
    return best / EVENTS


def main() -> None:
    """Print both figures, after checking that both come to the same result."""
    changes = [fastcoord.StateChange(number, 3 * number, 1) for number in range(EVENTS)]
    payload = fastcoord.encode_batch(changes, node_id=1, protocol=PROTOCOL)
    compiled, plain = Changes(PROTOCOL), PythonChanges()
    compiled.read(payload)
    plain.read(payload)
    assert compiled.newest == plain.newest == 3 * (EVENTS - 1)
    assert compiled.events == plain.events == EVENTS
    fast, slow = (nanoseconds_per_event(each.read, payload) for each in (compiled, plain))
    print(f"Cython {fast:.0f} ns, Python {slow:.0f} ns an event: {slow / fast:.1f} times faster")


if __name__ == "__main__":
    main()
