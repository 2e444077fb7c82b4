"""Build the Cython extensions; everything else is in pyproject.toml.

Each of these environment variables has an effect if it is ``1``:

``FASTCOORD_DEBUG``     no optimisation, debug symbols, Cython's own reference checks
``FASTCOORD_SANITIZE``  AddressSanitizer and UndefinedBehaviorSanitizer
``FASTCOORD_COVERAGE``  line tracing, so that coverage tools see the .pyx files
``FASTCOORD_ANNOTATE``  write the annotated .html beside each .c file
``FASTCOORD_PURE``      no extensions: for an editable installation that is compiled in place later
"""

import os
import shlex
import shutil
import sys
import sysconfig
from pathlib import Path

from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.errors import CompileError

DEBUG = os.environ.get("FASTCOORD_DEBUG") == "1"
SANITIZE = os.environ.get("FASTCOORD_SANITIZE") == "1"
COVERAGE = os.environ.get("FASTCOORD_COVERAGE") == "1"
ANNOTATE = os.environ.get("FASTCOORD_ANNOTATE") == "1"
PURE = os.environ.get("FASTCOORD_PURE") == "1"

UNIX_ARGS = ["-std=c11", "-fvisibility=hidden", "-Wno-unreachable-code"]
WINDOWS_ARGS = ["/std:c11", "/O2"]

# No module may name a folder of the machine that built it.
PREFIXES = [(os.getcwd(), "."), (sys.prefix, "python"), (sys.base_prefix, "python")]
link_args = []
macros = []
directives = {"language_level": "3", "auto_pickle": False}

if os.name == "nt":
    compile_args = WINDOWS_ARGS
else:
    compile_args = UNIX_ARGS + [f"-ffile-prefix-map={path}={name}" for path, name in PREFIXES]
    if DEBUG or SANITIZE:
        compile_args += ["-O1", "-g", "-UNDEBUG", "-fno-omit-frame-pointer"]
    else:
        compile_args += ["-O3"]
if SANITIZE:
    checks = "-fsanitize=address,undefined"
    # A finding must end the process, so that the test that caused it fails.
    compile_args += [checks, "-fno-sanitize-recover=all"]
    link_args += [checks]
if COVERAGE:
    directives["linetrace"] = True
    macros += [("CYTHON_TRACE_NOGIL", "1"), ("CYTHON_USE_SYS_MONITORING", "0")]

NO_COMPILER = """

fastcoord has no wheel for this Python and system, so pip builds it from source, and {reason}.
Either install what is missing:
    Debian, Ubuntu:  apt install gcc python3-dev
    Fedora, RHEL:    dnf install gcc python3-devel
    Alpine:          apk add gcc musl-dev python3-dev
    macOS:           xcode-select --install
    Windows:         the "Desktop development with C++" workload of the Visual Studio Build Tools
or use a Python that a wheel exists for:
    pip download --no-deps --only-binary :all: fastcoord
"""


class BuildExtensions(build_ext):
    """Run Cython only when modules are built, because sdist and metadata do not need it."""

    def run(self):
        refuse_incomplete_system()
        from Cython.Build import cythonize

        translated = cythonize(
            self.extensions,
            compiler_directives=directives,
            annotate=ANNOTATE,
            gdb_debug=DEBUG,
            include_path=["src"],
        )
        of_name = {extension.name: extension for extension in translated}
        for extension in self.extensions:
            extension.sources = of_name[extension.name].sources
            extension.depends = [*of_name[extension.name].depends, *headers]
        super().run()


def refuse_incomplete_system():
    """If there is no compiler or no Python.h, raise an error that says what to install."""
    if os.name == "nt":
        return  # setuptools looks for Visual Studio itself, and says where to get it
    compiler = shlex.split(os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc")[0]
    header = Path(sysconfig.get_path("include"), "Python.h")
    if shutil.which(compiler) is None:
        raise CompileError(NO_COMPILER.format(reason=f"there is no C compiler {compiler!r}"))
    if not header.is_file():
        raise CompileError(NO_COMPILER.format(reason=f"Python's headers are missing ({header})"))


headers = [str(path) for path in sorted(Path("src/fastcoord").rglob("*.h"))]

setup(
    cmdclass={"build_ext": BuildExtensions},
    ext_modules=[
        Extension(
            ".".join(source.relative_to("src").with_suffix("").parts),
            [str(source)],
            extra_compile_args=compile_args,
            extra_link_args=link_args,
            define_macros=macros,
            include_dirs=["src"],
            depends=headers,
        )
        for source in sorted(Path("src/fastcoord").rglob("*.pyx"))
        if not PURE
    ],
)
