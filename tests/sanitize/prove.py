"""Proves that the sanitizers are active; runs in the sanitized environment before the tests.

Checks that both runtimes are loaded, that each compiled module comes from the sanitized build and
calls the sanitizers, and that two deliberate errors in a library with the same flags are detected.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.machinery
import os
import subprocess
import sys
from pathlib import Path

from support.builds import SANITIZER_LIBRARIES, compile_library

PLANTED = {
    "read_past_the_end": (24, "AddressSanitizer: heap-buffer-overflow"),
    "overflow": (1, "runtime error: signed integer overflow"),
}
"""Function of planted.c, its argument, and the expected report of the sanitizer."""


def main() -> None:
    """Run every check; exit with an error at the first that fails."""
    if sys.argv[1:2] == ["--plant"]:
        _, _, path, function, argument = sys.argv
        getattr(ctypes.CDLL(path), function)(int(argument))
        return
    library = Path(os.environ["FASTCOORD_BUILD"])
    _prove_the_runtimes_are_loaded()
    modules = _prove_the_modules_are_sanitized(library)
    _prove_that_mistakes_are_stopped(library)
    print(f"sanitizers active in {', '.join(modules)}; {len(PLANTED)} planted mistakes stopped")


def _prove_the_runtimes_are_loaded() -> None:
    mapped = Path("/proc/self/maps").read_text(encoding="utf-8")
    for name in SANITIZER_LIBRARIES:
        if name not in mapped:
            raise SystemExit(f"{name} is not loaded into this process")


def _prove_the_modules_are_sanitized(library: Path) -> list[str]:
    names = []
    for suffix in importlib.machinery.EXTENSION_SUFFIXES[:1]:
        for built in sorted(library.rglob(f"*{suffix}")):
            name = ".".join(built.relative_to(library).parts).removesuffix(suffix)
            imported = importlib.import_module(name).__file__
            if imported != str(built):
                raise SystemExit(f"{name} was imported from {imported} and not from {built}")
            content = built.read_bytes()
            for call in (b"__asan_report_load", b"__ubsan_handle_"):
                if call not in content:
                    raise SystemExit(f"{built} never calls {call.decode()}")
            names.append(name)
    if "fastcoord._codec" not in names:
        raise SystemExit(f"no fastcoord._codec in {library}")
    return names


def _prove_that_mistakes_are_stopped(build: Path) -> None:
    source = Path(__file__).with_name("planted.c")
    library = compile_library(source, build.parent / "planted.so", sanitize=True)
    for function, (argument, complaint) in PLANTED.items():
        run = subprocess.run(
            [sys.executable, __file__, "--plant", str(library), function, str(argument)],
            capture_output=True,
            text=True,
            check=False,
        )
        if run.returncode == 0 or complaint not in run.stderr:
            raise SystemExit(f"{function} was not stopped:\n{run.stderr}")


if __name__ == "__main__":
    main()
