"""``make sanitize``: the tests without servers, on extensions built with ASan and UBSan.

Arguments are handed to pytest; without any, the unit, golden and property tests run.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from instrumentation import ROOT, build_extensions, environment_for

TESTS = ("tests/unit", "tests/golden", "tests/property")


def main() -> int:
    """Build, prove that the sanitizers watch, and run the tests."""
    library = build_extensions("sanitized", sanitize=True)
    environment = environment_for(library, sanitize=True)
    subprocess.run(
        [sys.executable, str(Path(__file__).with_name("prove.py"))],
        cwd=ROOT,
        env=environment,
        check=True,
    )
    arguments = sys.argv[1:] or [path for path in TESTS if (ROOT / path).is_dir()]
    # Only sys.stderr is captured, not the file behind it: a sanitizer's report, which goes there
    # when it ends the process, must be seen.
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--capture=sys", *arguments],
        cwd=ROOT,
        env=environment,
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
