"""Small compiled programs for comparison, built when they are first used."""

from __future__ import annotations

import ctypes
import functools
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
BUILT = ROOT / "build" / "benchmarks"


class Unavailable(Exception):
    """A program cannot be built; the message has the reason."""


def compile_c(source: Path, suffix: str, options: Sequence[str]) -> Path:
    """Compile one C file, unless the same file was compiled before.

    :param options: options for the compiler, after the source.
    :return: the path of the result.
    :raises Unavailable: there is no compiler, or it fails.
    """
    compiler = os.environ.get("CC") or shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        raise Unavailable("there is no C compiler")
    key = hashlib.sha256(source.read_bytes() + repr([compiler, *options]).encode()).hexdigest()
    target = BUILT / f"{source.stem}-{key[:12]}{suffix}"
    if not target.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f"{os.getpid()}-{target.name}")
        command = [*compiler.split(), "-O3", "-o", str(unfinished), str(source), *options]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Unavailable(f"{source.name}: {done.stderr.strip().splitlines()[0]}")
        unfinished.rename(target)
    return target


class StateChange(ctypes.Structure):
    """The plain struct of ``loop.c``."""

    _fields_ = (
        ("change_id", ctypes.c_uint64),
        ("types", ctypes.c_uint64),
        ("account_id", ctypes.c_uint32),
    )


@functools.cache
def loop() -> Any:
    """Return the library with the checked loop over plain structs."""
    library = ctypes.CDLL(str(compile_c(HERE / "loop.c", ".so", ["-shared", "-fPIC"])))
    for name in ("encode_rounds", "decode_rounds"):
        getattr(library, name).restype = ctypes.c_size_t
    pointer, size = ctypes.c_void_p, ctypes.c_size_t
    library.encode_rounds.argtypes = [pointer, size, size, pointer, size, size]
    library.decode_rounds.argtypes = [pointer, pointer, size, pointer, size, size]
    return library


@functools.cache
def ring_loop() -> ModuleType:
    """Return the extension module that calls a ring from compiled code."""
    return extension("ring_loop")


@functools.cache
def beyond() -> ModuleType:
    """Return the extension module with other forms of a batch than objects."""
    return extension("beyond")


@functools.cache
def field_slots() -> ModuleType:
    """Return the extension module with events whose fields are objects in slots."""
    return extension("field_slots")


def extension(name: str) -> ModuleType:
    """Return an extension module of this folder, built for this Python.

    :raises Unavailable: it does not compile.
    """
    from Cython.Compiler.Main import compile as cythonize

    import fastcoord

    source = HERE / f"{name}.pyx"
    packages = Path(fastcoord.__file__).parents[1]
    folders = (packages / "fastcoord", HERE)
    declared = [path for each in folders for path in sorted(each.rglob("*.[ph]*"))]
    # The result depends on the memory layouts that are declared in the package and here.
    layout = b"".join(
        path.read_bytes() for path in [*declared, source] if path.suffix in (".pxd", ".h", ".pyx")
    )
    generated = BUILT / f"{name}-{hashlib.sha256(layout).hexdigest()[:12]}" / f"{name}.c"
    if not generated.exists():
        generated.parent.mkdir(parents=True, exist_ok=True)
        done = cythonize(
            str(source), output_file=str(generated), include_path=[str(packages), str(ROOT)]
        )
        if done.num_errors:
            generated.unlink(missing_ok=True)
            raise Unavailable(f"{source.name} does not compile")
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    include = sysconfig.get_paths()["include"]
    options = ["-shared", "-fPIC", f"-I{include}", f"-I{packages}", f"-I{HERE}"]
    built = compile_c(generated, suffix, options)
    spec = importlib.util.spec_from_file_location(name, built)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
