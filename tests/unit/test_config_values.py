"""The forms of values: accepted ones, and refused ones with their errors."""

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcoord.config import PROTOCOLS, Address, parse_config
from fastcoord.errors import ConfigError
from support.inputs.config_texts import ADDRESS, problems_of, read, the_problem, toml


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ('"250ms"', 0.25),
        ('"5s"', 5.0),
        ('"1m"', 60.0),
        ('"2h"', 7200.0),
        ('"1d"', 86400.0),
        ('"5 S"', 5.0),
        ("1500", 1.5),
        ('"1500"', 1.5),
        ("1", 0.001),
        ('"365d"', 365 * 86400.0),
    ],
)
def test_duration_forms_are_accepted(written: str, seconds: float) -> None:
    assert read(f"ping-interval = {written}").nats.ping_interval == seconds
    assert read(f"timeout.connection = {written}").nats.timeout.connection == seconds
    assert read(f"timeout.request = {written}").nats.timeout.request == seconds
    assert read(cluster=f"heartbeat = {written}").cluster.heartbeat == seconds
    assert read(cluster=f"max-age = {written}").cluster.max_age == seconds


@pytest.mark.parametrize("written", ["0", '"0"', '"0s"', '"0ms"', '"0d"'])
def test_zero_duration_is_refused(written: str) -> None:
    problem = the_problem(toml(f"ping-interval = {written}"))
    assert problem.key == 'store."nats".ping-interval'
    assert problem.message.startswith(f"{written} was given; zero is refused")


@pytest.mark.parametrize(
    "written",
    [
        *("-5", '"-5s"', '"5x"', '"s"', '""', '"5s5s"', '"٥s"', "true", "[]", "{}", "inf", "nan"),
        *('"366d"', '"999999999999999999d"', f'"{"9" * 200}"', "99999999999999"),
    ],
)
def test_wrong_duration_lists_forms(written: str) -> None:
    problem = the_problem(toml(f"ping-interval = {written}"))
    assert '"250ms", "5s", "1m", "2h" or "1d"' in problem.message
    assert "at most 365 days" in problem.message


def test_fractional_duration_suggests_spelling() -> None:
    assert 'write "1500ms" for 1.5 seconds' in the_problem(toml("ping-interval = 1.5")).message


@pytest.mark.parametrize(
    ("written", "size"),
    [
        ("512", 512),
        ('"512"', 512),
        ('"512B"', 512),
        ('"64KB"', 65536),
        ('"64 kb"', 65536),
        ('"1MB"', 1024**2),
        ('"1mb"', 1024**2),
    ],
)
def test_sizes_are_powers_of_1024(written: str, size: int) -> None:
    capacity = read(
        f"capacity.batch-bytes = {written}\ncapacity.subscription-bytes = {written}"
    ).nats.capacity
    assert capacity.batch_bytes == capacity.subscription_bytes == size


@pytest.mark.parametrize("written", ["-1", '"-1KB"', '"KB"', '"1.5MB"', '"1XB"', "true", "1.0"])
def test_wrong_size_lists_forms(written: str) -> None:
    problem = the_problem(toml(f"capacity.subscription-bytes = {written}"))
    assert '512, "64KB" or "1MB"' in problem.message


def test_batch_size_has_bounds() -> None:
    assert read("capacity.batch-bytes = 64").nats.capacity.batch_bytes == 64
    for written in ("63", '"65MB"'):
        message = the_problem(toml(f"capacity.batch-bytes = {written}")).message
        assert "from 64 to 67108864: a node id and one event" in message


@pytest.mark.parametrize(("written", "value"), [("true", True), ("false", False)])
def test_boolean_may_be_string(written: str, value: bool) -> None:
    assert read(f"no-echo = {written}").nats.no_echo is value
    assert read(f'no-echo = "{written}"').nats.no_echo is value


@pytest.mark.parametrize("written", ["1", "0", '"yes"', '"True"', '""', "[true]"])
def test_other_values_are_no_boolean(written: str) -> None:
    assert "allowed are true and false" in the_problem(toml(f"no-echo = {written}")).message


