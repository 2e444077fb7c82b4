"""``%{cfg:KEY}%``: a setting that another setting of the same file names."""

import json
import re
from pathlib import Path

import pytest

import fastcoord
from fastcoord import ConfigError, make_config
from support.inputs.config_texts import problems_of

START = """\
[nats]
name = "stalwart"
secret = "hidden-%{env:FASTCOORD_TEST_PART}%"
id = 5
echo = false
hosts = ["nats1", "nats2.example.org"]
"site.local" = { subject = "a.b" }

[store."nats"]
type = "nats"
"""
END = """
[cluster]
coordinator = "nats"
"""
ONLY = re.escape("there are only the macros %{env:NAME}% and %{file:PATH}%")
SET = "[server]\ntrusted-networks = {10.0.0.0/8, ::1}\n"
"""It makes the file invalid TOML, so that it is read as Stalwart's dialect."""


@pytest.fixture(autouse=True)
def _variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCOORD_TEST_PART", "word")


@pytest.mark.parametrize("before", ["", SET], ids=["toml", "dialect"])
def test_referenced_settings_are_used(before: str) -> None:
    config = fastcoord.parse_config(
        before
        + START
        + 'address = ["%{cfg:nats.hosts.1}%:4333", "%{cfg:nats.hosts.0000}%"]\n'
        + 'user = "%{cfg:nats.name}%"\npassword = "%{cfg:nats.secret}%"\n'
        + 'no-echo = "%{cfg:nats.echo}%"\n'
        + END
        + 'node-id = "%{cfg:nats.id}%"\nsubject = "x.%{cfg:nats.site.local.subject}%"\n'
    )
    addresses = [str(each) for each in config.nats.address]
    assert addresses == ["nats2.example.org:4333", "nats1:4222"]
    assert config.nats.password is not None
    assert (config.nats.user, config.nats.password.reveal()) == ("stalwart", "hidden-word")
    assert (config.nats.no_echo, config.cluster.node_id) == (False, 5)
    assert config.cluster.subject == "x.a.b"


@pytest.mark.parametrize("before", ["", SET], ids=["toml", "dialect"])
def test_references_follow_each_other(before: str) -> None:
    text = f'{before}[a]\nx = "%{{cfg:b.y}}%"\n[b]\ny = "%{{cfg:c.z}}%:4333"\n[c]\nz = "host"\n'
    config = fastcoord.parse_config(f'{text}{START}address = "%{{cfg:a.x}}%"\n{END}')
    assert [str(each) for each in config.nats.address] == ["host:4333"]


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("nats.nmae", "there is no setting 'nats.nmae' in this file"),
        ("nats.hosts.7", "there is no setting 'nats.hosts.7' in this file"),
        ("nats.hosts", "'nats.hosts' is a table or a list, and a macro needs one value"),
        ("nats", "'nats' is a table or a list, and a macro needs one value"),
        (
            "store.nats.address",
            "%{cfg:store.nats.address}% refers to itself, or over too many other settings",
        ),
    ],
)
def test_wrong_reference_has_its_line(reference: str, reason: str) -> None:
    address = f'address = "%{{cfg:{reference}}}%"\n'
    (problem,) = problems_of(START + address + END)
    assert (problem.line, problem.key) == (11, 'store."nats".address')
    assert problem.message == f'"%{{cfg:{reference}}}%" was given; {reason}'


def test_referenced_secret_stays_hidden() -> None:
    text = f'{START}address = "h"\ncredentials = "%{{cfg:nats.secret}}%"\n{END}'
    (problem,) = problems_of(text)
    assert "neither a .creds file nor a JWT" in problem.message
    assert "hidden" not in str(problem)


def test_only_toml_has_references() -> None:
    with pytest.raises(ConfigError, match=ONLY):
        make_config("nats://a", subject="%{cfg:x}%")
    with pytest.raises(ConfigError, match=ONLY):
        fastcoord.parse_config(
            json.dumps({"@type": "Nats", "addresses": ["a"], "subject": "%{cfg:x}%"})
        )


def test_file_may_be_written_as_url(tmp_path: Path) -> None:
    (tmp_path / "name").write_text("stalwart\n")
    lines = f'address = "h"\nuser = "%{{file://{tmp_path}/name}}%"\npassword = "x"\n'
    assert fastcoord.parse_config(START + lines + END).nats.user == "stalwart"
