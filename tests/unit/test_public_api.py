"""The public API: exported names, docstrings and imports."""

import enum
import importlib
import inspect
import json
import pkgutil
import re
import subprocess
import sys
import types
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import msgspec
import pytest

import fastcoord
from fastcoord import errors

NODE = (
    "close",
    "config",
    "flush",
    "health",
    "is_connected",
    "node_id",
    "peers",
    "ping",
    "publish",
    "publish_many",
    "publish_nowait",
    "stats",
    "subscribe",
)
ATTRIBUTES = {
    "Batch": ("columns", "count", "index", "node_id", "received_at", "sequence"),
    "Connecting": (),
    "Node": NODE,
    "Subscription": ("batches", "close", "sender", "sequence", "stats", "take_nowait"),
}
"""All attributes of these classes, apart from special methods."""
CLASSES = [name for name in fastcoord.__all__ if isinstance(getattr(fastcoord, name), type)]
INTERNAL_PACKAGES = ("nats", "publishing", "receiving", "streaming", "wire")
MOST_FILES = 24
"""The maximum number of source files directly in the package."""

# A new interpreter forks a child for each module. The child installs an empty package without
# running its __init__, which would import all modules in one fixed order. Modules that use the
# public API get the complete package. Third-party packages are imported once for all children,
# because that takes most of the time.
IMPORT_EACH_ALONE = """
import importlib, json, os, sys, traceback, types

given = json.load(sys.stdin)
for name in given["others"]:
    importlib.import_module(name)
failed = []
for name in given["modules"]:
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if not name.startswith(tuple(given["above"])):
                package = sys.modules["fastcoord"] = types.ModuleType("fastcoord")
                package.__path__ = given["path"]
            importlib.import_module(name)
            status = 0
        except BaseException:
            sys.stderr.write(f"{name}: {traceback.format_exc()}")
        finally:
            sys.stderr.flush()
            os._exit(status)
    if os.waitpid(child, 0)[1]:
        failed.append(name)
print(json.dumps(failed))
"""

ABOVE_THE_API = ("fastcoord.cli", "fastcoord.tuning")
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(fastcoord.__path__, "fastcoord.")
    # Importing this one runs the command.
    if not module.name.endswith(".__main__")
)
FOLDER = Path(fastcoord.__file__).parent
COMPILED = [
    ".".join(("fastcoord", *path.relative_to(FOLDER).with_suffix("").parts))
    for path in FOLDER.rglob("*.pyx")
]
SUFFIXES = tuple(EXTENSION_SUFFIXES)


def test_all_is_sorted_and_unique() -> None:
    assert fastcoord.__all__ == sorted(set(fastcoord.__all__))


def test_every_exported_name_exists() -> None:
    assert [name for name in fastcoord.__all__ if not hasattr(fastcoord, name)] == []


def test_no_name_is_public_accidentally() -> None:
    public = {
        name
        for name, value in vars(fastcoord).items()
        if not name.startswith("_") and not isinstance(value, types.ModuleType)
    }
    assert public - {"annotations"} == set(fastcoord.__all__)


