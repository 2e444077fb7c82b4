"""Complete configurations: files that load, and files that cannot be read."""

import pickle
from pathlib import Path

import msgspec
import pytest

import fastcoord
import fastcoord.config
from fastcoord.config import (
    Address,
    Capacity,
    Cluster,
    Config,
    Nats,
    Secret,
    Timeout,
    Tls,
    describe,
    load_config,
    parse_config,
)
from fastcoord.config._settings import CLUSTER, STORE
from fastcoord.errors import ConfigError
from support.inputs.config_texts import DATA, creds, problems_of, read, the_problem, toml


def test_documented_example_loads() -> None:
    config = load_config(DATA / "seed.toml")
    assert config == Config(
        nats=Nats(
            id="nats",
            address=(
                Address(host="nats1.example.org", port=4222),
                Address(host="nats2.example.org", port=4222),
            ),
            user="stalwart",
            password=Secret("secret"),
            no_echo=True,
            max_reconnects=0,
            ping_interval=60.0,
            timeout=Timeout(connection=5.0, request=10.0),
            capacity=Capacity(client=2048, subscription=65536, read_buffer=65535),
            tls=Tls(enable=False),
        ),
        cluster=Cluster(coordinator="nats", node_id=1),
        source=str(DATA / "seed.toml"),
    )
    assert config.nats.password is not None
    assert config.nats.password.reveal() == "secret"


def test_missing_settings_have_defaults() -> None:
    config = read()
    assert config.nats == Nats(id="nats", address=(Address(host="nats1", port=4222),))
    assert config.nats.max_reconnects is None
    assert config.nats.no_echo
    assert config.nats.ping_interval == 60.0
    assert config.nats.timeout == Timeout(connection=5.0, request=10.0)
    assert config.nats.tls == Tls()
    assert msgspec.to_builtins(config.nats.capacity) == {
        "client": 2048,
        "subscription": 65536,
        "read_buffer": 65535,
        "subscription_bytes": 64 * 1024 * 1024,
        "batch_bytes": 16 * 1024,
    }
    assert config.cluster == Cluster()
    assert config.cluster.protocol == "stalwart-0.15"
    assert config.cluster.subject == "stwt.agora"
    assert config.cluster.presence_subject == "stwt.agora.fastcoord"
    assert config.cluster.stream is None
    assert config.cluster.pace is None


