"""Try a wheel in a fresh environment, without a compiler and without the source."""

from __future__ import annotations

import os
import re
import shlex
import tempfile
from collections.abc import Sequence
from pathlib import Path

from footprint import measure
from sdist import files_of
from system import ROOT, Python, clean_environment, problem, run

CONFIGURATION = """
[store."nats"]
type = "nats"
address = ["localhost"]

[cluster]
coordinator = "nats"
node-id = 1
"""

# Check that every module is imported from the environment, and that extensions are compiled.
IMPORTS = """
import importlib, pkgutil, sys
import fastcoord
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

inside = Path(sys.prefix).resolve()
compiled = 0
for module in pkgutil.walk_packages(fastcoord.__path__, "fastcoord."):
    needs_extra = any(name in module.name for name in (".cli.", ".cache", ".metrics"))
    if module.name.endswith(".__main__") or not WITH_EXTRAS and needs_extra:
        continue
    found = importlib.import_module(module.name)
    assert Path(found.__file__).resolve().is_relative_to(inside), found.__file__
    compiled += found.__file__.endswith(tuple(EXTENSION_SUFFIXES))
stubs = len([path for path in Path(fastcoord.__file__).parent.rglob("*.pyi")])
assert 0 < compiled <= stubs, (compiled, stubs)

event = fastcoord.StateChange(account_id=7, change_id=42, types=1)
payload = fastcoord.encode_batch([event], node_id=5, protocol="stalwart-0.15")
assert list(fastcoord.decode_batch(payload, protocol="stalwart-0.15")) == [event]
print(f"{compiled} compiled modules, imported from {Path(fastcoord.__file__).parent}")
"""

# nkeys is pure Python and published only as an sdist. All other packages must be wheels.
INSTALL = ("install", "-q", "--only-binary", ":all:", "--no-binary", "nkeys")

# The extras without which modules cannot be imported.
EXTRAS = "server,cli,metrics,cache"

# The budget of an installed wheel; docs/install.md has the measured figures.
MOST_BYTES_INSTALLED = 4_500_000
MOST_IMPORT_MILLISECONDS = 100

REPRESENTATIVE_TESTS = (
    "tests/integration/test_exchange.py",
    "tests/integration/test_publishing.py",
    "tests/golden",
)
ALL_TESTS = ("tests/integration", "tests/golden")
# The tests and the files that they read.
READ_BY_TESTS = ("tests/", "docs/", "Makefile", "README.md", "CHANGELOG.md", "pyproject.toml")


