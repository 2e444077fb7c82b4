"""The JSON form of Stalwart 0.16 and later."""

import json
from pathlib import Path
from typing import Any

import pytest

from fastcoord.config import Address, Capacity, Cluster, Config, Timeout, load_config, parse_config
from fastcoord.config._settings import CLUSTER
from fastcoord.errors import ConfigError, ConfigProblem
from support.inputs.config_texts import DATA, creds, jwt, problems_of, the_problem


def form(**settings: Any) -> str:
    return json.dumps({"@type": "Nats", "addresses": {"nats1:4222": True}, **settings})


def read(**settings: Any) -> Config:
    return parse_config(form(**settings), name="node.json")


def refused(**settings: Any) -> ConfigProblem:
    return the_problem(form(**settings))


PASSWORD = {"@type": "Value", "secret": "hunter2"}


def test_complete_json_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCOORD_TEST_PASSWORD", "hunter2")
    text = (DATA / "coordinator.json").read_text()
    config = load_config(DATA / "coordinator.json")
    assert config.source == str(DATA / "coordinator.json")
    assert config.nats.id == config.cluster.coordinator == "nats"
    assert config.nats.address == (
        Address(host="nats1", port=4222),
        Address(host="nats2", port=4222, tls=True),
    )
    assert config.nats.user == "stalwart"
    assert config.nats.password is not None
    assert config.nats.password.reveal() == "hunter2"
    assert config.nats.credentials is None
    assert config.nats.timeout == Timeout(connection=2.5, request=3.0)
    assert config.nats.max_reconnects is None
    assert config.nats.tls.handshake_first
    assert config.nats.capacity == Capacity(
        client=1, subscription=2, read_buffer=3, subscription_bytes=65536, batch_bytes=512
    )
    assert config.cluster == Cluster(
        node_id=9, protocol="stalwart-0.16", heartbeat=1.0, max_age=3600.0
    )
    assert parse_config(text, name=str(DATA / "coordinator.json")) == config


def test_json_defaults_to_protocol_0_16() -> None:
    assert read().cluster == Cluster(protocol="stalwart-0.16", subject="stwt.agora")
    assert read(cluster={"protocol": "fastcoord-1"}).cluster.subject == "fastcoord.agora"


def test_stream_mode_keys_are_read() -> None:
    cluster = read(cluster={"stream": "AGORA", "presenceSubject": "a.b", "pace": 20}).cluster
    assert (cluster.stream, cluster.presence_subject, cluster.pace) == ("AGORA", "a.b", 0.02)
    assert read(stream="AGORA", pace="auto").cluster.pace is None
    assert refused(presenceSubject="a b").key == "presenceSubject"
    assert refused(cluster={"stream": "a.b"}).key == "cluster.stream"
    assert refused(cluster={"pace": -1}).key == "cluster.pace"


def test_cluster_keys_may_be_top_level() -> None:
    flat = read(nodeId=5, protocol="stalwart-1.0", subject="a.b", heartbeat=1500, maxAge="1m")
    nested = read(
        cluster={
            "nodeId": 5,
            "protocol": "stalwart-1.0",
            "subject": "a.b",
            "heartbeat": 1500,
            "maxAge": "1m",
        }
    )
    assert flat.cluster == nested.cluster
    problem = refused(nodeId=5, cluster={"nodeId": 5})
    assert problem.key == "cluster.nodeId"
    assert "given twice, also as nodeId" in problem.message


@pytest.mark.parametrize("addresses", [{"a": True, "b": True}, ["a", "b"]])
def test_addresses_are_set_or_list(addresses: object) -> None:
    assert [str(each) for each in read(addresses=addresses).nats.address] == ["a:4222", "b:4222"]


def test_single_address_may_be_string() -> None:
    assert read(addresses="a").nats.address == (Address(host="a", port=4222),)


def test_each_wrong_address_is_located() -> None:
    text = '{\n"@type": "Nats",\n"addresses": {\n"a:0": true,\n"b": false,\n"c": true}}'
    assert [(each.line, each.key) for each in problems_of(text)] == [
        (4, 'addresses."a:0"'),
        (5, "addresses.b"),
    ]
    assert refused(addresses=["a", "b:0"]).key == "addresses[1]"
    assert refused(addresses={}).key == "addresses"
    assert refused(addresses=None).message.startswith("missing")


def test_null_means_absent() -> None:
    nothing = dict.fromkeys(
        ["maxReconnects", "authUsername", "authSecret", "credentials", "pingInterval", "nodeId"]
    )
    assert read(**nothing, cluster={"subject": None}) == read()
    assert read(cluster=None) == read()


def test_zero_and_unlimited_reconnects_differ() -> None:
    assert read(maxReconnects=0).nats.max_reconnects == 0
    assert read(maxReconnects=None).nats.max_reconnects is None


def test_secret_has_three_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCOORD_TEST_PASSWORD", "hunter2")
    (tmp_path / "password").write_text("hunter2\n")
    for secret in (
        PASSWORD,
        {"@type": "Text", "secret": "hunter2"},
        {"@type": "EnvironmentVariable", "variableName": "FASTCOORD_TEST_PASSWORD"},
        {"@type": "File", "filePath": "password"},
        {"@type": "File", "filePath": str(tmp_path / "password")},
    ):
        file = tmp_path / "node.json"
        file.write_text(form(authUsername="u", authSecret=secret))
        config = load_config(file)
        assert config.nats.password is not None
        assert config.nats.password.reveal() == "hunter2"
        assert "hunter2" not in repr(config)


