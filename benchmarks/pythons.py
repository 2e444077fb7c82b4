"""Run contests on other Pythons: ``python -m benchmarks.pythons 3.10 3.12 [-- --short]``.

Each Python has a virtual environment and a compiled copy of the sources in ``build/pythons``. The
arguments after ``--`` are those of ``benchmarks.run``. The result is one JSON file, from which
``benchmarks.report`` fills the tables that compare Pythons.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FOLDERS = ROOT / "build" / "pythons"
COPIED = ("src", "setup.py", "pyproject.toml", "README.md", "LICENSE")
PARTS = ("micro", "user_loop", "user_one_event")
INSTALLED = ".[server,cli,uvloop]"


def find(name: str) -> str:
    """Return the path of an interpreter.

    :param name: a version such as ``3.12``, a command or a path.
    :raises SystemExit: there is no such interpreter.
    """
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    is_path = os.sep in name
    kept = [] if is_path else sorted(pyenv.glob(f"{name}*/bin/python"), key=modified)
    for command in (*map(str, reversed(kept)), f"python{name}", name):
        path = shutil.which(command)
        # A shim of pyenv exists even if its interpreter does not.
        if (
            path
            and subprocess.run([path, "-c", ""], check=False, capture_output=True).returncode == 0
        ):
            return path
    raise SystemExit(f"there is no Python {name}")


def modified(path: Path) -> float:
    """Return when a file was changed last."""
    return path.stat().st_mtime


def prepare(interpreter: str, name: str, jobs: int) -> Path:
    """Install and compile for one Python, or compile what has changed.

    :return: the interpreter of the virtual environment.
    """
    folder = FOLDERS / Path(name).name
    sources = folder / "sources"
    python = folder / "environment" / "bin" / "python"
    copy(sources)
    wanted = (ROOT / "pyproject.toml").read_text()
    installed = folder / "installed.toml"
    if not installed.exists() or installed.read_text() != wanted:
        run(ROOT, interpreter, "-m", "venv", "--clear", folder / "environment")
        pip = (python, "-m", "pip", "install", "-q")
        run(ROOT, *pip, "--upgrade", "pip>=25.1")
        run(sources, *pip, "--group", "contests")
        run(sources, *pip, "--no-build-isolation", "-e", INSTALLED, FASTCOORD_PURE="1")
        installed.write_text(wanted)
    run(sources, python, "setup.py", "-q", "build_ext", "--inplace", "--parallel", str(jobs))
    return python


def copy(target: Path) -> None:
    """Copy the sources, without what was built from them; remove what no longer exists.

    Unchanged files keep their time, so that only changed modules are compiled again.
    """
    ignored = shutil.ignore_patterns("*.so", "*.c", "__pycache__", "*.egg-info")
    target.mkdir(parents=True, exist_ok=True)
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, target / name, ignore=ignored, dirs_exist_ok=True)
        else:
            shutil.copy2(ROOT / name, target / name)
    built = {".so", ".c", ".pyc"}
    for path in (target / "src" / "fastcoord").rglob("*"):
        if (
            path.is_file()
            and path.suffix not in built
            and not (ROOT / path.relative_to(target)).exists()
        ):
            path.unlink()


def run(folder: Path, *command: str | Path, **variables: str) -> None:
    """Run a command in a folder; a failure ends the program."""
    subprocess.run(command, cwd=folder, check=True, env={**os.environ, **variables})


def main(arguments: list[str] | None = None) -> None:
    """Measure every named Python and write the results into one file."""
    given = sys.argv[1:] if arguments is None else arguments
    split = given.index("--") if "--" in given else len(given)
    parser = argparse.ArgumentParser(prog="benchmarks.pythons", description=__doc__)
    parser.add_argument("pythons", nargs="*", help="versions such as 3.12, commands or paths")
    parser.add_argument("--only", nargs="+", default=list(PARTS), metavar="PART")
    parser.add_argument("--jobs", type=int, default=2, help="compilers at a time")
    parser.add_argument("--prepare", action="store_true", help="only install and compile")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results/pythons.json"))
    chosen = parser.parse_args(given[:split])
    found = [(name, find(name)) for name in chosen.pythons]
    prepared = [prepare(interpreter, name, chosen.jobs) for name, interpreter in found]
    if chosen.prepare:
        return
    results: dict[str, Any] = {}
    for python in prepared:
        output = python.parents[2] / "results.json"
        started = time.monotonic()
        command = ("-m", "benchmarks.run", "--only", *chosen.only, "--output", output)
        run(ROOT, python, *command, *given[split + 1 :])
        measured = json.loads(output.read_text())
        results[measured["facts"]["python"]] = measured
        seconds = time.monotonic() - started
        print(f"{measured['facts']['python']}: {seconds:.0f} s", file=sys.stderr)
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(json.dumps({"pythons": results}, indent=1) + "\n")
    print(f"written: {chosen.output}", file=sys.stderr)


if __name__ == "__main__":
    main()