class Installation:
    """A fresh virtual environment in a folder of its own.

    :param folder: an empty folder, outside of the checkout.
    :param compiler: whether ``PATH`` has the commands of the system, including a compiler.
    """

    def __init__(self, python: Python, folder: Path, *, compiler: bool = False) -> None:
        self.bin = folder / "environment" / "bin"
        self.work = folder / "work"
        self.work.mkdir(parents=True)
        path = f"{self.bin}{os.pathsep}{os.environ['PATH']}" if compiler else str(self.bin)
        self.environment = {
            **clean_environment(),
            "PATH": path,
            "PIP_NO_CACHE_DIR": "1" if compiler else "0",
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        run(python.executable, "-m", "venv", self.bin.parent, cwd=folder)

    def run(self, command: str, *words: str | Path, shown: bool = False) -> str:
        return run(
            self.bin / command, *words, cwd=self.work, environment=self.environment, shown=shown
        )

    def try_out(self) -> None:
        """Import every module, and run the command and the demo."""
        (self.work / "node.toml").write_text(CONFIGURATION, "utf-8")
        self.run("python", "-I", "-W", "error", "-c", f"WITH_EXTRAS = True\n{IMPORTS}")
        self.run("fastcoord", "check", "node.toml")
        self.run("fastcoord", "demo", "--seconds", "1", "--plain")


def try_wheel(wheel: Path, sdist: Path, python: Python, tests: str) -> None:
    """Install a wheel without a compiler, and run the demo and the integration tests.

    :param sdist: the sdist, which contains the tests.
    :param tests: ``"all"``, ``"short"`` or ``"none"``.
    :raises SystemExit: a step failed.
    """
    with tempfile.TemporaryDirectory(prefix="wheel-trial-") as scratch:
        installation = Installation(python, Path(scratch))
        installation.run("pip", *INSTALL, wheel)
        code = f"WITH_EXTRAS = False\n{IMPORTS}"
        installation.run("python", "-I", "-W", "error", "-c", code)
        check_footprint(installation)
        installation.run("pip", *INSTALL, *words_of_readme(wheel.parent))
        installation.try_out()
        if tests != "none":
            chosen = ALL_TESTS if tests == "all" else REPRESENTATIVE_TESTS
            run_tests(installation, sdist, chosen)


def words_of_readme(folder: Path) -> list[str]:
    """Return the arguments of ``pip install`` that the README shows, with another folder."""
    readme = (ROOT / "README.md").read_text("utf-8")
    (shown,) = re.findall(r"^pip install (.*wheels/dist .*)$", readme, re.MULTILINE)
    return shlex.split(shown.replace("wheels/dist", shlex.quote(str(folder))))


def check_footprint(installation: Installation) -> None:
    """Measure size and import time of an installed wheel, and compare them with the budget."""
    sizes, times = measure(installation.bin / "python", "import fastcoord")
    size, milliseconds = sizes["fastcoord"], times["import fastcoord"]
    print(f"installed: {size / 1e6:.1f} MB; import: {milliseconds:.0f} ms of processor time")
    if size > MOST_BYTES_INSTALLED:
        raise problem(f"installed, it has {size:,} bytes; the budget is {MOST_BYTES_INSTALLED:,}")
    if milliseconds > MOST_IMPORT_MILLISECONDS:
        raise problem(
            f"its import takes {milliseconds:.0f} ms; the budget is {MOST_IMPORT_MILLISECONDS}"
        )


def run_tests(installation: Installation, sdist: Path, tests: Sequence[str]) -> None:
    """Run tests of the sdist on the installed wheel, in a folder without the source."""
    for name, content in files_of(sdist).items():
        if name.startswith(READ_BY_TESTS):
            path = installation.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
    installation.run("pip", "install", "-q", "--upgrade", "pip")
    group = f"{installation.work / 'pyproject.toml'}:wheel-test"
    installation.run("pip", *INSTALL, "--group", group)
    # With this variable the tests refuse to run on any other build.
    installation.environment["FASTCOORD_BUILD"] = str(installation.bin.parent)
    installation.run("python", "-X", "dev", "-m", "pytest", "-q", *tests, shown=True)


def try_sources(sdist: Path, python: Python) -> None:
    """Install from the sdist and from a git URL with pip, and try to do so without a compiler.

    :raises SystemExit: an installation failed, or the one without a compiler did not explain why.
    """
    with tempfile.TemporaryDirectory(prefix="sdist-trial-") as scratch:
        refused = Installation(python, Path(scratch, "no-compiler"))
        try:
            refused.run("pip", "install", sdist)
        except SystemExit as error:
            said = str(error)
        else:
            raise problem("an installation from the sdist succeeded without a compiler")
        if "there is no C compiler" not in said or "apt install gcc" not in said:
            raise problem(f"an installation without a compiler does not report that:\n{said}")
        from_sdist = Installation(python, Path(scratch, "sdist"), compiler=True)
        from_sdist.run("pip", "install", "-q", f"fastcoord[{EXTRAS}] @ {sdist.as_uri()}")
        from_sdist.try_out()
        from_git = Installation(python, Path(scratch, "git"), compiler=True)
        # The pip of Python 3.10 refuses URLs without a host, such as this one.
        from_git.run("pip", "install", "-q", "--upgrade", "pip")
        url = f"git+{ROOT.as_uri()}"
        from_git.run("pip", "install", "-q", f"fastcoord[{EXTRAS}] @ {url}")
        from_git.try_out()
