"""Errors of a configuration: all are reported, with line, key and allowed values."""

import pytest

from fastcoord.config import load_config
from fastcoord.errors import ConfigError
from support.inputs.config_texts import DATA, problems_of, the_problem, toml


def test_all_problems_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(DATA / "faults.toml")
    assert {problem.file for problem in caught.value.problems} == {str(DATA / "faults.toml")}
    assert [(problem.line, problem.key) for problem in caught.value.problems] == [
        (6, 'store."nats".address[1]'),
        (8, 'store."nats".user'),
        (9, 'store."nats".no-ehco'),
        (10, 'store."nats".max-reconnects'),
        (11, 'store."nats".ping-interval'),
        (12, 'store."nats".capacity.client'),
        (15, 'store."nats".timeout.requets'),
        (19, "cluster.node-id"),
        (20, "cluster.protocol"),
    ]
    assert len(str(caught.value).splitlines()) == 9


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("no-ehco", "no-echo"),
        ("No_Echo", "no-echo"),
        ("adress", "address"),
        ("addresses", "address"),
        ("servers", "address"),
        ("username", "user"),
        ("timeout.requets", "timeout.request"),
        ("timeoutRequest", "timeout.request"),
        ("tls.enabled", "tls.enable"),
        ("enable", "tls.enable"),
        ("useTls", "tls.enable"),
        ("tls.cafile", "tls.ca-file"),
        ("capacity.subscriptions", "capacity.subscription"),
        ("read-buffer", "capacity.read-buffer"),
        ("max-reconnect", "max-reconnects"),
    ],
)
def test_unknown_key_suggests_nearest(written: str, meant: str) -> None:
    problem = the_problem(toml(f"{written} = 1"))
    assert problem.line == 4
    assert problem.key == f'store."nats".{written}'
    assert problem.message == f"unknown key; the nearest known is {meant}"


def test_unknown_key_lists_all_known() -> None:
    message = the_problem(toml("zzz = 1")).message
    assert message.startswith("unknown key; known here are address, user, password, credentials,")
    assert message.endswith("capacity.batch-bytes")
    of_group = the_problem(toml("timeout.zzz = 1")).message
    assert of_group == "unknown key; known here are timeout.connection, timeout.request"


def test_stalwarts_cluster_keys_are_accepted() -> None:
    problem = the_problem(toml(cluster="nodeid = 3"))
    assert (problem.key, problem.line) == ("cluster.nodeid", 8)
    assert problem.message == "unknown key; the nearest known is node-id"
    own = 'roles.purge.stores = ["1"]\nbind-addr = "::"\nbind-port = 1179\nkey = "x"'
    load_nothing = problems_of(toml(cluster=own + "\nzzz = 1"))
    assert [problem.key for problem in load_nothing] == ["cluster.zzz"]


def test_unknown_keys_value_is_hidden() -> None:
    (problem, _) = problems_of(toml('user = "u"\npasswrod = "hunter2"'))
    assert "hunter2" not in str(problem)


def test_group_must_be_table() -> None:
    problem = the_problem(toml("tls = true"))
    assert problem.key == 'store."nats".tls'
    assert problem.message.startswith("is a table; its settings are tls.enable, tls.ca-file")


def test_setting_must_not_be_table() -> None:
    assert "a table was given" in the_problem(toml("no-echo = { a = 1 }")).message
    assert "a table was given" in the_problem(toml("no-echo = {}")).message


def test_two_spellings_of_setting_conflict() -> None:
    problem = the_problem(toml('tls.enable = true\n"tls.enable" = false'))
    assert problem.line == 5
    assert "given twice" in problem.message


@pytest.mark.parametrize(
    ("one", "other"), [("user", "password"), ("password", "user")], ids=["user", "password"]
)
def test_password_needs_user(one: str, other: str) -> None:
    problem = the_problem(toml(f'{one} = "hunter2"'))
    assert problem.key == f'store."nats".{one}'
    assert problem.message == f'store."nats".{other} is missing; both are needed'


