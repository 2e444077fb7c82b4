"""A damaged configuration either loads or raises ConfigError."""

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from fastcoord.config import describe, parse_config
from fastcoord.errors import ConfigError, ConfigProblem
from support.inputs.config_texts import DATA, jwt

SECRET = "Zq7-kept-to-itself-Xw9"
TOML = (DATA / "seed.toml").read_text().replace('"secret"', f'"{SECRET}"')
JSON = json.dumps(
    {
        "@type": "Nats",
        "id": "singleton",
        "addresses": {"nats1:4222": True, "tls://nats2": True},
        "authUsername": "stalwart",
        "authSecret": {"@type": "Value", "secret": SECRET},
        "useTls": False,
        "timeoutConnection": 2500,
        "maxReconnects": None,
        "capacityBatchBytes": "16KB",
        "cluster": {"nodeId": 9, "heartbeat": 1000, "maxAge": "1h"},
    },
    indent=1,
)
PIECES = st.one_of(
    st.text(max_size=5),
    st.sampled_from("\n\"'=[]{}.#\\\udcff\0\r\ufeff"),
    st.sampled_from(["-1", "0", "true", "1e9", "nan", "null", "1979-05-27", '"""', "[cluster]"]),
    st.sampled_from(["%{env:", "}%", "%{file:/}%", "%{env:FASTCOORD_TEST_NOT_SET}%", "[[store]]"]),
)
EDITS = st.lists(st.tuples(st.floats(0, 1), st.integers(0, 3), PIECES), min_size=1, max_size=3)


def check(text: str) -> None:
    problems: tuple[ConfigProblem, ...] = ()
    try:
        config = parse_config(text)
    except ConfigError as error:
        problems = error.problems
        shown = str(error)
    else:
        assert hash(config) == hash(config)
        shown = repr(config) + describe(config)
    assert SECRET not in shown
    # Each problem is one printable line, whatever the text contains.
    assert all(str(problem).isprintable() for problem in problems)


def damage(text: str, edits: list[tuple[float, int, str]]) -> str:
    for place, removed, inserted in edits:
        start = int(place * len(text))
        # A secret that an edit moves to another key is no longer recognised as a secret.
        if "\n" not in text[start : start + removed]:
            text = text[:start] + inserted + text[start + removed :]
    return text


@given(EDITS)
def test_damaged_toml_raises_only_config_error(
    edits: list[tuple[float, int, str]],
) -> None:
    check(damage(TOML, edits))


@given(EDITS)
def test_damaged_json_raises_only_config_error(
    edits: list[tuple[float, int, str]],
) -> None:
    check(damage(JSON, edits))


VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        st.text(max_size=20),
        st.sampled_from(["nats", "5s", "1KB", "tls://a", jwt(bearer_token=True), "%{env:PATH}%"]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=5,
)
NAMES = [*json.loads(JSON), "credentials", "noEcho", "tlsCaFile", "subject", "protocol"]


@given(st.dictionaries(st.sampled_from(NAMES), VALUES), st.booleans())
def test_json_values_raise_only_config_error(values: dict[str, Any], whole: bool) -> None:
    check(json.dumps({**json.loads(JSON), **values} if whole else values))


KEYS = [line.partition(" = ")[0] for line in TOML.splitlines() if " = " in line] + [
    "credentials",
    "protocol",
    "subject",
    "ca-file",
    "timeout",
    "tls",
]


@given(st.integers(0, len(TOML.splitlines()) - 1), st.sampled_from(KEYS), VALUES)
def test_toml_values_raise_only_config_error(line: int, key: str, value: Any) -> None:
    lines = TOML.splitlines()
    written = json.dumps(value).replace("\x7f", "\\u007f").replace('": ', '" = ')
    lines[line] = f"{key} = {written}"
    check("\n".join(lines))