def test_plain_secret_is_kept_verbatim() -> None:
    secret = {"@type": "Value", "secret": "%{env:NOT_A_MACRO}%"}
    password = read(authUsername="u", authSecret=secret).nats.password
    assert password is not None
    assert password.reveal() == "%{env:NOT_A_MACRO}%"


def test_user_without_password_is_ignored() -> None:
    none = {"@type": "None"}
    config = read(authUsername="stalwart", authSecret=none, credentials=none)
    assert (config.nats.user, config.nats.password, config.nats.credentials) == (None, None, None)
    token = {"@type": "Text", "secret": jwt(bearer_token=True)}
    both = read(authUsername="stalwart", authSecret=none, credentials=token)
    assert both.nats.user is None
    assert both.nats.credentials is not None


def test_password_needs_user() -> None:
    assert refused(authUsername="u").message.startswith("authSecret is missing")
    assert refused(authSecret=PASSWORD).message.startswith("authUsername is missing")
    both = refused(
        authUsername="u", authSecret=PASSWORD, credentials={"@type": "Text", "secret": creds()}
    )
    assert both.key == "credentials"
    assert both.message.startswith("authUsername or authSecret is set as well")


@pytest.mark.parametrize(
    ("secret", "key"),
    [
        ("hunter2", "authSecret"),
        (12345678, "authSecret"),
        (["hunter2"], "authSecret"),
        ({}, "authSecret.@type"),
        ({"@type": "Vault", "secret": "hunter2"}, "authSecret.@type"),
        ({"@type": 12345678}, "authSecret.@type"),
        ({"@type": "Value"}, "authSecret.secret"),
        ({"@type": "Value", "secret": ""}, "authSecret.secret"),
        ({"@type": "Value", "secret": 12345678}, "authSecret.secret"),
        ({"@type": "Value", "value": "hunter2", "secret": "x"}, "authSecret.value"),
        ({"@type": "EnvironmentVariable", "name": "X", "variableName": "PATH"}, "authSecret.name"),
        ({"@type": "EnvironmentVariable", "variableName": "FASTCOORD_NOT_SET"}, "authSecret"),
        ({"@type": "File", "filePath": "/nonexistent"}, "authSecret"),
        ({"@type": "File", "filePath": "a\0b"}, "authSecret"),
    ],
)
def test_malformed_secret_is_not_shown(secret: object, key: str) -> None:
    problem = refused(authUsername="u", authSecret=secret)
    assert problem.key == key
    assert "hunter2" not in problem.message
    assert "12345678" not in problem.message


def test_json_credentials_are_checked() -> None:
    problem = refused(credentials={"@type": "Text", "secret": "rubbish"})
    assert problem.key == "credentials"
    assert "neither a .creds file nor a JWT" in problem.message


@pytest.mark.parametrize(
    ("key", "meant"),
    [
        ("adresses", "addresses"),
        ("address", "addresses"),
        ("usetls", "useTls"),
        ("tls.enable", "useTls"),
        ("max-reconnects", "maxReconnects"),
        ("capacityclient", "capacityClient"),
        ("clusters", "cluster"),
        ("node_id", "nodeId"),
    ],
)
def test_unknown_key_suggests_nearest(key: str, meant: str) -> None:
    problem = refused(**{key: 1})
    assert problem.key.strip('"') == key
    assert problem.message == f"unknown key; the nearest known is {meant}"


def test_unknown_key_lists_all_known() -> None:
    assert "known here are addresses, authUsername," in refused(zzz=1).message
    problem = refused(cluster={"zzz": 1})
    assert problem.key == "cluster.zzz"
    known = [setting.json for setting in CLUSTER.values() if setting.key != "coordinator"]
    assert problem.message == f"unknown key; known here are {', '.join(known)}"


@pytest.mark.parametrize("kind", ["Redis", "nats", 1, None])
def test_other_coordinator_is_refused(kind: object) -> None:
    problem = the_problem(json.dumps({"@type": kind, "addresses": ["a"]}))
    assert problem.key == "@type"
    assert 'only a coordinator of type "Nats"' in problem.message


def test_type_is_required() -> None:
    assert the_problem('{"addresses": ["a"]}').message == 'missing; set "@type": "Nats"'


def test_object_id_is_ignored() -> None:
    assert read(id="singleton") == read()


def test_repeated_key_names_second_line() -> None:
    problem = the_problem(
        '{"@type": "Nats", "addresses": ["a"],\n"noEcho": true,\n"noEcho": false}'
    )
    assert (problem.key, problem.line) == ("noEcho", 3)


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ('{"a": 1,\n:1}', 2, "this is not JSON"),
        ('{"a": NaN}', None, "cannot be read"),
        ('{"a": ' + "[" * 200_000, None, "nested too deeply"),
        ('{"a": ' + "9" * 5_000 + "}", None, "cannot be read"),
        ("{", 1, "this is not JSON"),
    ],
)
def test_invalid_json_is_one_problem(text: str, line: int | None, expected: str) -> None:
    problem = the_problem(text)
    assert problem.line == line
    assert expected in problem.message


@pytest.mark.parametrize("text", ["[]", '"text"', "5"])
def test_json_must_be_object(tmp_path: Path, text: str) -> None:
    (tmp_path / "node.json").write_text(text)
    with pytest.raises(ConfigError, match="an object is needed"):
        load_config(tmp_path / "node.json")


def test_cluster_must_be_object() -> None:
    assert refused(cluster=[1]).message == "a list was given; an object is needed"
