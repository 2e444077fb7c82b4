"""Interpreters, processes and the environment in which everything is built."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "wheels" / "dist"
CONSTRAINTS = ROOT / "wheels" / "build-constraints.txt"

CLASSIFIER = re.compile(r'"Programming Language :: Python :: (3\.\d+)"')
ASK = """
import json, platform, sys, sysconfig
print(json.dumps({
    "executable": sys.executable,
    "name": f"{platform.python_implementation()} {platform.python_version()}",
    "compiler": sysconfig.get_config_var("CC") or "cc",
    "linker": sysconfig.get_config_var("LDSHARED") or "",
    "prefix": sys.prefix,
}))
"""


@dataclass(frozen=True)
class Python:
    """An interpreter to build a wheel for."""

    executable: str
    name: str
    compiler: str
    linker: str
    prefix: str


def problem(text: str) -> SystemExit:
    return SystemExit(f"wheels: {text}")


def find_pythons(names: list[str]) -> list[Python]:
    """Return the named interpreters or, without names, one of each declared version.

    :param names: commands or paths; every one of them must exist.
    :raises SystemExit: a named interpreter does not exist, or none was found.
    """
    if names:
        found = [ask(name) or ask_pyenv(name) for name in names]
        missing = [name for name, python in zip(names, found, strict=True) if python is None]
        if missing:
            raise problem(f"there is no interpreter {', '.join(missing)}")
    else:
        declared = CLASSIFIER.findall((ROOT / "pyproject.toml").read_text("utf-8"))
        commands = [f"python{version}" for version in declared]
        found = [ask(command) or ask_pyenv(command) for command in commands]
    pythons = [python for python in found if python is not None]
    if not pythons:
        raise problem("no interpreter of a declared version was found: name some with PYTHONS=")
    return pythons


def ask(command: str) -> Python | None:
    """Return the facts of an interpreter, or ``None`` if there is no such command."""
    if shutil.which(command) is None:
        return None
    done = subprocess.run([command, "-I", "-c", ASK], capture_output=True, text=True, check=False)
    # A shim of pyenv exists even where its interpreter does not.
    return Python(**json.loads(done.stdout)) if done.returncode == 0 else None


def ask_pyenv(command: str) -> Python | None:
    """Return the facts of the newest interpreter of pyenv that has this command."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    found = sorted(root.glob(f"versions/{command.removeprefix('python')}.*/bin/{command}"))
    return ask(str(found[-1])) if found else None


def source_date_epoch() -> str:
    """Return the time of every file in the archives: by default that of the last commit.

    :raises SystemExit: this is not a git repository, and SOURCE_DATE_EPOCH is not set.
    """
    given = os.environ.get("SOURCE_DATE_EPOCH")
    if given:
        return given
    done = subprocess.run(
        ["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise problem(f"set SOURCE_DATE_EPOCH: git gives no commit ({done.stderr.strip()})")
    return done.stdout.strip()


def build_environment(python: Python) -> dict[str, str]:
    """Return the variables that make a build of the same source give the same bytes."""
    # Without this, the linker writes library folders of the machine that built the interpreter into
    # the modules, and the loader searches these folders on every system.
    words = [word for word in python.linker.split() if not word.startswith(("-L", "-Wl,-rpath"))]
    return {
        "LC_ALL": "C.UTF-8",
        "PIP_BUILD_CONSTRAINT": str(CONSTRAINTS),
        "PIP_CONSTRAINT": str(CONSTRAINTS),
        "SOURCE_DATE_EPOCH": source_date_epoch(),
        "TZ": "UTC",
        **({"LDSHARED": " ".join(words)} if words else {}),
    }


def compiler_version(python: Python) -> str:
    command = shlex.split(os.environ.get("CC") or python.compiler)[0]
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()[0]


def constrained_versions() -> dict[str, str]:
    """Return the pinned version of each build tool."""
    return dict(re.findall(r"^(\w+)==(\S+)$", CONSTRAINTS.read_text("utf-8"), re.MULTILINE))


def clean_environment() -> dict[str, str]:
    """Return this process's environment variables without those that configure Python."""
    return {name: value for name, value in os.environ.items() if "PYTHON" not in name}


def run(
    *command: str | Path,
    cwd: Path,
    environment: dict[str, str] | None = None,
    shown: bool = False,
    timeout: float = 1800,
) -> str:
    """Run a command, and show its output only if it fails.

    :param environment: all environment variables; by default those of :func:`clean_environment`.
    :param shown: whether to show the output while the command runs, and return nothing.
    :return: the output.
    :raises SystemExit: the command failed.
    """
    words = [str(word) for word in command]
    print("+", *(word.partition("\n")[0] for word in words), flush=True)
    done = subprocess.run(
        words,
        cwd=cwd,
        env=clean_environment() if environment is None else environment,
        stdin=subprocess.DEVNULL,
        stdout=None if shown else subprocess.PIPE,
        stderr=None if shown else subprocess.STDOUT,
        text=True,
        timeout=timeout,
        check=False,
    )
    if done.returncode:
        raise problem(f"this command ended with {done.returncode}:\n{done.stdout or ''}")
    return done.stdout or ""
