"""Stalwart's dialect of TOML: each of its files loads, and mistakes in ours are still found."""

from pathlib import Path

import pytest
import tomli
from hypothesis import given
from hypothesis import strategies as st

import fastcoord
from fastcoord.config import Config, load_config, parse_config
from fastcoord.config._dialect import DialectError, to_toml
from fastcoord.errors import ConfigError

CORPUS = sorted((Path(__file__).parents[1] / "data" / "config" / "stalwart").glob("*.toml"))
EXPECTED = parse_config(
    """
    [store."nats"]
    type = "nats"
    address = ["nats1.example.org:4222", "nats2.example.org:4222"]
    user = "stalwart"
    password = "hidden"
    [cluster]
    coordinator = "nats"
    node-id = 5
    """
)
REFERENCED = {"compact": {"login"}, "references": {"secrets", "domains"}}
BROKEN = """\
[server.http]
trusted-networks = {"127.0.0.0/8", "::1"}
rule = "a\\.b$"

[store.nats]
type = nats
address = 192.168.0.1

[cluster]
coordinator = nats
"""
"""TOML rejects it because of the first table."""


def is_toml(text: str) -> bool:
    try:
        tomli.loads(text)
    except tomli.TOMLDecodeError:
        return False
    return True


def meaning(config: Config) -> tuple[object, object, str]:
    password = config.nats.password
    assert password is not None
    return (config.nats.address, config.nats.user, password.reveal())


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_each_stalwart_file_loads(file: Path) -> None:
    config = load_config(file)
    assert meaning(config) == meaning(EXPECTED)
    assert config.cluster == EXPECTED.cluster


def test_corpus_needs_the_dialect() -> None:
    needing = {file.stem for file in CORPUS if not is_toml(file.read_text("utf-8"))}
    assert needing == {
        "bare",
        "compact",
        "escapes",
        "mail",
        "multiline",
        "repeated",
        "sets",
        "types",
    }


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_each_file_may_have_other_line_ends(file: Path, tmp_path: Path) -> None:
    written = tmp_path / "config.toml"
    written.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert meaning(load_config(written)) == meaning(EXPECTED)


@pytest.mark.parametrize("file", CORPUS, ids=lambda file: file.stem)
def test_rewriting_keeps_lines_and_meaning(file: Path) -> None:
    text = file.read_text("utf-8")
    written = to_toml(text)
    assert written.count("\n") == text.count("\n")
    assert set(tomli.loads(written)) == {"store", "cluster"} | REFERENCED.get(file.stem, set())
    assert meaning(parse_config(written)) == meaning(EXPECTED)


@pytest.mark.parametrize(
    ("added", "line", "expected"),
    [
        ("store:no-ehco = true", 8, "the nearest known is no-echo"),
        ("store:timeout.request = 0s", 8, "zero is refused"),
        ("store:timeout.request = 5 s", 8, "neither TOML nor"),
        ("store:timeout.conection = 5s", 8, "the nearest known is timeout.connection"),
        ("store:user = a", 8, "password is missing"),
        ("store:password = a", 8, "user is missing"),
        ("store:credentials = nonsense", 8, "neither a .creds file nor a JWT"),
        ("store:capacity.client = 0", 8, "from 1 to"),
        ("store:capacity.batch-bytes = 1B", 8, "allowed is a size"),
        ("store:max-reconnects = -1", 8, "0 disables reconnection"),
        ("store:tls.enable = yes", 8, "allowed are true and false"),
        ("store:tls.ca-file = nowhere.pem", 8, "a file that can be read is needed"),
        ("store:tls = true", 8, "is a table"),
        ("store:ping-interval = 1.5", 8, "allowed is a duration"),
        ("store:no-echo = %{env:X}%", 8, "neither TOML nor"),
        ("cluster:node-id = 70000", 11, "from 0 to 65535"),
        ("cluster:node_id = 7", 11, "the nearest known is node-id"),
        ("cluster:protocol = stalwart-2", 11, "allowed are stalwart-0.15"),
        ('cluster:subject = "a.*"', 11, "allowed is a NATS subject"),
        ("cluster:heartbeat = 0", 11, "zero is refused"),
        ("cluster:coordinator = nats", 11, "given twice"),
        ("cluster:max-age = 400d", 11, "at most 365 days"),
        ("cluster:presence-subject = a.b.", 11, "allowed is a NATS subject"),
        ("cluster:stream = a.b", 11, "allowed is the name of a JetStream stream"),
        ("cluster:pace = never", 11, 'allowed is "auto", 0'),
        ("cluster:presence = a", 11, "the nearest known is presence-subject"),
    ],
)
def test_mistake_is_found_with_its_line(added: str, line: int, expected: str) -> None:
    section, _, statement = added.partition(":")
    lines = BROKEN.splitlines()
    lines.insert({"store": 7, "cluster": 10}[section], statement)
    with pytest.raises(ConfigError) as caught:
        parse_config("\n".join(lines), name="node.toml")
    problem = next(problem for problem in caught.value.problems if expected in problem.message)
    assert (problem.file, problem.line) == ("node.toml", line)


@pytest.mark.parametrize(
    "text",
    [
        "a = {",
        "a = [1",
        'a = "x',
        "a",
        "= 1",
        "a = b:c",
        "[a",
        "a = 1 2",
        "a = " + "[" * 50,
        "a = {=1}",
        "/a = 1",
        "'a' = 1",
        'a"b = 1',
    ],
)
def test_what_stalwart_rejects_is_rejected(text: str) -> None:
    with pytest.raises(DialectError):
        to_toml(text)


def test_keys_may_have_any_characters() -> None:
    written = to_toml('[store.x]\na/b."c d".e@f = 1\nz*.y = 2\nset = {10.0.0.0/8, ::1, a}\n')
    assert tomli.loads(written) == {
        "store": {
            "x": {
                "a/b": {"c d": {"e@f": 1}},
                "z*": {"y": 2},
                "set": {"10.0.0.0/8": True, "::1": True, "a": True},
            }
        }
    }


@given(st.text(alphabet="ab\"'\\\n\t .,=[]{}#1\u00e9", max_size=60))
def test_any_text_is_rewritten_or_rejected(text: str) -> None:
    try:
        written = to_toml(text)
    except DialectError:
        return
    assert written.count("\n") == text.count("\n")


@pytest.mark.parametrize("value", ["\n  a", "\n\na", " \n a", "a\n  b", "\n", "\n \t\n"])
def test_line_breaks_in_quotes_are_kept(value: str) -> None:
    text = f'[store."nats"]\ntype = "nats"\naddress = "a"\nuser = "u"\npassword = "{value}"\n'
    # The line of the mistake behind it shows that the number of lines is the same.
    config = fastcoord.parse_config(f'{text}[cluster]\ncoordinator = "nats"\n')
    assert config.nats.password is not None
    assert config.nats.password.reveal() == value
    with pytest.raises(fastcoord.ConfigError, match=rf":{6 + value.count(chr(10))}: .*nonsense"):
        fastcoord.parse_config(f'{text}nonsense = 1\n[cluster]\ncoordinator = "nats"\n')