def test_complete_stalwart_file_loads(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_bytes((DATA / "stalwart.toml").read_bytes())
    (tmp_path / "node.creds").write_text(creds())
    config = load_config(tmp_path / "node.toml")
    assert config.nats.id == config.cluster.coordinator == "bus"
    assert config.nats.address == (Address(host="2001:db8::1", port=4222),)
    assert config.nats.credentials is not None
    assert config.nats.credentials.reveal() == creds().removesuffix("\n")
    assert config.nats.tls == Tls(enable=True, handshake_first=True)
    assert config.nats.timeout == Timeout(connection=0.25, request=0.25)
    assert config.nats.capacity.subscription_bytes == 1024**3
    assert config.nats.capacity.batch_bytes == 4096
    assert config.nats.max_reconnects is None
    assert not config.nats.no_echo
    assert config.cluster == Cluster(
        coordinator="bus", node_id=7, protocol="fastcoord-1", heartbeat=0.5, max_age=120.0
    )
    assert config.cluster.subject == "fastcoord.agora"


@pytest.mark.parametrize(
    "written",
    [
        '[store."nats".timeout]\nrequest = "3s"\n[store."nats".tls]\nenable = true',
        'timeout.request = "3s"\ntls.enable = true',
        'timeout = { request = "3s" }\ntls = { enable = true }',
        '"timeout.request" = "3s"\n"tls"."enable" = true',
    ],
    ids=["tables", "dotted", "inline", "quoted"],
)
def test_table_forms_are_equal(written: str) -> None:
    nats = read(written).nats
    assert (nats.timeout.request, nats.tls.enable) == (3.0, True)


def test_top_level_keys_load() -> None:
    config = parse_config(
        'cluster.coordinator = "n"\nstore."n".type = "nats"\nstore."n".address = "h"\n'
        'store."n".tls.enable = true\n'
    )
    assert config.nats.tls.enable
    assert config.source == "<string>"


def test_subject_follows_protocol() -> None:
    assert read(cluster='protocol = "fastcoord-1"').cluster.subject == "fastcoord.agora"
    given = read(cluster='protocol = "fastcoord-1"\nsubject = "my.bus"').cluster
    assert given.subject == "my.bus"
    assert given.with_protocol("stalwart-1.0").subject == "my.bus"
    changed = read().cluster.with_protocol("fastcoord-1")
    assert (changed.protocol, changed.subject) == ("fastcoord-1", "fastcoord.agora")


def test_presence_subject_follows_subject() -> None:
    default = read(cluster='subject = "my.bus"').cluster
    assert default.presence_subject == "my.bus.fastcoord"
    assert default.with_protocol("fastcoord-1").presence_subject == "my.bus.fastcoord"
    changed = read().cluster.with_protocol("fastcoord-1")
    assert changed.presence_subject == "fastcoord.agora.fastcoord"
    given = read(cluster='presence-subject = "stwt.agora"').cluster
    assert given.with_protocol("fastcoord-1").presence_subject == "stwt.agora"


def test_cluster_in_code_is_checked() -> None:
    with pytest.raises(ValueError, match="0 to 65535"):
        Cluster(node_id=65536)
    with pytest.raises(ValueError, match="no protocol 'nats'"):
        Cluster().with_protocol("nats")


def test_config_hashes_and_pickles() -> None:
    config = read("tls.enable = true\nmax-reconnects = 3")
    assert pickle.loads(pickle.dumps(config)) == config
    assert hash(config) == hash(read("tls.enable = true\nmax-reconnects = 3"))


def test_relative_paths_resolve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "conf"
    folder.mkdir()
    (folder / "password").write_text("pw\n")
    (folder / "node.toml").write_text(toml('user = "u"\npassword = "%{file:password}%"'))
    monkeypatch.chdir(tmp_path)
    password = load_config(Path("conf") / "node.toml").nats.password
    monkeypatch.chdir("/")
    assert password is not None
    assert password.reveal() == "pw"


def test_text_name_stands_in_errors() -> None:
    assert parse_config(toml(), name="x.toml").source == "x.toml"
    with pytest.raises(ConfigError, match=r"^x\.toml:3: "):
        parse_config(toml(address="address = 1"), name="x.toml")


def test_byte_order_mark_is_ignored() -> None:
    assert parse_config("\ufeff" + toml()).cluster.node_id == 1


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty"),
        (b" \n\t\n", "empty"),
        (b"\n\xff", "node.toml:2: the file is not UTF-8"),
    ],
)
def test_undecodable_file_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    file = tmp_path / "node.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=expected) as caught:
        load_config(file)
    assert len(caught.value.problems) == 1


def test_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.toml: there is no such file"):
        load_config(tmp_path / "missing.toml")


def test_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="this is a directory"):
        load_config(tmp_path)


def test_unopenable_file_says_why(tmp_path: Path) -> None:
    loop = tmp_path / "node.toml"
    loop.symlink_to(loop)
    with pytest.raises(ConfigError, match="cannot be read: Too many levels of symbolic links"):
        load_config(loop)


def test_impossible_file_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="NUL"):
        load_config("a\0b")
    with pytest.raises(ConfigError, match="name too long"):
        load_config("a" * 5000)


def test_endless_file_is_refused() -> None:
    with pytest.raises(ConfigError, match="is larger than 16777216 bytes"):
        load_config("/dev/zero")