@pytest.mark.parametrize("key", ["client", "subscription", "read-buffer"])
def test_capacity_must_be_positive(key: str) -> None:
    field = key.replace("-", "_")
    assert getattr(read(f"capacity.{key} = 1").nats.capacity, field) == 1
    assert getattr(read(f'capacity.{key} = "77"').nats.capacity, field) == 77
    for written in ("0", "-1", "true", "1.0", '"1KB"', '"x"', "2147483648", '""'):
        problem = the_problem(toml(f"capacity.{key} = {written}"))
        assert problem.key == f'store."nats".capacity.{key}'
        assert "allowed is a whole number from 1 to" in problem.message


@pytest.mark.parametrize("number", [0, 1, 65535])
def test_node_id_range_is_accepted(number: int) -> None:
    assert read(cluster=f"node-id = {number}").cluster.node_id == number
    assert read(cluster=f'node-id = "{number}"').cluster.node_id == number


@pytest.mark.parametrize("written", ["-1", "65536", '"one"', "true", "1.0"])
def test_node_id_out_of_range_is_refused(written: str) -> None:
    problem = the_problem(toml(cluster=f"node-id = {written}"))
    assert problem.key == "cluster.node-id"
    assert problem.message.endswith(
        'allowed is a whole number from 0 to 65535, or "auto" for a free one'
    )


def test_node_id_may_be_auto() -> None:
    assert read(cluster='node-id = "auto"').cluster.node_id == "auto"
    config = parse_config(
        json.dumps({"@type": "Nats", "addresses": ["nats1:4222"], "nodeId": "auto"})
    )
    assert config.cluster.node_id == "auto"


def test_zero_and_unlimited_reconnects_differ() -> None:
    assert read("max-reconnects = 0").nats.max_reconnects == 0
    assert read('max-reconnects = "12"').nats.max_reconnects == 12
    assert read("max-reconnects = false").nats.max_reconnects is None
    assert read('max-reconnects = "false"').nats.max_reconnects is None
    for written in ("true", "-1", '"unlimited"'):
        message = the_problem(toml(f"max-reconnects = {written}")).message
        assert "0 disables reconnection" in message
        assert "false for no limit" in message


@pytest.mark.parametrize(
    ("written", "host", "port", "tls"),
    [
        ("nats1", "nats1", 4222, False),
        ("nats1.example.org:4223", "nats1.example.org", 4223, False),
        ("nats://nats1", "nats1", 4222, False),
        ("nats://nats1:1/", "nats1", 1, False),
        ("tls://nats1:65535", "nats1", 65535, True),
        ("TLS://nats1", "nats1", 4222, True),
        ("[::1]", "::1", 4222, False),
        ("tls://[2001:db8::1]:99", "2001:db8::1", 99, True),
        ("[fe80::1%eth0]:5", "fe80::1%eth0", 5, False),
        ("127.0.0.1:4222", "127.0.0.1", 4222, False),
        ("my_nats-1", "my_nats-1", 4222, False),
        ("bücher.example", "bücher.example", 4222, False),
        ("nats.example.org.", "nats.example.org.", 4222, False),
    ],
)
def test_address_forms_are_accepted(written: str, host: str, port: int, tls: bool) -> None:
    expected = (Address(host=host, port=port, tls=tls),)
    assert parse_config(toml(address=f"address = '{written}'")).nats.address == expected
    assert parse_config(toml(address=f"address = ['{written}']")).nats.address == expected


def test_address_shows_host_and_port() -> None:
    assert str(Address(host="nats1", port=4222)) == "nats1:4222"
    assert str(Address(host="::1", port=4222)) == "[::1]:4222"


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("nats1:0", "port after the colon must be a whole number from 1 to 65535"),
        ("nats1:65536", "port after the colon"),
        ("nats1:", "port after the colon"),
        ("nats1:http", "port after the colon"),
        ("nats1:+22", "port after the colon"),
        ("[::1]:0", "port after the colon"),
        ("", "the host is missing"),
        (":4222", "the host is missing"),
        ("nats://", "the host is missing"),
        ("ws://nats1", "only the schemes nats:// and tls://"),
        ("https://nats1", "only the schemes nats:// and tls://"),
        ("nats://nats1/path", "have a path or query"),
        ("nats1/path", "have a path or query"),
        ("nats1?x=1", "have a path or query"),
        ("::1", "needs brackets"),
        ("2001:db8::1:4222", "needs brackets"),
        ("[::1", "written [::1]"),
        ("[::1]4222", "written [::1]"),
        ("[nats1]:4222", "not an IPv6 address"),
        ("[]", "not an IPv6 address"),
        ("4222", "the host cannot be a number alone"),
        ("1.2.3.256", "looks like an IPv4 address but is not"),
        ("1.2.3", "looks like an IPv4 address but is not"),
        ("na ts", "contain blanks"),
        (" nats1", "contain blanks"),
        ("-nats", "neither a host name nor an IP address"),
        ("a..b", "neither a host name nor an IP address"),
        ("x" * 64, "neither a host name nor an IP address"),
        ("a:1,b:2", "write several addresses as a list"),
        ("nats://me:hunter2@nats1", "cannot contain a user name or password"),
    ],
)
def test_wrong_address_suggests_form(written: str, expected: str) -> None:
    for address in (f"address = '{written}'", f"address = ['good', '{written}']"):
        problem = the_problem(toml(address=address))
        assert expected in problem.message
        assert "hunter2" not in problem.message


