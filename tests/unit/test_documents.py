"""The reference pages match the code."""

import re
from pathlib import Path

import pytest

import fastcoord
from fastcoord.cli.arguments import COMMANDS
from fastcoord.config import describe
from fastcoord.config._settings import CLUSTER, STORE, Setting
from fastcoord.wire.events import EVENT_TYPES
from fastcoord.wire.table import PROTOCOLS
from support.inputs.samples import every_kind

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("[a-z]*/*.md"))]
SMALLEST = """
[store."nats"]
type = "nats"
address = ["localhost"]
[cluster]
coordinator = "nats"
"""
REQUIRED = {"address", "coordinator"}
LINK = re.compile(r"\]\(([^)#]+)[^)]*\)")


def table(page: str, header: str) -> list[list[str]]:
    """Return the cells of a table's rows, by its header line."""
    lines = (ROOT / "docs" / page).read_text("utf-8").splitlines()
    rows = []
    for line in lines[lines.index(header) + 2 :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return rows


def settings_rows() -> dict[str, list[str]]:
    text = (ROOT / "docs" / "settings.md").read_text("utf-8")
    found = re.findall(r"^\| `([a-z.-]+)`.*$", text, re.MULTILINE)
    lines = re.findall(r"^\| `[a-z.-]+`.*$", text, re.MULTILINE)
    assert len(found) == len(set(found)), "a key is explained twice"
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return dict(zip(found, rows, strict=True))


def test_every_setting_is_documented() -> None:
    assert set(settings_rows()) == {*STORE, *CLUSTER}


@pytest.mark.parametrize("setting", [*STORE.values(), *CLUSTER.values()], ids=lambda it: it.key)
def test_json_names_are_documented(setting: Setting) -> None:
    named = settings_rows()[setting.key][1].strip("`")
    assert named == ("" if setting.key == "coordinator" else setting.json)


def test_documented_defaults_match() -> None:
    listing = describe(fastcoord.parse_config(SMALLEST))
    in_effect = {
        key.removeprefix('store."nats".').removeprefix("cluster."): value.strip().strip('"')
        for key, _, value in (line.partition(" ") for line in listing.splitlines())
    }
    written = {key: row[3].strip("`") for key, row in settings_rows().items()}
    assert {key: value for key, value in written.items() if value != "required"} == {
        key: value for key, value in in_effect.items() if key not in REQUIRED
    }


TAG_HEADER = "| tag | event | fields, in wire order |"
KIND_HEADER = f"| event | {' | '.join(f'`{name}`' for name in PROTOCOLS)} |"


@pytest.mark.parametrize(("tag", "name", "fields"), table("wire.md", TAG_HEADER))
def test_documented_tags_match(tag: str, name: str, fields: str) -> None:
    events = every_kind((name,))
    event = events[-1] if fields.endswith("false") else events[0]
    payload = fastcoord.encode_batch([event], node_id=1, protocol="fastcoord-1")
    assert payload[1] == int(tag)


@pytest.mark.parametrize(
    ("name", "documented"), [(row[0], row[1:]) for row in table("wire.md", KIND_HEADER)]
)
def test_documented_protocols_match(name: str, documented: list[str]) -> None:
    found = []
    for protocol in PROTOCOLS:
        try:
            fastcoord.encode_batch(every_kind((name,)), node_id=1, protocol=protocol)
            found.append("yes")
        except fastcoord.UnsupportedEvent:
            found.append("")
    assert found == documented


def test_every_event_is_documented() -> None:
    kinds = {kind.__name__ for kind in EVENT_TYPES if kind is not None}
    assert {row[0] for row in table("wire.md", KIND_HEADER)} == kinds


def test_every_tag_is_documented() -> None:
    rows = table("wire.md", TAG_HEADER)
    assert [int(row[0]) for row in rows] == list(range(len(rows)))
    with pytest.raises(fastcoord.DecodeError, match="unknown tag"):
        fastcoord.decode_batch(bytes([1, len(rows)]), protocol="fastcoord-1")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_page_link_resolves(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text("utf-8")) if "://" not in target]
    assert [target for target in targets if not (page.parent / target).exists()] == []


LOSSES = table("architecture.md", "| cause | counter | function | test |")
TERMS = [term for term, _ in table("architecture.md", "| term | meaning |")]


@pytest.mark.parametrize("row", LOSSES, ids=lambda row: row[0][:40])
def test_loss_names_its_counter_and_function(row: list[str]) -> None:
    for struct, field in re.findall(r"`(\w*Stats)\.(\w+)", row[1]):
        assert field in getattr(fastcoord, struct).__struct_fields__
    ((function, path),) = re.findall(r"^`(\w+)` in \[\w+\]\(\.\./([^)]+)\)$", row[2])
    assert re.search(rf"\b{function}\(", (ROOT / path).read_text("utf-8"))
    assert re.fullmatch(r"\[(test_\w+)\]\(\.\./tests/\w+/\1\.py\)", row[3])


def test_glossary_is_sorted_and_unique() -> None:
    assert sorted(set(TERMS), key=str.lower) == TERMS


MAKEFILE = (ROOT / "Makefile").read_text("utf-8")
TARGETS = dict(re.findall(r"^([a-z-]+):([^#=\n]*)", MAKEFILE, re.MULTILINE))
CHORES = {
    "help",
    "build",
    "demo",
    "fmt",
    "generate",
    "clean",
    "clean-wheels",
    "footprint",
    "wheels-bill",
    "distclean",
    "everything",
    "fuzz",
    "check",
}


def test_ci_budget_is_twenty_minutes() -> None:
    script = (ROOT / ".ci" / "run").read_text("utf-8")
    budget = {name: int(seconds) for name, seconds in re.findall(r"\[([a-z-]+)\]=(\d+)", script)}
    assert re.findall(r"^step ([a-z-]+)", script, re.MULTILINE) == list(budget)
    assert set(budget) <= set(TARGETS)
    assert budget["test"] <= 8 * 60
    assert sum(budget.values()) <= 20 * 60


def test_everything_runs_each_check() -> None:
    reached: set[str] = set()
    waiting = ["everything"]
    while waiting:
        target = waiting.pop()
        reached.add(target)
        waiting += set(TARGETS[target].split()) & set(TARGETS) - reached
    assert set(TARGETS) - reached - CHORES == set()
    assert set(re.findall(r"\$\(MAKE\) fuzz TARGET=(\w+)", MAKEFILE)) == {"codec", "parser"}


def test_readme_names_each_command() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    assert set(re.findall(r"^\| `fastcoord (\w+)", readme, re.MULTILINE)) == set(COMMANDS)
