"""``make foreign``: the compiled code on other processors, under qemu-user.

For each machine the tree of a Debian Python is unpacked into ``.foreign``, every extension and
msgspec are cross-compiled for it, and tests of the codec run there: on a little-endian 64-bit
machine without SSE2 (aarch64), on a big-endian one (s390x) and on a 32-bit one (armhf). Needed:
Debian's qemu-user and the gcc of each machine; no root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / ".foreign"
PLUGIN = "foreign_settings"
MOST_SECONDS = 3600


@dataclass(frozen=True)
class Machine:
    """A processor, by Debian's name, the prefix of its compiler, and the command that runs it."""

    debian: str
    triple: str
    qemu: str


MACHINES = {
    "aarch64": Machine("arm64", "aarch64-linux-gnu", "qemu-aarch64"),
    "s390x": Machine("s390x", "s390x-linux-gnu", "qemu-s390x"),
    "armhf": Machine("armhf", "arm-linux-gnueabihf", "qemu-arm"),
}

TESTS = (
    "tests/golden",
    "tests/property/test_agreement.py",
    "tests/property/test_damage.py",
    "tests/property/test_integers.py",
    "tests/property/test_runs.py",
)

# Only pure Python is installed for a foreign Python: of each package a version that is.
PURE = ("hypothesis<6.149", "nats-py", "pytest", "tomli", "typing-extensions")

FLAGS = ("-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-DNDEBUG")


def main() -> int:
    """Test on the machines among the arguments, or on all; the others are for pytest."""
    chosen = [word for word in sys.argv[1:] if word in MACHINES] or list(MACHINES)
    pytest_arguments = [word for word in sys.argv[1:] if word not in MACHINES]
    refuse_missing_tools([MACHINES[name] for name in chosen])
    FOLDER.mkdir(exist_ok=True)
    pure = install_pure()
    sources = translate()
    msgspec = unpack_msgspec()
    status = 0
    for name in chosen:
        python = Foreign(name, MACHINES[name])
        python.install()
        python.compile(sources, msgspec)
        status |= python.test(pure, pytest_arguments or TESTS)
    return status


def refuse_missing_tools(machines: Sequence[Machine]) -> None:
    needed = [word for each in machines for word in (each.qemu, f"{each.triple}-gcc")]
    missing = [word for word in needed if shutil.which(word) is None]
    if missing:
        packages = " ".join(["qemu-user", *(f"gcc-{each.triple}" for each in machines)])
        raise SystemExit(f"foreign: {missing[0]} is missing; install {packages}")


def install_pure() -> Path:
    target = FOLDER / "pure"
    if not target.exists():
        pip = (sys.executable, "-m", "pip", "install", "-q", "--target", target)
        run(*pip, "--only-binary", ":all:", "--platform", "any", "--python-version", "3.11", *PURE)
    return target


def translate() -> dict[str, Path]:
    """Translate every module to C, once for all machines.

    :return: the C file of each module.
    """
    from Cython.Build import cythonize
    from setuptools import Extension

    extensions = cythonize(
        [
            Extension(".".join(path.relative_to("src").with_suffix("").parts), [str(path)])
            for path in sorted(Path("src/fastcoord").rglob("*.pyx"))
        ],
        build_dir=str(FOLDER / "c"),
        compiler_directives={"language_level": "3", "auto_pickle": False},
        include_path=["src"],
        quiet=True,
    )
    return {extension.name: Path(extension.sources[0]) for extension in extensions}


def unpack_msgspec() -> Path:
    """Return the folder of the source of the installed msgspec."""
    name = f"msgspec-{version('msgspec')}"
    folder = FOLDER / name
    if not folder.exists():
        pip = (sys.executable, "-m", "pip", "download", "-q", "--no-deps")
        run(*pip, "--no-binary", ":all:", "-d", FOLDER, name.replace("-", "=="))
        with tarfile.open(FOLDER / f"{name}.tar.gz") as archive:
            archive.extractall(FOLDER, filter="data")
    return folder / "src" / "msgspec"


