"""Remove the secrets of a node from texts that a server sends.

A server receives the password or the credentials of each connection. It may repeat them in an
``-ERR`` line or in an answer of JetStream, which are logged and raised.
"""

from __future__ import annotations

import json
import re
from urllib.parse import quote

__all__ = ["Redaction"]

HIDDEN = "***"
SHORT = 4
"""The number of characters below which a secret is removed only where it is a whole word.
Otherwise, the changed words of a sentence would show a password of one letter."""


class Redaction:
    """The secrets that one connection has revealed to its server."""

    def __init__(self) -> None:
        self._forms: set[str] = set()

    def add(self, *secrets: str) -> None:
        """Remove these secrets from now on, also if a server escapes them or changes their case."""
        for secret in secrets:
            escaped = json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1]
            self._forms |= {secret, secret.strip(), *escaped, quote(secret, safe="")}
        self._forms.discard("")

    def hide(self, text: str) -> str:
        """Return a text of the server with ``***`` in the place of each secret."""
        # The longest form comes first: one secret may be the beginning of another.
        for form in sorted(self._forms, key=len, reverse=True):
            # Credentials are long, and most texts are short: few patterns are compiled.
            if len(form) <= len(text):
                text = re.sub(_pattern_of(form), HIDDEN, text, flags=re.IGNORECASE)
        return text


def _pattern_of(secret: str) -> str:
    pattern = re.escape(secret)
    return rf"(?<!\w){pattern}(?!\w)" if len(secret) < SHORT else pattern
