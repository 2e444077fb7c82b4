"""Check that an sdist and a wheel have the right contents and nothing else."""

from __future__ import annotations

import re
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from sdist import files_of
from system import ROOT, Python, constrained_versions, run

PACKAGE = "fastcoord"
SHIPPED = {".py", ".pxd", ".pyi", ".h", ".css", ".htm", ".js", ".license"}
"""The suffixes of the sources that a wheel contains, in addition to ``py.typed``."""

ONLY_IN_THE_CHECKOUT = (".ci/", ".github/", ".gitignore", ".gitattributes", ".pre-commit")
WRITTEN_BY_SETUPTOOLS = re.compile(r"PKG-INFO|setup\.cfg|src/fastcoord\.egg-info/[\w.-]+")

MOST_BYTES_OF_A_WHEEL = 1_800_000


def check_sdist(sdist: Path) -> list[str]:
    """Compare an sdist with what git tracks.

    :return: a sentence for each thing that is wrong.
    """
    listing = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    tracked = {
        name
        for name in listing.stdout.split("\0")
        if name and not name.startswith(ONLY_IN_THE_CHECKOUT) and (ROOT / name).exists()
    }
    names = set(files_of(sdist))
    strays = {name for name in names - tracked if not WRITTEN_BY_SETUPTOOLS.fullmatch(name)}
    return [f"{name} is missing" for name in sorted(tracked - names)] + [
        f"{name} does not belong in it (is it tracked by git?)" for name in sorted(strays)
    ]


def check_wheel(wheel: Path, sdist: Path, python: Python, folders: list[Path]) -> list[str]:
    """Compare a wheel with the sdist that it was made from.

    :param folders: the folders of the build; no binary may contain their paths.
    :return: a sentence for each thing that is wrong.
    """
    with zipfile.ZipFile(wheel) as archive:
        contents = {
            name: archive.read(name) for name in archive.namelist() if not name.endswith("/")
        }
    sources = {
        name.removeprefix("src/"): content
        for name, content in files_of(sdist).items()
        if name.startswith((f"src/{PACKAGE}/", "src/pytest_fastcoord.py"))
    }
    wanted = {
        name
        for name in sources
        if PurePosixPath(name).suffix in SHIPPED or PurePosixPath(name).name == "py.typed"
    }
    compiled = {name.removesuffix(".pyx") for name in sources if name.endswith(".pyx")}
    modules = {name for name in contents if name.endswith((".so", ".pyd"))}
    information = f"{'-'.join(wheel.name.split('-')[:2])}.dist-info/"
    present = {name for name in contents if not name.startswith(information)}
    problems = [f"{name} is missing" for name in sorted(wanted - present)]
    problems += [f"{name} does not belong in it" for name in sorted(present - wanted - modules)]
    problems += [
        f"{name} is not the file of the sdist"
        for name in sorted(wanted & present)
        if contents[name] != sources[name]
    ]
    of_stem = {name: name.partition(".")[0] for name in modules}
    problems += [f"{name} has no source" for name in modules if of_stem[name] not in compiled]
    for stem in sorted(compiled):
        built = list(of_stem.values()).count(stem)
        problems += [] if built == 1 else [f"{stem} was compiled {built} times"]
        problems += [] if f"{stem}.pyi" in present else [f"{stem} has no stub"]
    for name in sorted(modules):
        problems += [
            f"{name} names {found}"
            for found in paths_in(contents[name], [*folders, Path(python.prefix)])
        ]
    problems += wrong_cython(contents[name] for name in modules)
    size = wheel.stat().st_size
    if size > MOST_BYTES_OF_A_WHEEL:
        problems.append(f"it has {size:,} bytes; the budget is {MOST_BYTES_OF_A_WHEEL:,}")
    return problems + check_metadata(contents, information) + check_tag(wheel)


def check_metadata(contents: dict[str, bytes], information: str) -> list[str]:
    metadata = contents.get(f"{information}METADATA", b"").decode("utf-8")
    scripts = contents.get(f"{information}entry_points.txt", b"").decode("utf-8")
    problems = [
        f"METADATA does not say {line!r}"
        for line in ("Name: fastcoord", "License-Expression: Apache-2.0", "Provides-Extra: server")
        if line not in metadata.splitlines()
    ]
    if f"{PACKAGE} = {PACKAGE}.cli:main" not in scripts:
        problems.append("entry_points.txt does not name the command")
    if f"{information}licenses/LICENSE" not in contents:
        problems.append("the licence is missing")
    return problems


def check_tag(wheel: Path) -> list[str]:
    tag = wheel.stem.split("-", 2)[2]
    if sys.platform == "linux" and "linux" in tag and not re.search("many|musl", tag):
        return [f"the tag {tag} is valid on this machine only"]
    return []


def wrong_cython(modules: Iterable[bytes]) -> list[str]:
    """Return a problem if the modules contain another version of Cython than the pinned one."""
    version = constrained_versions()["Cython"]
    found = {
        marker.decode().replace("_", ".")
        for content in modules
        for marker in re.findall(rb"_cython_(\d+_\d+_\w+)", content)
    }
    return [] if found == {version} else [f"translated by Cython {found}, not by {version}"]


def paths_in(content: bytes, folders: list[Path]) -> list[str]:
    """Return the folders of this machine that a compiled module names."""
    named = {str(folder) for folder in (*folders, ROOT, Path.home(), Path("/tmp"))} - {"/", "/usr"}
    return sorted(
        folder
        for folder in named
        if re.search(rb"(?<![\w./-])" + re.escape(folder.encode()) + rb"(?:/|\0)", content)
    )


def check_with_tools(files: list[Path], folder: Path) -> None:
    """Run ``twine check --strict`` over all files and ``check-wheel-contents`` over the wheels.

    :raises SystemExit: one of them found a problem.
    """
    run(sys.executable, "-m", "twine", "check", "--strict", *files, cwd=folder)
    wheels = [path for path in files if path.suffix == ".whl"]
    if wheels:
        settings = ("--config", ROOT / "pyproject.toml")
        run(sys.executable, "-m", "check_wheel_contents", *settings, *wheels, cwd=ROOT)
