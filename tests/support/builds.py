"""Builds the extensions with other compiler flags, separate from the ordinary build.

A build is a directory for the front of ``PYTHONPATH`` that holds the compiled modules and the
Python files. Builds are in ``.sanitize/``, which git ignores and ``make clean`` removes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BUILDS = ROOT / ".sanitize"

SANITIZER_LIBRARIES = ("libasan.so", "libubsan.so")


def build_extensions(name: str, *, sanitize: bool, flags: Sequence[str] = ()) -> Path:
    """Compile every extension into ``.sanitize/<name>/lib`` and copy the Python files there.

    :param name: a name for these flags; builds with other flags need another one.
    :param sanitize: with AddressSanitizer and UndefinedBehaviorSanitizer.
    :param flags: further compiler flags.
    :return: the directory for ``PYTHONPATH``.
    """
    library = BUILDS / name / "lib"
    for stale in library.rglob("*.py"):
        stale.unlink()
    environment = dict(os.environ, FASTCOORD_SANITIZE="1" if sanitize else "0")
    environment["CFLAGS"] = " ".join([environment.get("CFLAGS", ""), *flags])
    directories = [f"--build-base={BUILDS / name}", f"--build-lib={library}"]
    subprocess.run(
        [sys.executable, "setup.py", "-q", "build", *directories, "--parallel=2"],
        cwd=ROOT,
        env=environment,
        check=True,
    )
    return library


def compile_library(source: Path, output: Path, *, sanitize: bool) -> Path:
    """Compile one C file into a shared library.

    :param source: the C file.
    :param output: the file to write.
    :param sanitize: with the same sanitizers as the extensions.
    :return: ``output``.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    flags = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"] if sanitize else ["-O2"]
    compiler = os.environ.get("CC", "gcc")
    subprocess.run(
        [compiler, "-std=c11", "-g", *flags, "-shared", "-fPIC", str(source), "-o", str(output)],
        check=True,
    )
    return output


def environment_for(library: Path, *, sanitize: bool) -> dict[str, str]:
    """Return the environment variables with which Python imports that build."""
    environment = dict(os.environ)
    environment["FASTCOORD_BUILD"] = str(library)
    environment["PYTHONPATH"] = os.pathsep.join([str(library), str(ROOT / "tests")])
    if sanitize:
        environment.update(
            # Python itself is not instrumented, so the runtimes must be loaded before it starts.
            LD_PRELOAD=":".join(_runtime(name) for name in SANITIZER_LIBRARIES),
            # Python's own allocator packs objects together, so the sanitizer sees no boundaries.
            PYTHONMALLOC="malloc",
            # Python does not free interned strings and types at its end, so a leak report would
            # name hundreds of objects of Python itself. Leaks have their own tests.
            ASAN_OPTIONS="detect_leaks=0:allocator_may_return_null=1:abort_on_error=1",
            UBSAN_OPTIONS="halt_on_error=1:print_stacktrace=1:abort_on_error=1",
        )
    return environment


def _runtime(name: str) -> str:
    compiler = os.environ.get("CC", "gcc")
    if shutil.which(compiler) is None:
        raise SystemExit(f"{compiler} is needed for the sanitizers; set CC to another compiler")
    found = subprocess.run(
        [compiler, f"-print-file-name={name}"], check=True, capture_output=True, text=True
    ).stdout.strip()
    # The compiler prints the bare name if it has no such file.
    if not os.path.isabs(found):
        raise SystemExit(f"{compiler} has no {name}; install the compiler's sanitizer runtimes")
    return found
