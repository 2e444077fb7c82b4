"""The import order, read from the imports themselves.

A module imports only from lower layers; the modules of one package may import each other. An
import for annotations counts too.
"""

import ast
import functools
import re
import sys
from collections.abc import Iterable, Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src"
PACKAGE = "fastcoord"

LAYERS: tuple[frozenset[str], ...] = tuple(
    frozenset(names.split())
    for names in (
        "_early_interrupt errors",
        "_awaitable _clock _deadline _forking _repeating wire",
        "_codec config events stats",
        "nats",
        "publishing receiving",
        "presence streaming",
        "_liveness _subscriptions",
        "reporting",
        "_session",
        "node",
        "_connect",
        "__init__ blocking",
        "cache metrics server testing",
        "tuning",
        "cli",
        "__main__",
    )
)
LAYER_OF = {name: layer for layer, names in enumerate(LAYERS) for name in names}

# Modules that would give compiled code a clock, a socket, a log or a thread.
BARRED_FROM_COMPILED = {
    *("asyncio", "concurrent", "multiprocessing", "select", "selectors", "signal", "subprocess"),
    *("datetime", "time", "io", "logging", "nats", "os", "posix", "random", "socket", "ssl", "sys"),
    *("threading", "uvloop", "warnings", "libc.errno", "libc.signal", "libc.stdio", "libc.time"),
}
ALLOWED_HEADERS = re.compile(r'\*|"Python\.h"|"fastcoord/\w+/\w+\.h"')

# Third-party packages, and the packages that may import them; "" means all.
FOREIGN = {
    "cachetools": "cache",
    "hdrh": "tuning",
    "msgspec": "",
    "nats": "nats",
    "nkeys": "config nats",
    "prometheus_client": "metrics",
    "rich": "cli",
    "shtab": "cli",
    "tomli": "config",
    "uvloop": "cli tuning",
}

CYTHON_IMPORT = re.compile(
    r"^[ \t]*(?:from\s+([\w.]+)\s+c?import\s+(\([^)]*\)|[^\n]*)|c?import\s+([\w., \t]+))",
    re.MULTILINE,
)
CYTHON_HEADER = re.compile(r"\bextern\s+from\s+(\*|\"[^\"]*\"|<[^>]*>|'[^']*')")


def files(*suffixes: str) -> list[Path]:
    found = sorted(
        path for path in (SOURCE / PACKAGE).rglob("*") if path.suffix in suffixes and path.is_file()
    )
    assert found, f"no file of {suffixes} below {SOURCE / PACKAGE}"
    return found


def module_of(path: Path) -> str:
    parts = path.relative_to(SOURCE).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path) for path in files(".py", ".pyx", ".pxd")}