@pytest.mark.parametrize("written", ["[]", "17", "[17]", "true", "{ a = 1 }", "[['a']]"])
def test_addresses_must_be_list(written: str) -> None:
    problem = the_problem(toml(address=f"address = {written}"))
    assert problem.key.startswith('store."nats".address')
    assert "address" in problem.message


def test_each_wrong_address_is_problem() -> None:
    found = problems_of(toml(address='address = [\n  "a:0",\n  "fine",\n  "b:0",\n]'))
    assert [(each.line, each.key) for each in found] == [
        (4, 'store."nats".address[0]'),
        (6, 'store."nats".address[2]'),
    ]


def test_repeated_server_counts_once() -> None:
    config = parse_config(toml(address='address = ["a", "nats://a:4222", "tls://a"]'))
    assert config.nats.address == (
        Address(host="a", port=4222),
        Address(host="a", port=4222, tls=True),
    )


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_is_accepted(protocol: str) -> None:
    assert read(cluster=f'protocol = "{protocol}"').cluster.protocol == protocol


def test_unknown_protocol_suggests_nearest() -> None:
    near = the_problem(toml(cluster='protocol = "fastcoord1"')).message
    assert near.startswith('"fastcoord1" was given; the nearest known is "fastcoord-1"')
    far = the_problem(toml(cluster="protocol = 16")).message
    assert far == f"16 was given; allowed are {', '.join(PROTOCOLS)}"


@pytest.mark.parametrize("written", ["stwt.agora", "a", "a.b-c_d.E", "bücher.x", "x" * 255])
def test_subject_forms_are_accepted(written: str) -> None:
    assert read(cluster=f'subject = "{written}"').cluster.subject == written


@pytest.mark.parametrize(
    "written",
    [
        *("", "a b", "a.*", "a.>", "a*", ".a", "a.", "a..b", "x" * 256),
        *("a\\tb", "a\\nb", "a\\u0000", "a\\u00a0b", "a\\u2028b"),
    ],
)
def test_unpublishable_subject_is_refused(written: str) -> None:
    problem = the_problem(toml(cluster=f'subject = "{written}"'))
    assert "allowed is a NATS subject" in problem.message
    assert problem.message.isprintable()


def test_presence_subject_is_subject() -> None:
    assert read(cluster='presence-subject = "a.b"').cluster.presence_subject == "a.b"
    problem = the_problem(toml(cluster='presence-subject = "a.*"'))
    assert (problem.key, problem.line) == ("cluster.presence-subject", 8)
    assert problem.message.startswith('"a.*" was given; allowed is a NATS subject')


@pytest.mark.parametrize("written", ["AGORA", "a", "my_stream-1", "bücher", "$x", "x" * 255])
def test_stream_names_are_accepted(written: str) -> None:
    assert read(cluster=f'stream = "{written}"').cluster.stream == written


@pytest.mark.parametrize(
    "written",
    [
        *('""', '"a b"', '"a.b"', '"*"', '"a>"', '"a/b"', '"a\\\\b"', '"a\\tb"', '"a\\u0000"'),
        *(f'"{"x" * 256}"', f'"{"ü" * 128}"', "1", "true", '["A"]'),
    ],
)
def test_impossible_stream_name_is_refused(written: str) -> None:
    problem = the_problem(toml(cluster=f"stream = {written}"))
    assert problem.key == "cluster.stream"
    assert "allowed is the name of a JetStream stream" in problem.message
    assert problem.message.isprintable()


