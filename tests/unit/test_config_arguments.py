"""Settings without a file: a URL, arguments and environment variables."""

import datetime
import typing
from pathlib import Path
from typing import Any

import pytest

import fastcoord
from fastcoord import ConfigError, make_config
from fastcoord.config import Settings, load_with_sources
from fastcoord.config._arguments import ARGUMENTS, VARIABLES
from fastcoord.config._settings import CLUSTER, STORE

HOSTS = "nats://a,b:4333"


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def problems(url: str | None = None, **settings: Any) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        make_config(url, **settings)
    return str(caught.value).splitlines()


def servers(config: fastcoord.Config) -> list[str]:
    return [f"{'tls://' if each.tls else ''}{each}" for each in config.nats.address]


def login(config: fastcoord.Config) -> tuple[str | None, str | None]:
    password = config.nats.password
    return config.nats.user, None if password is None else password.reveal()


# -------------------------------------------------------------------------------------- the table


def test_every_setting_has_argument() -> None:
    assert set(ARGUMENTS.values()) == {*STORE, *CLUSTER} - {"coordinator"}


def test_typed_arguments_match_table() -> None:
    assert {*Settings.__annotations__, "node_id", "protocol"} == set(ARGUMENTS)


def test_arguments_equal_file(tmp_path: Path) -> None:
    values: dict[str, Any] = {
        "servers": ["a", "tls://b:1"],
        "no_echo": False,
        "tls_enable": True,
        "timeout_request": "3s",
        "max_reconnects": 0,
        "capacity_subscription_bytes": "1MB",
        "node_id": 7,
        "protocol": "fastcoord-1",
        "presence_subject": "x.y",
        "stream": "AGORA",
        "pace": "0",
    }
    text = ['[store."nats"]', 'type = "nats"']
    for key, value in values.items():
        name = ARGUMENTS[key]
        if name == "node-id":
            text += ["[cluster]", 'coordinator = "nats"']
        shown = str(value).lower() if isinstance(value, bool) else repr(value)
        text.append(f"{name} = {shown}")
    config = fastcoord.parse_config("\n".join(text), name="<arguments>")
    assert make_config(**values) == config


# ---------------------------------------------------------------------------------------- the URL


def test_url_names_servers_and_login() -> None:
    config = make_config("nats://us%40er:p%2Cw%25@a,b:4333,tls://[::1]:5", node_id=7)
    assert servers(config) == ["a:4222", "b:4333", "tls://[::1]:5"]
    assert login(config) == ("us@er", "p,w%")
    assert config.cluster.node_id == 7


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        ("nats://user:hidden", "port"),
        ("nats://user:hidden7", "port"),
        ("nats://a,user:hidden-7", "port"),
        ("nats://user:hidden:7", "IPv6"),
        ("nats://us,er:hidden@a", "percent-encoded"),
        ("nats://user:hid@den@a", "percent-encoded"),
        ("nats://a:hidden@x,nats://b:hidden@y", "different user names"),
        ("http://user:hidden@a", "only the schemes"),
        ("nats://user:%ffhidden@a", "UTF-8"),
        ("nats://a/?password=hidden", "path or query"),
    ],
)
def test_wrong_url_shows_no_secret(url: str, reason: str) -> None:
    (problem,) = problems(url)
    assert problem.startswith("the URL: ")
    assert reason in problem
    assert "hid" not in problem
    with pytest.raises(ConfigError, match="the URL: "):
        fastcoord.connect(url)


def test_password_of_url_stays_hidden() -> None:
    config = make_config("nats://user:hidden@a")
    assert "hidden" not in repr(config)
    assert "hidden" not in fastcoord.config.describe(config)


def test_url_is_no_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "nats:").mkdir()
    (tmp_path / "nats:" / "a").write_text("not TOML")
    assert servers(load_with_sources("nats://a")[0]) == ["a:4222"]
    with pytest.raises(ConfigError, match="parse_config"):
        fastcoord.load_config("nats://a")
    with pytest.raises(ConfigError, match="not TOML"):
        fastcoord.connect(Path("nats:/a"))
    with pytest.raises(ConfigError, match="begins with nats://"):
        fastcoord.connect("localhost:4222")


# ---------------------------------------------------------------------------------- the arguments


