"""The pytest plugin, used by a test suite of its own."""

import re
import subprocess
import sys
from pathlib import Path

from fastcoord.testing import Bus

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


def documented_blocks() -> list[str]:
    return re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_documented_tests_pass(tmp_path: Path) -> None:
    asynchronous, blocking, fixture = documented_blocks()
    fixture += "def test_fixture(server): server.kill()\n"
    for number, text in enumerate((asynchronous, blocking, fixture)):
        (tmp_path / f"test_program_{number}.py").write_text(text)
    (tmp_path / "pytest.ini").write_text(
        "[pytest]\nasyncio_mode = auto\nasyncio_default_fixture_loop_scope = function\n"
        "filterwarnings = error\n"
    )
    done = run("-m", "pytest", "-q", folder=tmp_path)
    assert "6 passed" in done.stdout, done.stdout + done.stderr


def test_every_fault_is_documented() -> None:
    methods = {name for name in vars(Bus) if not name.startswith("_")}
    inner = {"open", "close"}
    assert {name for name in methods - inner if f"{name}(" not in PAGE} == set()


def test_fixtures_end_with_their_test(tmp_path: Path) -> None:
    (tmp_path / "test_bus.py").write_text(
        "def test_first(fastcoord_bus):\n"
        "    import os\n"
        "    assert os.environ['FASTCOORD_SERVERS'] == fastcoord_bus.url\n"
        "def test_second():\n"
        "    import os\n"
        "    from fastcoord.nats.dialing import memory_networks\n"
        "    assert 'FASTCOORD_SERVERS' not in os.environ\n"
        "    assert memory_networks == {}\n"
    )
    (tmp_path / "test_server.py").write_text(
        "pids = []\n"
        "def test_first(fastcoord_server): pids.append(fastcoord_server.pid)\n"
        "def test_second():\n"
        "    import os, pytest\n"
        "    assert 'FASTCOORD_SERVERS' not in os.environ\n"
        "    with pytest.raises(ProcessLookupError): os.kill(pids[0], 0)\n"
    )
    done = run("-m", "pytest", "-q", folder=tmp_path)
    assert "4 passed" in done.stdout, done.stdout + done.stderr


def test_unused_plugin_imports_nothing(tmp_path: Path) -> None:
    (tmp_path / "test_other.py").write_text(
        "import sys\n"
        "def test_other():\n"
        "    assert 'pytest_fastcoord' in sys.modules\n"
        "    assert 'fastcoord' not in sys.modules\n"
    )
    done = run("-m", "pytest", "-q", folder=tmp_path)
    assert "1 passed" in done.stdout, done.stdout + done.stderr
