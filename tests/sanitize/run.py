"""``make sanitize``: the tests without servers, on extensions built with ASan and UBSan.

Arguments are passed to pytest. If they name no tests, the golden and property tests run, and the
unit tests of compiled code, but not those of configuration, command line and documents.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.builds import ROOT, build_extensions, environment_for

UNCOMPILED = (
    "architecture",
    "benchmarks",
    "cli",
    "config",
    "demo",
    "documents",
    "public",
    "support",
)
TESTS = (
    *(
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests" / "unit").glob("test_*.py"))
        if not path.stem.removeprefix("test_").startswith(UNCOMPILED)
    ),
    "tests/golden",
    "tests/property",
)
REUSING_TESTS = tuple(
    f"tests/property/test_{name}.py" for name in ("reuse", "runs", "integers", "arrival")
)
REUSE = "-DFASTCOORD_POOL_CAPACITY=64"
"""Enables the reuse of the memory of events, which a sanitized build omits: memory that is never
freed hides a use after free."""


def main() -> int:
    """Build, prove that the sanitizers are active, and run the tests; then again with reuse."""
    arguments = sys.argv[1:]
    if any((ROOT / argument.partition("::")[0]).exists() for argument in arguments):
        return _run("sanitized", [], arguments) or _run("sanitized-reusing", [REUSE], arguments)
    return _run("sanitized", [], [*arguments, *_existing(TESTS)]) or _run(
        "sanitized-reusing", [REUSE], [*arguments, *_existing(REUSING_TESTS)]
    )


def _existing(paths: Sequence[str]) -> list[str]:
    return [path for path in paths if (ROOT / path).exists()]


def _run(name: str, flags: Sequence[str], arguments: Sequence[str]) -> int:
    library = build_extensions(name, sanitize=True, flags=flags)
    environment = environment_for(library, sanitize=True)
    print(f"{name}:", flush=True)
    subprocess.run(
        [sys.executable, str(Path(__file__).with_name("prove.py"))],
        cwd=ROOT,
        env=environment,
        check=True,
    )
    # Capture only sys.stderr and not its file descriptor, to which a sanitizer writes its report.
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--capture=sys", *arguments],
        cwd=ROOT,
        env=environment,
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