def test_each_wrong_argument_is_named() -> None:
    found = problems(
        servers=["a", "b:99999"], user="x", heartbeat=2, node_id=70_000, tls_ca_file="missing.pem"
    )
    assert [line.partition(":")[0] for line in found] == [
        "argument `heartbeat`",
        "argument `node_id`",
        "argument `servers[1]`",
        "argument `tls_ca_file`",
        "argument `user`",
    ]
    assert 'write "2s"' in found[0]


def test_unknown_argument_names_nearest() -> None:
    with pytest.raises(TypeError, match="the nearest known is user"):
        make_config(HOSTS, usr="x")  # type: ignore[call-arg]


def test_duration_may_be_timedelta() -> None:
    config = make_config(HOSTS, heartbeat=datetime.timedelta(seconds=1.5))
    assert config.cluster.heartbeat == 1.5


def test_missing_servers_say_what_to_pass() -> None:
    (problem,) = problems(user="x")
    assert "FASTCOORD_SERVERS" in problem
    with pytest.raises(ConfigError, match="FASTCOORD_SERVERS"):
        fastcoord.connect()


def test_file_takes_no_settings(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="user cannot be given together with a file"):
        fastcoord.connect(tmp_path / "node.toml", user="x")
    with pytest.raises(TypeError, match="heartbeat cannot be given together with a Config"):
        fastcoord.connect(make_config(HOSTS), heartbeat="1s")


def test_macros_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("word\n")
    config = make_config(HOSTS, user="x", password=f"%{{file:{tmp_path}/secret}}%")
    assert login(config) == ("x", "word")


# -------------------------------------------------------------------------------- the environment


def test_environment_gives_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCOORD_SERVERS", "nats://x:y@a,b")
    monkeypatch.setenv("FASTCOORD_NODE_ID", "9")
    monkeypatch.setenv("FASTCOORD_HEARTBEAT", "500")
    monkeypatch.setenv("FASTCOORD_SUBJECT", "")
    config = make_config()
    assert (servers(config), login(config)) == (["a:4222", "b:4222"], ("x", "y"))
    assert (config.cluster.node_id, config.cluster.heartbeat) == (9, 0.5)


def test_argument_precedes_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCOORD_NODE_ID", "9")
    monkeypatch.setenv("FASTCOORD_SERVERS", "nats://x:y@other")
    config = make_config(HOSTS, node_id=3)
    assert config.cluster.node_id == 3
    assert (servers(config), login(config)) == (["a:4222", "b:4333"], (None, None))


def test_login_precedes_credentials_of_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCOORD_CREDENTIALS", "hidden")
    assert login(make_config("nats://x:y@a")) == ("x", "y")
    (problem,) = problems(HOSTS)
    assert problem.startswith("environment variable FASTCOORD_CREDENTIALS: ")
    assert "hidden" not in problem


def test_wrong_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCOORD_NODE_ID", "99999")
    monkeypatch.setenv("FASTCOORD_PASWORD", "hidden")
    monkeypatch.setenv("FASTCOORD_USER", "hidden")
    monkeypatch.setenv("FASTCOORD_PORT_4222_TCP", "set by Kubernetes")
    found = problems(HOSTS)
    assert [line.partition(":")[0] for line in found] == [
        "environment variable FASTCOORD_PASWORD",
        "environment variable FASTCOORD_NODE_ID",
        "environment variable FASTCOORD_USER",
    ]
    assert "hidden" not in str(found)


def test_file_ignores_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCOORD_NODE_ID", "9")
    path = tmp_path / "node.toml"
    path.write_text('[store.n]\ntype = "nats"\naddress = "a"\n[cluster]\ncoordinator = "n"\n')
    assert fastcoord.load_config(path).cluster.node_id == 1


def test_sources_name_url_and_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCOORD_NODE_ID", "9")
    _, sources = load_with_sources("nats://x:y@a")
    assert sources == {
        'store."nats".address': "the URL",
        'store."nats".user': "the URL",
        'store."nats".password': "the URL",
        "cluster.node-id": "environment variable FASTCOORD_NODE_ID",
    }


def test_annotations_can_be_read() -> None:
    assert "servers" in typing.get_type_hints(Settings, localns={"Duration": str, "PathName": str})