@pytest.mark.parametrize(
    ("written", "seconds"),
    [('"auto"', None), ("0", 0.0), ('"0"', 0.0), ('"0s"', 0.0), ('"20ms"', 0.02), ("5", 0.005)],
)
def test_pace_forms_are_accepted(written: str, seconds: float | None) -> None:
    assert read(cluster=f"pace = {written}").cluster.pace == seconds


@pytest.mark.parametrize("written", ["-1", '"Auto"', "true", "false", '"20us"', "1.5", '"366d"'])
def test_wrong_pace_lists_forms(written: str) -> None:
    problem = the_problem(toml(cluster=f"pace = {written}"))
    assert problem.key == "cluster.pace"
    assert 'allowed is "auto", 0 (no message waits), or a duration such as' in problem.message


def test_every_string_expands_macros(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"HOST": "nats9", "TLS": "true", "ID": "5", "WAIT": "7s"}.items():
        monkeypatch.setenv(f"FASTCOORD_TEST_{name}", value)
    config = parse_config(
        toml(
            'tls.enable = "%{env:FASTCOORD_TEST_TLS}%"\n'
            'ping-interval = "%{env:FASTCOORD_TEST_WAIT}%"\n'
            'user = "%{env:FASTCOORD_TEST_HOST}%-%{env:FASTCOORD_TEST_ID}%"\npassword = "x"',
            'node-id = "%{env:FASTCOORD_TEST_ID}%"',
            'address = ["%{env:FASTCOORD_TEST_HOST}%:4%{env:FASTCOORD_TEST_ID}%"]',
        )
    )
    assert config.nats.address == (Address(host="nats9", port=45),)
    assert config.nats.tls.enable
    assert config.nats.ping_interval == 7.0
    assert config.nats.user == "nats9-5"
    assert config.cluster.node_id == 5


def test_missing_variable_is_located(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("FASTCOORD_TEST_MISSING", raising=False)
    problem = the_problem(toml('ping-interval = "%{env:FASTCOORD_TEST_MISSING}%"'))
    assert (problem.line, problem.key) == (4, 'store."nats".ping-interval')
    assert "the environment variable 'FASTCOORD_TEST_MISSING' is not set" in problem.message


def test_macro_value_is_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCOORD_TEST_VALUE", "hunter2")
    macro = "%{env:FASTCOORD_TEST_VALUE}%"
    store = "\n".join(
        f'{key} = "{macro}"'
        for key in ("no-echo", "ping-interval", "max-reconnects", "capacity.client")
    )
    store += f'\ntls.ca-file = "{macro}"\ncapacity.batch-bytes = "{macro}"'
    cluster = f'node-id = "{macro}"\nprotocol = "{macro}"\nsubject = "{macro} {macro}"'
    text = toml(store, cluster, f'address = "{macro}:{macro}"')
    found = problems_of(text)
    assert len(found) == 10
    for problem in found:
        assert "hunter2" not in str(problem)
        assert macro in problem.message
        assert "after its macros are replaced" in problem.message


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("%{file:/nonexistent/secret}%", "'/nonexistent/secret' cannot be read: No such file"),
        ("%{file:/}%", "'/' is not a regular file"),
        ("%{file:/dev/zero}%", "'/dev/zero' is not a regular file"),
        ("%{file:}%", "the macro %{file:}% names nothing"),
        ("%{env:}%", "the macro %{env:}% names nothing"),
        ("%{cfg:some.key}%", "there is no setting 'some.key' in this file"),
        ("%{cfg:}%", "the macro %{cfg:}% names nothing"),
        ("%{url:x}%", "only the macros %{env:NAME}%, %{file:PATH}% and %{cfg:KEY}%"),
        ("%{env:HOME}", "begins with %{env: and does not end with }%"),
        ("%{file:a\\u0000b}%", "is not the name of a file"),
    ],
)
def test_failing_macro_says_why(written: str, expected: str) -> None:
    for text in (
        toml(cluster=f'subject = "{written}"'),
        toml(f'user = "u"\npassword = "{written}"'),
    ):
        assert expected in the_problem(text).message


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_any_value_raises_only_config_error(text: str) -> None:
    written = json.dumps(text).replace("\x7f", "\\u007f")  # TOML escapes like JSON, and also DEL
    for key in ("ping-interval", "max-reconnects", "capacity.batch-bytes", "no-echo", "address"):
        with contextlib.suppress(ConfigError):
            parse_config(toml(f"{key} = {written}", address="" if key == "address" else ADDRESS))
