"""What ``pyproject.toml``, the manifest and ``setup.py`` promise to users."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import tomli

import fastcoord

ROOT = Path(__file__).parents[2]
PROJECT = tomli.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def test_version_has_one_source() -> None:
    assert PROJECT["project"]["dynamic"] == ["version"]
    assert PROJECT["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "fastcoord.__version__"}
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert re.findall(r"^## \[(.*?)\]", changelog, re.MULTILINE)[0] == fastcoord.__version__


def test_manifest_names_every_folder() -> None:
    done = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("not a git checkout")
    tracked = {name.partition("/")[0] for name in done.stdout.splitlines()}
    manifest = (ROOT / "MANIFEST.in").read_text("utf-8")
    named = set(re.findall(r"^graft (\S+)", manifest, re.MULTILINE))
    for line in re.findall(r"^include (.*)", manifest, re.MULTILINE):
        named |= set(line.split())
    read_anyway = {"MANIFEST.in", "pyproject.toml", "setup.py"}
    assert {name for name in tracked if name[0] != "."} <= named | read_anyway


@pytest.mark.skipif(os.name == "nt", reason="setuptools finds Visual Studio itself")
def test_missing_compiler_is_explained(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "setup.py", "build_ext", f"--build-lib={tmp_path}"],
        cwd=ROOT,
        env={**os.environ, "CC": "no-such-compiler -pthread"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "there is no C compiler 'no-such-compiler'" in done.stderr
    assert "apt install gcc python3-dev" in done.stderr
    assert "Traceback" not in done.stderr