@pytest.mark.parametrize(
    ("text", "line", "expected"),
    [
        ("[cluster]\na = 1\na = 2", 3, "twice"),
        ('a = 1\nb = "x\n', 2, "does not end on its line"),
        ("\n\na = na:ts", 3, "text needs quotes"),
        ("[cluster]\n[cluster]", 2, "declared twice"),
        ("[store\n", 1, "expected ']'"),
        ("a = " + "[" * 5000, None, "nested too deeply"),
        ("a = " + "9" * 5000, None, "number too long"),
    ],
)
def test_invalid_toml_is_one_problem(text: str, line: int | None, expected: str) -> None:
    problem = the_problem(text)
    assert problem.line == line
    assert expected in problem.message


def test_config_error_pickles() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config("[cluster]")
    copy = pickle.loads(pickle.dumps(caught.value))
    assert copy.problems == caught.value.problems


def test_listing_shows_each_setting() -> None:
    listing = describe(
        parse_config(
            toml(
                'user = "u"\npassword = "hidden"\nping-interval = 90000\nmax-reconnects = 0',
                address='address = ["tls://a", "[::1]:1"]',
            )
        )
    )
    lines = listing.splitlines()
    assert len(lines) == len(STORE) + len(CLUSTER)
    assert len({line.index("  ") for line in lines if "subscription-bytes" in line}) == 1
    column = max(len(line.split()[0]) for line in lines) + 2
    assert all(line[column - 1] == " " and line[column] != " " for line in lines)
    shown = {line.split()[0]: line[column:] for line in lines}
    assert shown['store."nats".address'] == "tls://a:4222, [::1]:1"
    assert shown['store."nats".password'] == "***"
    assert shown['store."nats".credentials'] == "none"
    assert shown['store."nats".ping-interval'] == "90s"
    assert shown['store."nats".max-reconnects'] == "0"
    assert shown['store."nats".capacity.subscription-bytes'] == "64MB"
    assert shown["cluster.subject"] == '"stwt.agora"'
    assert shown["cluster.presence-subject"] == '"stwt.agora.fastcoord"'
    assert shown["cluster.stream"] == "none"
    assert shown["cluster.pace"] == "auto"
    assert "hidden" not in listing


def test_listing_distinguishes_unlimited() -> None:
    listing = describe(read())
    assert 'store."nats".max-reconnects               no limit' in listing
    assert 'store."nats".user                         none' in listing


def test_listing_ignores_spelling() -> None:
    one = read('ping-interval = "1m"\nmax-reconnects = "false"\nno-echo = "true"')
    other = read('ping-interval = 60000\ncapacity = { batch-bytes = "16 kb" }')
    assert describe(one) == describe(other)


def test_config_all_is_sorted() -> None:
    names = fastcoord.config.__all__
    assert all(hasattr(fastcoord.config, name) for name in names)
    assert len(set(names)) == len(names)


def test_missing_cluster_suggests_near_name() -> None:
    problem = the_problem('[store.n]\ntype = "nats"\naddress = "a"\n[clutser]\ncoordinator = "n"')
    assert problem.key == "cluster.coordinator"
    assert 'was "clutser" meant to be cluster?' in problem.message


def test_only_store_is_checked_anyway() -> None:
    found = problems_of('[store.n]\ntype = "nats"\naddress = 1')
    assert [problem.key for problem in found] == ['store."n".address', "cluster.coordinator"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ('[store."nats"]\npassword = "s3cret"\n', "the text of a configuration was given"),
        ("nats://node:s3cret@127.0.0.1:4222", "an address was given"),
    ],
)
def test_wrong_path_type_is_refused(given: str, expected: str) -> None:
    for load in (load_config, fastcoord.connect) if "\n" in given else (load_config,):
        with pytest.raises(ConfigError, match=expected) as caught:
            load(given)
        assert "parse_config" in str(caught.value)
        assert "s3cret" not in str(caught.value)
