"""Builds the Cython extensions; everything else stands in pyproject.toml.

Environment variables, each ``1`` to switch on:

``FASTCOORD_DEBUG``     no optimisation, debug symbols, Cython's own reference checks
``FASTCOORD_SANITIZE``  AddressSanitizer and UndefinedBehaviorSanitizer
``FASTCOORD_COVERAGE``  line tracing, so that coverage tools see the .pyx files
``FASTCOORD_ANNOTATE``  write the annotated .html beside each .c file
"""

import os
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

DEBUG = os.environ.get("FASTCOORD_DEBUG") == "1"
SANITIZE = os.environ.get("FASTCOORD_SANITIZE") == "1"
COVERAGE = os.environ.get("FASTCOORD_COVERAGE") == "1"
ANNOTATE = os.environ.get("FASTCOORD_ANNOTATE") == "1"

compile_args = ["-std=c11", "-fvisibility=hidden", "-Wno-unreachable-code"]
link_args = []
macros = []
directives = {"language_level": "3", "auto_pickle": False}

if DEBUG or SANITIZE:
    compile_args += ["-O1", "-g", "-UNDEBUG", "-fno-omit-frame-pointer"]
else:
    compile_args += ["-O3"]
if SANITIZE:
    checks = "-fsanitize=address,undefined"
    # A finding must fail the test that caused it, not scroll by. Function-pointer casts are how
    # CPython's own slots work, so that check would only report the interpreter.
    compile_args += [checks, "-fno-sanitize-recover=all"]
    link_args += [checks]
if COVERAGE:
    directives["linetrace"] = True
    macros += [("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")]

sources = sorted(Path("src/fastcoord").rglob("*.pyx"))

setup(
    ext_modules=cythonize(
        [
            Extension(
                ".".join(source.relative_to("src").with_suffix("").parts),
                [str(source)],
                extra_compile_args=compile_args,
                extra_link_args=link_args,
                define_macros=macros,
            )
            for source in sources
        ],
        compiler_directives=directives,
        annotate=ANNOTATE,
        gdb_debug=DEBUG,
        include_path=["src"],
    ),
)