def package_of(module: str) -> str:
    """Return the name of a module in the table of layers: that of its package, if it has one."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else "__init__"


def only_for_annotations(tree: ast.AST) -> set[ast.AST]:
    return {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for statement in node.body
        for inner in ast.walk(statement)
    }


def python_imports(text: str, *, at_run_time: bool = False) -> Iterator[tuple[str, list[str]]]:
    tree = ast.parse(text)
    skipped = only_for_annotations(tree) if at_run_time else set()
    for node in ast.walk(tree):
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: write the module's whole name"
            yield node.module or "", [alias.name for alias in node.names]


def cython_imports(text: str) -> Iterator[tuple[str, list[str]]]:
    for origin, names, modules in CYTHON_IMPORT.findall(text):
        if origin:
            yield origin, [name.split()[0] for name in names.strip("()").split(",") if name.split()]
        else:
            yield from ((name.split()[0], []) for name in modules.split(","))


@functools.cache
def imports(path: Path) -> frozenset[str]:
    """Return every module that a file imports."""
    read = python_imports if path.suffix == ".py" else cython_imports
    found = set()
    for origin, names in read(path.read_text("utf-8")):
        submodules = {f"{origin}.{name}" for name in names} & MODULES
        # `from package import module` imports the module, and the package for any other name.
        if not submodules or len(submodules) < len(names):
            found.add(origin)
        found |= submodules
    return frozenset(found)


def own(modules: Iterable[str]) -> set[str]:
    return {name for name in modules if name.split(".")[0] == PACKAGE}


def graph() -> dict[str, set[str]]:
    edges: dict[str, set[str]] = {}
    for path in files(".py", ".pyx", ".pxd"):
        module = module_of(path)
        edges.setdefault(module, set()).update(own(imports(path)) - {module})
    return edges


def test_every_module_has_layer() -> None:
    unknown = sorted({package_of(module) for module in MODULES} - set(LAYER_OF))
    assert not unknown, f"give these a layer in the table of this test: {', '.join(unknown)}"


def test_every_layer_entry_exists() -> None:
    assert sorted(set(LAYER_OF) - {package_of(module) for module in MODULES}) == []


def test_no_module_has_two_layers() -> None:
    assert len(LAYER_OF) == sum(len(names) for names in LAYERS)


def test_every_imported_module_exists() -> None:
    missing = [f"{module}: {name}" for module, used in graph().items() for name in used - MODULES]
    assert missing == []


def test_imports_go_to_lower_layers() -> None:
    climbing = [
        f"{module} (layer {LAYER_OF.get(package_of(module))}) imports {used}"
        f" (layer {LAYER_OF.get(package_of(used))})"
        for module, all_used in graph().items()
        for used in sorted(all_used)
        if package_of(used) != package_of(module)
        and LAYER_OF.get(package_of(used), len(LAYERS)) >= LAYER_OF.get(package_of(module), -1)
    ]
    assert climbing == []


def test_imports_have_no_cycle() -> None:
    try:
        TopologicalSorter(graph()).prepare()
    except CycleError as error:
        pytest.fail(f"a cycle: {' -> '.join(error.args[1])}")


def test_foreign_imports_stay_in_place() -> None:
    astray = []
    for path in files(".py"):
        for name, _ in python_imports(path.read_text("utf-8"), at_run_time=True):
            root = name.split(".")[0]
            if root == PACKAGE or root in sys.stdlib_module_names:
                continue
            packages = FOREIGN.get(root)
            if packages is None or (
                packages and package_of(module_of(path)) not in packages.split()
            ):
                astray.append(f"{path.relative_to(SOURCE)} imports {name}")
    assert astray == []


def test_only_nats_imports_nats_py() -> None:
    importers = {
        package_of(module_of(path))
        for path in files(".py", ".pyx", ".pxd")
        for name in imports(path)
        if name.split(".")[0] == "nats"
    }
    assert importers == {"nats"}


def test_compiled_modules_do_no_io() -> None:
    barred = [
        f"{path.relative_to(SOURCE)} imports {name}"
        for path in files(".pyx", ".pxd")
        for name in sorted(imports(path))
        if name in BARRED_FROM_COMPILED or name.split(".")[0] in BARRED_FROM_COMPILED
    ]
    assert barred == []


def test_compiled_modules_use_only_python_headers() -> None:
    foreign = [
        f"{path.relative_to(SOURCE)}: {header}"
        for path in files(".pyx", ".pxd")
        for header in CYTHON_HEADER.findall(path.read_text("utf-8"))
        if not ALLOWED_HEADERS.fullmatch(header)
    ]
    assert foreign == []


def test_compiled_modules_are_not_included() -> None:
    glued = [
        path.name
        for path in files(".pyx", ".pxd")
        if re.search(r"^\s*include\s+[\"']", path.read_text("utf-8"), re.MULTILINE)
    ]
    assert glued == []


def test_every_compiled_module_has_stub() -> None:
    bare = [path.name for path in files(".pyx") if not path.with_suffix(".pyi").exists()]
    assert bare == []


def test_documented_layers_match() -> None:
    page = (SOURCE.parent / "docs" / "architecture.md").read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \| (.*) \|$", page, re.MULTILINE)
    described = [
        {"__init__" if name == PACKAGE else name for name in re.findall(r"`(\w+)`", names)}
        for _, names in rows
    ]
    assert [int(number) for number, _ in rows] == list(range(len(LAYERS)))
    assert described == list(LAYERS)


def test_every_module_is_documented() -> None:
    page = (SOURCE.parent / "docs" / "architecture.md").read_text("utf-8")
    described = set(re.findall(r"^\| `(\w+)` \| \S", page, re.MULTILINE))
    assert described >= {package_of(module) for module in MODULES} - {"__init__"}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("cimport cython\n", [("cython", [])]),
        ("import time, os.path as p\n", [("time", []), ("os.path", [])]),
        ("    from libc.time cimport time\n", [("libc.time", ["time"])]),
        ("from a.b cimport (\n    c,\n    d as e,\n)\n", [("a.b", ["c", "d"])]),
        ("from fastcoord.wire.primitives cimport *\n", [("fastcoord.wire.primitives", ["*"])]),
        ('cdef extern from "Python.h":\n    pass\n', []),
    ],
)
def test_every_cython_import_is_parsed(text: str, found: list[tuple[str, list[str]]]) -> None:
    assert list(cython_imports(text)) == found