def test_star_import_matches_all() -> None:
    namespace: dict[str, object] = {}
    exec("from fastcoord import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(fastcoord.__all__)


def test_every_exception_is_exported() -> None:
    kinds = {
        name
        for name, value in vars(errors).items()
        if isinstance(value, type) and issubclass(value, BaseException)
    }
    assert kinds <= set(fastcoord.__all__)


def test_every_event_class_is_exported() -> None:
    def below(kind: type) -> set[type]:
        return {kind} | {inner for each in kind.__subclasses__() for inner in below(each)}

    final = {kind.__name__ for kind in below(fastcoord.Event) if not kind.__subclasses__()}
    assert final
    assert final <= set(fastcoord.__all__)


def test_dir_shows_only_public_names() -> None:
    names = {name for name in dir(fastcoord) if not re.fullmatch(r"__\w+__", name)}
    assert names == set(fastcoord.__all__)


@pytest.mark.parametrize("name", CLASSES)
def test_class_exposes_no_private_name(name: str) -> None:
    kind = getattr(fastcoord, name)
    # A named tuple has public methods with a leading underscore.
    allowed = {"_asdict", "_field_defaults", "_fields", "_make", "_replace"}
    private = {each for each in dir(kind) if re.match(r"_(?!_)|__(?!\w+__$)", each)}
    # A generic class has this one of typing.Generic.
    private.discard("_is_protocol")
    assert private - (allowed if hasattr(kind, "_fields") else set()) == set()


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_class_has_exactly_public_attributes(name: str) -> None:
    found = [each for each in dir(getattr(fastcoord, name)) if not each.startswith("_")]
    assert found == sorted(ATTRIBUTES[name])


@pytest.mark.parametrize("name", CLASSES)
def test_class_reports_public_module(name: str) -> None:
    kind = getattr(fastcoord, name)
    assert (kind.__module__, kind.__qualname__) == ("fastcoord", name)
    assert repr(kind).endswith(f"'fastcoord.{name}'>") or issubclass(kind, enum.Enum)


@pytest.mark.parametrize("name", CLASSES)
def test_struct_annotations_resolve(name: str) -> None:
    kind = getattr(fastcoord, name)
    if issubclass(kind, msgspec.Struct):
        assert msgspec.inspect.type_info(kind).cls is kind  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", INTERNAL_PACKAGES)
def test_internal_package_says_so(name: str) -> None:
    package = importlib.import_module(f"fastcoord.{name}")
    assert "(internal)" in (package.__doc__ or "").splitlines()[0]


def test_package_has_few_files() -> None:
    suffixes = {".h", ".pxd", ".py", ".pyi", ".pyx", ".typed"}
    files = [path.name for path in FOLDER.iterdir() if path.suffix in suffixes]
    assert len(files) <= MOST_FILES, sorted(files)


@pytest.mark.parametrize("name", fastcoord.__all__)
def test_every_export_has_docstring(name: str) -> None:
    value = getattr(fastcoord, name)
    text = vars(value).get("__doc__") if isinstance(value, type) else value.__doc__
    # The generated docstring of a struct or a compiled function is only its signature.
    written = re.sub(rf"\A{name}\(.*\)(\s*->.*)?\n*", "", text or "")
    assert written, f"fastcoord.{name} has no docstring"


@pytest.mark.parametrize("name", NODE)
def test_every_node_method_has_docstring(name: str) -> None:
    assert inspect.getdoc(getattr(fastcoord.Node, name)), f"Node.{name} has no docstring"


@pytest.mark.parametrize("kind", [fastcoord.Subscription, fastcoord.Batch])
def test_subscription_and_batch_are_documented(kind: type) -> None:
    fields = {"node_id", "received_at", "sequence"}  # described in the docstring of their class
    bare = [
        name
        for name in vars(kind)
        if not name.startswith("_")
        and name not in fields
        and not inspect.getdoc(getattr(kind, name))
    ]
    assert bare == []


def test_version_matches_distribution() -> None:
    from importlib.metadata import version

    assert fastcoord.__version__ == version("fastcoord")


def test_package_is_marked_typed() -> None:
    from importlib.resources import files

    assert files("fastcoord").joinpath("py.typed").is_file()


def test_every_module_imports_alone() -> None:
    assert len(MODULES) > len(COMPILED) > 0
    given = {
        "modules": MODULES,
        "others": [
            *("asyncio", "ssl", "msgspec", "nats.aio.client", "nkeys", "rich.live", "tomli"),
            "prometheus_client",
        ],
        "path": list(fastcoord.__path__),
        "above": ABOVE_THE_API,
    }
    done = run_python(IMPORT_EACH_ALONE, json.dumps(given))
    assert json.loads(done.stdout) == [], done.stderr


def test_import_loads_no_client_library() -> None:
    done = run_python(
        "import sys, json, fastcoord; print(json.dumps(sorted(sys.modules)))",
    )
    loaded = set(json.loads(done.stdout))
    tools = {
        "fastcoord.cache",
        "fastcoord.cli",
        "fastcoord.server",
        "fastcoord.testing",
        "rich",
        "argparse",
        "nats_server",
        "uvloop",
    }
    later = {"nats", "nkeys", "tomli", "fastcoord.node", "fastcoord.config"}
    assert loaded & (tools | later) == set()
    assert "fastcoord.events" in loaded


def test_lazy_names_are_available() -> None:
    done = run_python(
        "import fastcoord; print(all(hasattr(fastcoord, name) for name in fastcoord.__all__))"
    )
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.parametrize(
    ("module", "needed", "extra"),
    [("cache", "cachetools", "cache"), ("metrics", "prometheus_client", "metrics")],
)
def test_missing_extra_is_named(module: str, needed: str, extra: str) -> None:
    done = run_python(
        f"""
import sys
sys.modules[{needed!r}] = None
try:
    import fastcoord.{module}
except ModuleNotFoundError as error:
    print(error, error.name)
"""
    )
    assert f"pip install 'fastcoord[{extra}]' {needed}" in done.stdout


def test_unknown_name_raises_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'conect'"):
        _ = fastcoord.conect  # type: ignore[attr-defined]


def test_compiled_modules_are_compiled() -> None:
    origins = {name: importlib.import_module(name).__file__ or "" for name in COMPILED}
    assert [name for name, origin in origins.items() if not origin.endswith(SUFFIXES)] == []


def run_python(code: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "-c", code],
        input=given,
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done