class Foreign:
    """The Python of another machine."""

    def __init__(self, name: str, machine: Machine) -> None:
        self.name = name
        self.machine = machine
        self.folder = FOLDER / name
        self.root = self.folder / "root"
        self.library = self.folder / "lib"

    def install(self) -> None:
        """Unpack Debian's python3-dev of the machine, and all that it needs."""
        if self.root.exists():
            return
        for each in ("state/lists/partial", "cache/archives/partial", "parts", "unpacked"):
            (self.folder / each).mkdir(parents=True, exist_ok=True)
        (self.folder / "status").touch()
        settings = {
            "APT::Architecture": self.machine.debian,
            "APT::Architectures::": self.machine.debian,
            "APT::Install-Recommends": "false",
            "Dir::Cache": self.folder / "cache",
            "Dir::Etc::parts": self.folder / "parts",
            "Dir::Log": self.folder,
            "Dir::State": self.folder / "state",
            "Dir::State::status": self.folder / "status",
        }
        apt = ("apt-get", "-qq", *(f"-o{name}={value}" for name, value in settings.items()))
        run(*apt, "update")
        run(*apt, "install", "--yes", "--download-only", "python3-dev")
        for package in sorted((self.folder / "cache" / "archives").glob("*.deb")):
            run("dpkg", "-x", package, self.folder / "unpacked", shown=False)
        (self.folder / "unpacked").rename(self.root)

    def compile(self, sources: dict[str, Path], msgspec: Path) -> None:
        """Cross-compile what changed since the last time, and copy the Python files beside it."""
        for package, origin in (("fastcoord", ROOT / "src" / "fastcoord"), ("msgspec", msgspec)):
            for path in origin.rglob("*.py"):
                target = self.library / package / path.relative_to(origin)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(path, target)
        work = [(path, self.library.joinpath(*name.split("."))) for name, path in sources.items()]
        work.append((msgspec / "_core.c", self.library / "msgspec" / "_core"))
        headers = sorted((ROOT / "src").rglob("*.h"))
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(lambda each: self.compile_one(*each, headers), work))

    def compile_one(self, source: Path, stem: Path, headers: Sequence[Path]) -> None:
        target = stem.with_name(f"{stem.name}.so")
        newest = max(path.stat().st_mtime for path in (source, *headers))
        if target.exists() and target.stat().st_mtime > newest:
            return
        includes = [
            *("-I", ROOT / "src", "-I", source.parent),
            *("-I", self.root / "usr" / "include" / "python3.11"),
            *("-idirafter", self.root / "usr" / "include"),
        ]
        standard = "-std=c11" if target.is_relative_to(self.library / "fastcoord") else "-std=gnu11"
        compiler = f"{self.machine.triple}-gcc"
        run(compiler, standard, *FLAGS, *includes, source, "-o", target, shown=False)

    def test(self, pure: Path, arguments: Sequence[str]) -> int:
        """Run tests under qemu; return the status of pytest."""
        python = (self.machine.qemu, "-L", self.root, self.root / "usr" / "bin" / "python3.11")
        paths = [self.library, pure, ROOT / "tests", ROOT / "tests" / "foreign"]
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(map(str, paths)),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        print(f"\nforeign: {self.name}", flush=True)
        subprocess.run([*python, "-c", INTRODUCTION], env=environment, check=True)
        # The fixtures of the other tests need packages that are compiled.
        words = ("-m", "pytest", "-q", "--noconftest", "-p", PLUGIN, "-p", "no:cacheprovider")
        # Neither are the plugins there that pyproject.toml configures.
        settings = ("-c", os.devnull, "--rootdir", ROOT, "-W", "error")
        return subprocess.run(
            [*python, *words, *settings, *arguments],
            cwd=ROOT,
            env=environment,
            timeout=MOST_SECONDS,
            check=False,
        ).returncode


INTRODUCTION = """
import platform, sys
from fastcoord import _codec
print(f"{platform.machine()}, {sys.byteorder}-endian, {sys.maxsize.bit_length() + 1} bit,"
      f" Python {platform.python_version()}, {_codec.__file__}")
"""


def run(*words: str | Path, shown: bool = True) -> None:
    if shown:
        print("+", *words, flush=True)
    done = subprocess.run(
        list(map(str, words)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}\nforeign: {words[0]} ended with {done.returncode}")


if __name__ == "__main__":
    os.chdir(ROOT)
    sys.exit(main())
