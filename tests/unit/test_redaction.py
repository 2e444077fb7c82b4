"""Secrets are removed from the texts of a server, in every form in which it may repeat them."""

import pytest

from fastcoord.nats.redaction import Redaction


def hidden(text: str, *secrets: str) -> str:
    redaction = Redaction()
    redaction.add(*secrets)
    return redaction.hide(text)


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ("hunter2", "no user with hunter2"),
        ("hunter2", "no user with HUNTER2"),
        ('quo"te', 'no user with "quo\\"te"'),
        ("pass word/é", "no user with pass%20word%2F%C3%A9"),
        ("päss", "no user with p\\u00e4ss"),
        (" blank ", "no user with blank"),
        ("a.b*c", "no user with a.b*c"),
        ("cat", "no user with cat"),
    ],
)
def test_secret_is_hidden_in_every_form(secret: str, text: str) -> None:
    assert hidden(text, secret).replace('"', "") == "no user with ***"


def test_longer_secret_is_hidden_first() -> None:
    assert hidden("got secret-part", "secret", "secret-part") == "got ***"


def test_short_secret_keeps_words() -> None:
    assert hidden("Authorization Violation of a", "a") == "Authorization Violation of ***"


def test_text_without_secrets_stays() -> None:
    assert hidden("Authorization Violation", "") == "Authorization Violation"
    assert Redaction().hide("Authorization Violation") == "Authorization Violation"