@pytest.mark.parametrize("key", ["user", "password"])
def test_empty_user_or_password_is_refused(key: str) -> None:
    other = "password" if key == "user" else "user"
    for written in ('""', "123456789", "true", '["hunter2"]'):
        problem = the_problem(toml(f'{key} = {written}\n{other} = "hunter2"'))
        assert problem.key == f'store."nats".{key}'
        assert "hunter2" not in problem.message
        assert "123456789" not in problem.message


def test_missing_coordinator_lists_stores() -> None:
    text = '[store.a]\ntype = "nats"\naddress = "h"\n[store.b]\ntype = "nats"\n[store.c]\n'
    problem = the_problem(text + 'type = "redis"\n')
    assert (problem.key, problem.line) == ("cluster.coordinator", None)
    assert 'the NATS stores of this file are "a", "b"' in problem.message


def test_unknown_coordinator_lists_stores() -> None:
    problem = the_problem(toml().replace('coordinator = "nats"', 'coordinator = "nts"'))
    assert (problem.key, problem.line) == ("cluster.coordinator", 7)
    assert problem.message == (
        '"nts" was given; there is no such store; the NATS stores of this file are "nats"'
    )


def test_missing_nats_store_is_explained() -> None:
    problem = the_problem('[cluster]\ncoordinator = "nats"')
    assert 'add [store."nats"] with type = "nats"' in problem.message


@pytest.mark.parametrize("written", ['""', "1", "true", "[]"])
def test_coordinator_must_be_store_id(written: str) -> None:
    problem = the_problem(toml().replace('coordinator = "nats"', f"coordinator = {written}"))
    assert problem.key == "cluster.coordinator"
    assert "the id of a store is needed" in problem.message


def test_other_store_type_is_refused() -> None:
    text = '[store.r]\ntype = "redis"\n[store.n]\ntype = "nats"\naddress = "h"\n'
    problem = the_problem(text + '[cluster]\ncoordinator = "r"')
    assert (problem.key, problem.line) == ('store."r".type', 2)
    assert problem.message.startswith('"redis" was given; ')
    assert problem.message.endswith('the NATS stores of this file are "n"')


def test_store_type_is_required() -> None:
    missing = the_problem(toml().replace('type = "nats"\n', ""))
    assert missing.key == 'store."nats".type'
    assert missing.message == 'missing; set type = "nats"'
    near = the_problem(toml().replace('type = "nats"', 'type = "NATS"'))
    assert near.message == '"NATS" was given; the coordinator needs "nats"'
    number = the_problem(toml().replace('type = "nats"', "type = 5"))
    assert number.message.startswith("5 was given")


def test_missing_address_has_no_line() -> None:
    problem = the_problem(toml(address=""))
    assert (problem.key, problem.line) == ('store."nats".address', None)
    assert "missing" in problem.message


@pytest.mark.parametrize("name", ["store", "cluster"])
def test_section_must_be_table(name: str) -> None:
    found = problems_of(f"{name} = 5")
    assert (found[0].key, found[0].line) == (name, 1)
    assert found[0].message == f"5 was given; a table is needed, [{name}]"


def test_store_must_be_table() -> None:
    problem = the_problem('store.nats = 5\n[cluster]\ncoordinator = "nats"')
    assert (problem.key, problem.line) == ('store."nats"', 1)


def test_odd_store_id_stays_readable() -> None:
    text = toml("zzz = 1").replace('"nats"', '"a\\nb\\u001b\\"c"', 1)
    text = text.replace('coordinator = "nats"', 'coordinator = "a\\nb\\u001b\\"c"')
    problem = the_problem(text)
    assert problem.key == 'store."a\\nb\\u001b\\"c".zzz'
    assert str(problem).isprintable()


def test_long_value_is_shortened() -> None:
    for written in (f'"{"x" * 1000}"', "1" * 1000):
        message = the_problem(toml(f"no-echo = {written}")).message
        assert len(message) < 120
        assert "…" in message
