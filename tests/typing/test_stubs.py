"""The stubs show what ``help`` shows."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_stubs_have_the_docstrings() -> None:
    done = subprocess.run(
        [sys.executable, "tools/stub_docstrings.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, f"make generate: {done.stdout}{done.stderr}"
