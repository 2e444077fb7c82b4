"""Credentials: valid forms, and every kind of malformed text."""

import threading
import time
from pathlib import Path

import nkeys
import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastcoord.config import check_credentials, split_credentials
from support.inputs.config_texts import creds, jwt, public_key, read, seed, the_problem, toml


def literal(text: str) -> str:
    return f"credentials = '''\n{text}'''"


def test_creds_text_is_parsed() -> None:
    assert check_credentials(creds()) == "creds"
    assert split_credentials(creds()) == (jwt(), seed())
    credentials = read(literal(creds())).nats.credentials
    assert credentials is not None
    assert credentials.reveal() == creds()


def test_creds_whitespace_is_ignored() -> None:
    assert split_credentials(creds().replace("\n", "\r\n")) == (jwt(), seed())
    assert split_credentials(creds().replace("\n", "\n\n  ")) == (jwt(), seed())
    assert split_credentials(creds().removesuffix("\n")) == (jwt(), seed())


def test_bearer_jwt_needs_no_seed() -> None:
    token = jwt(bearer_token=True)
    assert check_credentials(token) == "bearer"
    assert split_credentials(f"\n{token}\n") == (token, None)


def test_plain_jwt_needs_seed() -> None:
    for token in (jwt(), jwt(bearer_token=False), jwt(bearer_token="true"), jwt({"sub": "x"})):
        with pytest.raises(ValueError, match=r"nats\.bearer_token must be true"):
            check_credentials(token)


def damaged() -> dict[str, tuple[str, str]]:
    """Return malformed texts with the expected error of each."""
    token, key = jwt(), seed()
    flipped = key[:-1] + ("A" if key[-1] != "A" else "B")
    header, payload, signature = token.split(".")
    seed_block = creds().partition("IMPORTANT *************************")[2]
    return {
        "nothing": ("", "empty"),
        "blanks": (" \n\t", "empty"),
        "words": ("not credentials", "neither a .creds file nor a JWT"),
        "a seed alone": (key, "an NKEY seed without its JWT"),
        "a path": ("/etc/nats/node.creds", "looks like a path; write %{file:PATH}%"),
        "a file name": ("node.creds", "looks like a path"),
        "no jwt block": (seed_block, "no 'BEGIN NATS USER JWT' block"),
        "no seed block": (creds().split("*****")[0], "no 'BEGIN USER NKEY SEED' block"),
        "marks alone": ("BEGIN NATS USER JWT\nBEGIN USER NKEY SEED", "'BEGIN NATS USER JWT' block"),
        "cut before the seed": (creds().split(key)[0], "'BEGIN USER NKEY SEED' block"),
        "empty jwt block": (creds().replace(token + "\n", ""), "block of the .creds text is empty"),
        "empty seed block": (creds().replace(key + "\n", ""), "block of the .creds text is empty"),
        "a jwt of two parts": (creds(f"{header}.{payload}"), "three base64url parts"),
        "a jwt with blanks": (creds(token.replace(".", ". ")), "three base64url parts"),
        "a jwt that is cut off": (creds(f"{header}.{payload[:-3]}.{signature}"), "JWT"),
        "a jwt of an odd length": (creds(f"{header}.{payload}.AAAAA"), "not base64url"),
        "a jwt of rubbish": (creds("aaaa.bbbb.cccc"), "header is not a JSON object"),
        "a payload that is a list": (creds(jwt(["list"])), "payload is not a JSON object"),
        "a bare payload that is a list": (jwt(["list"]), "payload is not a JSON object"),
        "a deep payload": (
            f"{header}.{'W1tb' * 15_000}.{signature}",
            "payload is not a JSON object",
        ),
        "a seed cut off": (creds(key=key[:-5]), "seed of the .creds text is not valid"),
        "a seed mistyped": (creds(key=flipped), "seed of the .creds text is not valid"),
        "a seed in lower case": (creds(key=key.lower()), "seed of the .creds text is not valid"),
        "a seed not ascii": (creds(key="SÜ" + key), "seed of the .creds text is not valid"),
        "a seed too long": (creds(key=key + key), "seed of the .creds text is not valid"),
        "a public key": (creds(key=public_key()), "seed of the .creds text is not valid"),
        "an account's seed": (
            creds(key=seed(1, nkeys.PREFIX_BYTE_ACCOUNT)),
            "is not that of a user (SU…)",
        ),
        "another user's seed": (creds(key=seed(2)), "belongs to another user than its JWT"),
        "too much": ("x" * 70_000, "more than 65536 characters"),
        "too many lines": ("\n" * 65_536, "empty"),
        "many dots": ("." * 65_536, "neither"),
    }


@pytest.mark.parametrize("case", damaged(), ids=lambda case: case.replace(" ", "-"))
def test_malformed_credentials_are_not_shown(case: str) -> None:
    text, expected = damaged()[case]
    outcome: list[BaseException] = []

    def check() -> None:
        try:
            check_credentials(text)
        except ValueError as error:
            outcome.append(error)

    # In a thread, so that a check that hangs fails only this test.
    thread = threading.Thread(target=check, daemon=True)
    thread.start()
    thread.join(timeout=60.0)
    assert not thread.is_alive()
    (error,) = outcome
    assert expected in str(error)
    assert seed() not in str(error)
    assert jwt() not in str(error)


@pytest.mark.parametrize("case", damaged(), ids=lambda case: case.replace(" ", "-"))
def test_malformed_credentials_are_config_problem(case: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text(damaged()[case][0])
    problem = the_problem(toml(f'credentials = "%{{file:{tmp_path}/file}}%"'))
    assert (problem.key, problem.line) == ('store."nats".credentials', 4)
    assert seed() not in problem.message


def test_longest_credentials_are_checked_quickly() -> None:
    for text in (f"a.{'b' * 65_000}.c", creds(key="S" * 65_000), "-----\n" * 10_000, "A" * 65_536):
        started = time.process_time()
        with pytest.raises(ValueError):
            check_credentials(text)
        assert time.process_time() - started < 2.0


@given(
    st.one_of(
        st.text(),
        st.lists(
            st.sampled_from(
                [
                    "BEGIN NATS USER JWT",
                    "BEGIN USER NKEY SEED",
                    "\n",
                    "-----",
                    jwt(),
                    seed(),
                    ".",
                    "=",
                    "é",
                ]
            )
        ).map("".join),
    )
)
def test_any_text_raises_only_value_error(text: str) -> None:
    try:
        kind = check_credentials(text)
    except ValueError:
        return
    assert kind in ("creds", "bearer")


@given(st.data())
def test_damaged_seed_is_always_refused(data: st.DataObject) -> None:
    key = seed()
    index = data.draw(st.integers(0, len(key) - 2))  # the last character has unused bits
    character = data.draw(
        st.sampled_from("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567").filter(lambda each: each != key[index])
    )
    with pytest.raises(ValueError, match="NKEY seed"):
        check_credentials(creds(key=key[:index] + character + key[index + 1 :]))


@pytest.mark.parametrize("key", ["user", "password"])
def test_credentials_exclude_user(key: str) -> None:
    problem = the_problem(toml(f'{key} = "x"\n{literal(creds())}'))
    assert problem.key == 'store."nats".credentials'
    assert "choose one way to authenticate" in problem.message


@pytest.mark.parametrize("written", ["5", "true", "[]", '""'])
def test_credentials_must_be_text(written: str) -> None:
    problem = the_problem(toml(f"credentials = {written}"))
    assert problem.key == 'store."nats".credentials'
