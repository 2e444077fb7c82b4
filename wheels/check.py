"""What must be in an sdist and in a wheel, and what must not."""

from __future__ import annotations

import re
import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

PACKAGE = "fastcoord"
SOURCES = {".py", ".pyx", ".pxd", ".pyi", ".typed"}
BUILT = {".c", ".cpp", ".o", ".so", ".pyd", ".pyc", ".html"}
NEEDED_TO_BUILD = {"LICENSE", "README.md", "pyproject.toml", "setup.py"}


def check_sdist(sdist: Path, root: Path) -> list[str]:
    """Hold an sdist against the checkout that it was made from; give what is wrong."""
    names = set(sdist_files(sdist))
    package = root / "src"
    wanted = {
        path.relative_to(root).as_posix()
        for path in (package / PACKAGE).rglob("*")
        if path.suffix in SOURCES or path.name == "py.typed"
    }
    problems = [f"{name} is missing" for name in sorted((wanted | NEEDED_TO_BUILD) - names)]
    problems += [f"{name} does not belong in it" for name in sorted(names) if is_built(name)]
    return problems


def check_wheel(wheel: Path, sdist: Path) -> list[str]:
    """Hold a wheel against the sdist that it was made from; give what is wrong."""
    with zipfile.ZipFile(wheel) as archive:
        contents = {
            name: archive.read(name) for name in archive.namelist() if not name.endswith("/")
        }
    modules = {name for name in contents if name.endswith(".so")}
    wanted = {
        name.removeprefix("src/")
        for name in sdist_files(sdist)
        if name.startswith(f"src/{PACKAGE}/") and PurePosixPath(name).suffix in SOURCES
    } | {f"{PACKAGE}/py.typed"}
    information = f"{'-'.join(wheel.name.split('-')[:2])}.dist-info/"
    present = {name for name in contents if not name.startswith(information)}
    problems = [f"{name} is missing" for name in sorted(wanted - present)]
    problems += [f"{name} does not belong in it" for name in sorted(present - wanted - modules)]
    for name in sorted(wanted):
        if name.endswith(".pyx"):
            stem = name.removesuffix(".pyx")
            problems += [] if f"{stem}.pyi" in present else [f"{stem} has no stub"]
            built = [each for each in modules if each.startswith(f"{stem}.")]
            problems += [] if len(built) == 1 else [f"{stem} is there {len(built)} times"]
    for name in sorted(modules):
        problems += [f"{name} names {found}" for found in paths_of_this_machine(contents[name])]
    return problems + check_metadata(contents, information) + check_tag(wheel)


def check_metadata(contents: dict[str, bytes], information: str) -> list[str]:
    metadata = contents.get(f"{information}METADATA", b"").decode("utf-8")
    scripts = contents.get(f"{information}entry_points.txt", b"").decode("utf-8")
    problems = []
    for line in ("Name: fastcoord", "License-Expression: Apache-2.0", "Provides-Extra: server"):
        if line not in metadata.splitlines():
            problems.append(f"METADATA does not say {line!r}")
    if f"{PACKAGE} = {PACKAGE}.cli:main" not in scripts:
        problems.append("entry_points.txt does not name the command")
    if f"{information}licenses/LICENSE" not in contents:
        problems.append("the licence is missing")
    return problems


def check_tag(wheel: Path) -> list[str]:
    tag = wheel.stem.split("-", 2)[2]
    if sys.platform == "linux" and "linux" in tag and not re.search("many|musl", tag):
        return [f"the tag {tag} holds for no machine but this"]
    return []


def sdist_files(sdist: Path) -> list[str]:
    with tarfile.open(sdist) as archive:
        return [member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()]


def is_built(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix in BUILT or any(part.startswith(".venv") for part in path.parts)


def paths_of_this_machine(content: bytes) -> list[str]:
    """Give absolute paths of this machine that a compiled module carries."""
    here = {str(Path.home()), str(Path.cwd()), "/tmp/"}
    return sorted(path for path in here if len(path) > 1 and path.encode() in content)
