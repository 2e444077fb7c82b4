"""The pytest plugin, used by a test suite of its own."""

import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[2] / "docs" / "pytest.md").read_text("utf-8")


def run(*arguments: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_documented_test_passes(tmp_path: Path) -> None:
    block = re.search(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert block is not None
    (tmp_path / "test_program.py").write_text(block[1])
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
        "filterwarnings = error\n"
    )
    done = run("-m", "pytest", "-q", folder=tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_fixture_ends_server(tmp_path: Path) -> None:
    (tmp_path / "test_program.py").write_text(
        "pids = []\n"
        "def test_first(fastcoord_server): pids.append(fastcoord_server.pid)\n"
        "def test_second():\n"
        "    import os, pytest\n"
        "    assert 'FASTCOORD_SERVERS' not in os.environ\n"
        "    with pytest.raises(ProcessLookupError): os.kill(pids[0], 0)\n"
    )
    done = run("-m", "pytest", "-q", folder=tmp_path)
    assert "2 passed" in done.stdout, done.stdout + done.stderr


def test_unused_plugin_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n"
        "def test_other():\n"
        "    assert 'pytest_fastcoord' in sys.modules\n"
        "    assert 'fastcoord' not in sys.modules\n"
    )
    done = run("-m", "pytest", "-q", folder=tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
