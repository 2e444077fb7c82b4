"""The loop of the fuzzer: mutate, run, keep inputs that reach new code, stop at a finding."""

from __future__ import annotations

import ctypes
import random
import time
import traceback
from collections.abc import Callable, Hashable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from mutation import mutate


class Target(Protocol):
    """What is fuzzed."""

    tokens: Sequence[bytes]
    """Pieces of input that have a meaning for the target."""

    def seeds(self) -> list[bytes]:
        """Return well-formed inputs to start from."""

    def generate(self, chance: random.Random) -> bytes:
        """Generate a new input."""

    def run(self, data: bytes) -> Hashable:
        """Run one input.

        :return: the kind of outcome; an input with a new kind is kept.
        :raises Exception: the code under test has an error.
        """


class Coverage:
    """The edge counters of ``coverage.c``, which must be loaded before the extensions are."""

    def __init__(self, library: Path) -> None:
        self._library = ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        self.begin: Callable[[], int] = self._library.begin
        self.fold: Callable[[], int] = self._library.fold
        self.edges_seen: Callable[[], int] = self._library.edges_seen


class Finding(NamedTuple):
    """An input for which the target raised an exception."""

    data: bytes
    reason: str


class Report(NamedTuple):
    """The result of a run."""

    executions: int
    seconds: float
    corpus: int
    kinds: int
    """The number of kinds of outcome."""
    edges: int
    """The number of edges of the instrumented code that were taken; 0 without coverage."""
    finding: Finding | None

    def __str__(self) -> str:
        rate = self.executions / self.seconds if self.seconds else 0.0
        return (
            f"{self.executions} executions in {self.seconds:.0f} s ({rate:.0f}/s),"
            f" {self.corpus} inputs kept, {self.kinds} kinds of outcome, {self.edges} edges"
        )


class Engine:
    """One run over one target.

    :param target: what is fuzzed.
    :param seed: the seed of every random choice.
    :param coverage: detects new code reached; without it, only new kinds of outcome count.
    :param before_each: called with every input before it runs, so that a crash has a known input.
    """

    def __init__(
        self,
        target: Target,
        *,
        seed: int,
        coverage: Coverage | None = None,
        before_each: Callable[[bytes], None] = lambda data: None,
    ) -> None:
        self._target = target
        self._chance = random.Random(seed)
        self._coverage = coverage
        self._before_each = before_each
        self._corpus: list[bytes] = []
        self._kinds: set[Hashable] = set()
        self._executions = 0
        self._started = time.monotonic()

    def run(
        self,
        *,
        seconds: float = float("inf"),
        executions: float = float("inf"),
        each_minute: Callable[[Report], None] = lambda report: None,
    ) -> Report:
        """Fuzz until the time or the number of executions is reached, or there is a finding."""
        self._started = time.monotonic()
        next_report = self._started + 60
        for seed in self._target.seeds():
            finding = self._try(seed, keep=True)
            if finding is not None:
                return self._report(finding)
        while self._executions < executions:
            now = time.monotonic()
            if now - self._started >= seconds:
                break
            if now >= next_report:
                next_report += 60
                each_minute(self._report(None))
            finding = self._try(self._next_input(), keep=False)
            if finding is not None:
                return self._report(self._smaller(finding))
        return self._report(None)

    def _next_input(self) -> bytes:
        if self._chance.random() < 0.05:
            return self._target.generate(self._chance)
        # Half of the time one of the newest inputs, which have the fewest mutations so far.
        newest = self._corpus[-20:] if self._chance.random() < 0.5 else self._corpus
        # The smaller of two: it runs faster, and a mutation is more likely to change the outcome.
        start = min(self._chance.choice(newest), self._chance.choice(newest), key=len)
        return mutate(
            self._chance,
            start,
            corpus=self._corpus,
            tokens=self._target.tokens,
        )

    def _try(self, data: bytes, *, keep: bool) -> Finding | None:
        self._executions += 1
        self._before_each(data)
        if self._coverage is not None:
            self._coverage.begin()
        try:
            kind = self._target.run(data)
        except AssertionError as error:
            return Finding(data, str(error))
        except Exception:  # noqa: BLE001 - any exception is a finding
            return Finding(data, traceback.format_exc())
        reached = self._coverage.fold() if self._coverage is not None else 0
        if keep or reached or kind not in self._kinds:
            self._kinds.add(kind)
            self._corpus.append(data)
        return None

    def _smaller(self, finding: Finding) -> Finding:
        """Remove bytes that the finding does not need."""
        size = len(finding.data) // 2
        while size:
            for start in range(0, len(finding.data), size):
                shorter = finding.data[:start] + finding.data[start + size :]
                found = self._try(shorter, keep=False)
                if found is not None:
                    finding = found
                    break
            else:
                size //= 2
        return finding

    def _report(self, finding: Finding | None) -> Report:
        return Report(
            executions=self._executions,
            seconds=time.monotonic() - self._started,
            corpus=len(self._corpus),
            kinds=len(self._kinds),
            edges=self._coverage.edges_seen() if self._coverage is not None else 0,
            finding=finding,
        )
