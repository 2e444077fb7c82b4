"""``make fuzz``: fuzz one target for some time, on a build that counts its edges.

The loop runs in a process of its own, which writes each input into a shared file before it runs
it: the file holds the input that crashed or blocked the process. A finding is written to
``.sanitize/findings/``, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import mmap
import os
import secrets
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from engine import Coverage, Engine, Target
from mutation import MAXIMUM_SIZE

from support.builds import BUILDS, ROOT, build_extensions, compile_library, environment_for

TARGETS = ("codec", "parser")
COUNT_EDGES = "-fsanitize-coverage=trace-pc"
"""Makes every basic block call ``__sanitizer_cov_trace_pc``, which ``coverage.c`` provides."""
STUCK = 60.0
"""Seconds that one input may take before it counts as a finding."""
FINDINGS = BUILDS / "findings"


class LastInput:
    """A file that holds the input that is running, and the number of inputs so far."""

    _head = struct.Struct("<QI")

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        size = self._head.size + 4 * MAXIMUM_SIZE
        if not path.exists():
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)

    def write(self, data: bytes) -> None:
        number, _ = self._head.unpack_from(self._map)
        start = self._head.size
        self._map[start : start + len(data)] = data
        self._head.pack_into(self._map, 0, number + 1, len(data))

    def read(self) -> tuple[int, bytes]:
        number, size = self._head.unpack_from(self._map)
        return number, self._map[self._head.size : self._head.size + size]


def main() -> int:
    """Build, fuzz in a child process, and print the result."""
    arguments = _arguments()
    if arguments.inside is not None:
        return _fuzz(arguments)
    name = "fuzzed-sanitized" if arguments.sanitize else "fuzzed"
    library = build_extensions(name, sanitize=arguments.sanitize, flags=[COUNT_EDGES])
    counters = compile_library(
        Path(__file__).with_name("coverage.c"), BUILDS / name / "coverage.so", sanitize=False
    )
    last_input = LastInput(BUILDS / name / f"last-input-{os.getpid()}")
    print(f"target {arguments.target}, {name} build, seed {arguments.seed}", flush=True)
    own = [f"--seed={arguments.seed}", f"--inside={counters}", f"--last-input={last_input.path}"]
    child = subprocess.Popen(
        [sys.executable, __file__, *sys.argv[1:], *own],
        cwd=ROOT,
        env=environment_for(library, sanitize=arguments.sanitize),
    )
    try:
        return watch(child, last_input, arguments.target)
    finally:
        child.kill()
        child.wait()
        last_input.path.unlink()


def watch(child: subprocess.Popen[bytes], last_input: LastInput, target: str) -> int:
    """Wait for the fuzzing process; keep its last input if it crashes or hangs.

    :return: the exit status for the whole run.
    """
    number = 0
    while True:
        try:
            status = child.wait(STUCK)
        except subprocess.TimeoutExpired:
            latest, data = last_input.read()
            if latest != number:
                number = latest
                continue
            print(f"FINDING: one input took more than {STUCK:.0f} s: {_save(data, target)}")
            return 1
        if status not in (0, 1):
            _, data = last_input.read()
            print(f"FINDING: the process ended with {status} at {_save(data, target)}")
            return 1
        return status


def _fuzz(arguments: argparse.Namespace) -> int:
    coverage = Coverage(Path(arguments.inside))
    # Imported here, because the counters must be loaded before the extensions.
    target = _target(arguments.target)
    from fastcoord import _codec

    if not _codec.__file__.startswith(os.environ["FASTCOORD_BUILD"]):
        raise SystemExit(f"fuzzing {_codec.__file__} instead of the build")
    engine = Engine(
        target,
        seed=arguments.seed,
        coverage=coverage,
        before_each=LastInput(Path(arguments.last_input)).write,
    )
    report = engine.run(
        seconds=arguments.seconds, each_minute=lambda report: print(report, flush=True)
    )
    print(report)
    if report.finding is None:
        print("no findings")
        return 0
    print(f"FINDING: {report.finding.reason}")
    print(f"the input: {_save(report.finding.data, arguments.target)}")
    return 1


def _target(name: str) -> Target:
    if name == "parser":
        from parser_target import ParserTarget

        return ParserTarget()
    from codec_target import CodecTarget

    return CodecTarget()


def _save(data: bytes, target: str) -> Path:
    FINDINGS.mkdir(parents=True, exist_ok=True)
    path = FINDINGS / f"{target}-{secrets.token_hex(4)}"
    path.write_bytes(data)
    return path


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", nargs="?", choices=TARGETS, default=TARGETS[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=secrets.randbits(32))
    parser.add_argument("--sanitize", action="store_true", help="with ASan and UBSan")
    parser.add_argument("--inside", help=argparse.SUPPRESS)
    parser.add_argument("--last-input", help=argparse.SUPPRESS)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
