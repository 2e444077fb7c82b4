"""Secrets: they are read at each use and never shown."""

import copy
import json
import pickle
import traceback
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcoord.config import Config, Secret, describe, parse_config
from fastcoord.errors import ConfigError
from support.inputs.config_texts import read, the_problem, toml

# Text without a macro that cannot occur by chance in a listing or an error.
SECRETS = st.text(alphabet=st.characters(min_codepoint=33, max_codepoint=126), min_size=6).map(
    lambda text: "zQ7" + text.replace("%{", "")
)


def password_of(config: Config) -> Secret:
    assert config.nats.password is not None
    return config.nats.password


def test_secret_shows_three_stars() -> None:
    secret = Secret("hunter2")
    forms = [repr(secret), str(secret), f"{secret}", f"{secret!r}", f"{secret:>5}", "%s" % secret]  # noqa: UP031
    assert {form.strip() for form in forms} == {"***"}
    assert repr([secret]) == "[***]"
    assert secret.reveal() == "hunter2"
    assert not hasattr(secret, "__dict__")


def test_secret_cannot_be_serialised() -> None:
    with pytest.raises(TypeError):
        msgspec.json.encode(Secret("hunter2"))
    with pytest.raises(TypeError):
        json.dumps(Secret("hunter2"))
    assert msgspec.json.encode(Secret("hunter2"), enc_hook=str) == b'"***"'


def test_secrets_compare_by_source(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FASTCOORD_TEST_PASSWORD", "hunter2")
    macro = 'user = "u"\npassword = "%{env:FASTCOORD_TEST_PASSWORD}%"'
    plain = 'user = "u"\npassword = "hunter2"'
    assert read(macro) == read(macro)
    assert hash(read(macro)) == hash(read(macro))
    assert read(plain).nats.password == Secret("hunter2")
    assert read(plain).nats.password != "hunter2"
    assert read(macro) != read(plain)


def test_variable_secret_is_reread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCOORD_TEST_PASSWORD", "first")
    secret = password_of(read('user = "u"\npassword = "a%{env:FASTCOORD_TEST_PASSWORD}%b"'))
    assert secret.reveal() == "afirstb"
    monkeypatch.setenv("FASTCOORD_TEST_PASSWORD", "second")
    assert secret.reveal() == "asecondb"
    monkeypatch.delenv("FASTCOORD_TEST_PASSWORD")
    with pytest.raises(ConfigError) as caught:
        secret.reveal()
    assert str(caught.value) == (
        "node.toml:5: store.\"nats\".password: the environment variable 'FASTCOORD_TEST_PASSWORD' "
        "is not set"
    )


@pytest.mark.parametrize(
    ("content", "secret"),
    [(b"pw", "pw"), (b"pw\n", "pw"), (b"pw\r\n", "pw"), (b"pw\n\n", "pw\n"), (b" pw \n", " pw ")],
)
def test_file_secret_loses_one_newline(tmp_path: Path, content: bytes, secret: str) -> None:
    (tmp_path / "password").write_bytes(content)
    written = f'user = "u"\npassword = "%{{file:{tmp_path}/password}}%"'
    assert password_of(read(written)).reveal() == secret


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "the value is empty"),
        (b"\n", "the value is empty"),
        (b"\xff\xfe", "is not UTF-8"),
        (b"x" * (1024 * 1024 + 1), "is larger than 1048576 bytes"),
    ],
)
def test_unusable_secret_file_is_refused(tmp_path: Path, content: bytes, expected: str) -> None:
    (tmp_path / "password").write_bytes(content)
    problem = the_problem(toml(f'user = "u"\npassword = "%{{file:{tmp_path}/password}}%"'))
    assert problem.key == 'store."nats".password'
    assert expected in problem.message


def test_undecodable_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FASTCOORD_TEST_PASSWORD", "\udcff")
    problem = the_problem(toml('user = "u"\npassword = "%{env:FASTCOORD_TEST_PASSWORD}%"'))
    assert "the environment variable 'FASTCOORD_TEST_PASSWORD' is not UTF-8" in problem.message


def test_macro_secret_pickles_by_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("FASTCOORD_TEST_PASSWORD", "hunter2")
    config = read('user = "u"\npassword = "%{env:FASTCOORD_TEST_PASSWORD}%"')
    pickled = pickle.dumps(config)
    assert b"hunter2" not in pickled
    assert pickle.loads(pickled) == config
    assert password_of(pickle.loads(pickled)).reveal() == "hunter2"


@pytest.mark.parametrize("written", ["hunter2", "hunter2%{env:PATH}%"])
def test_plain_secret_is_not_pickled(written: str) -> None:
    config = read(f'user = "u"\npassword = "{written}"')
    pickled = pickle.dumps(config)
    assert b"hunter2" not in pickled
    arrived = pickle.loads(pickle.dumps(pickle.loads(pickled)))
    assert arrived.nats.user == "u"
    assert arrived != config
    with pytest.raises(ConfigError, match="a pickle contains no plain secret"):
        password_of(arrived).reveal()


def test_copy_keeps_secret() -> None:
    config = read('user = "u"\npassword = "hunter2"')
    assert password_of(copy.deepcopy(config)).reveal() == "hunter2"
    assert copy.copy(password_of(config)) is password_of(config)
    assert msgspec.structs.replace(config.nats, user="v").password == config.nats.password


@given(SECRETS)
def test_config_shows_no_secret(secret: str) -> None:
    written = json.dumps(secret)
    config = parse_config(toml(f'user = "u"\npassword = {written}'))
    assert password_of(config).reveal() == secret
    for shown in (repr(config), str(config), f"{config}", describe(config), repr(config.nats)):
        assert secret not in shown
        assert written not in shown
    assert secret.encode() not in pickle.dumps(config)


MISTAKES = st.sampled_from(
    [
        'user = "u"\npasswrod = {}',
        'user = ""\npassword = {}',
        "password = {}",
        'user = "u"\npassword = [{}]',
        'user = "u"\npassword = {{ secret = {} }}',
        "credentials = {}",
        'user = "u"\npassword = {}\ncredentials = "x"',
        "user = {}",
        "user = [{}]",
        'user = "u"\npassword = {}\npassword = {}',
        'user = "u"\npassword {}',
        'user = "u"\npassword = {}"',
        'user = "u"\npassword = {} no-echo = true',
        'user = "u"\npassword = {}\nno-echo = 7',
        'user = "u"\npassword = {}\nzzz = 7',
        "zzz = {}",
        "zzz = {{ yyy = {} }}",
        "tls = {{ password = {} }}",
        'user = "u"\npassword = """{}',
    ]
)


@given(SECRETS, MISTAKES)
def test_error_shows_no_secret(secret: str, mistake: str) -> None:
    written = json.dumps(secret)
    text = toml(mistake.replace("{}", written).replace("{{", "{").replace("}}", "}"))
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    shown = "".join(traceback.format_exception(caught.value))
    assert secret not in shown + repr(caught.value) + repr(caught.value.problems)
    assert secret not in str(pickle.dumps(caught.value))


@given(SECRETS.filter(lambda text: not set(text) & set("/?#,")), st.booleans())
def test_address_password_is_hidden(secret: str, listed: bool) -> None:
    written = json.dumps(f"nats://user:{secret}@nats1:4222")
    with pytest.raises(ConfigError) as caught:
        parse_config(toml(address=f"address = [{written}]" if listed else f"address = {written}"))
    assert secret not in str(caught.value)
    assert "use the settings user and password" in str(caught.value)
