"""A string that is never shown."""

from __future__ import annotations

from fastcoord.config._macros import Part, expand
from fastcoord.errors import ConfigError, ConfigProblem

__all__ = ["Secret"]

_SHOWN = "***"


class Secret:
    """A password or a credentials text, shown as ``***``; only :meth:`reveal` returns it.

    A secret stores its text and its macros. :meth:`reveal` reads the variables and files each time,
    so that the next reconnect uses a rotated password. Two secrets are equal if they have the same
    text and the same macros.

    A pickle contains the names of variables and files, but no plain text. A secret that has plain
    text is withheld: after unpickling, its :meth:`reveal` raises an error.

    :param text: the plain text; the loader uses :meth:`from_parts` for macros.
    """

    __slots__ = ("_parts", "_where", "_withheld")

    def __init__(self, text: str) -> None:
        self._parts: tuple[Part, ...] = (Part("text", text),)
        self._where = ConfigProblem("<code>", None, "", "")
        self._withheld = False

    @classmethod
    def from_parts(cls, parts: tuple[Part, ...], where: ConfigProblem) -> Secret:
        """Make a secret of text and macros.

        :param parts: the parts of the string.
        :param where: the file, line and key for the error if the content cannot be read.
        :return: the secret.
        """
        secret = cls("")
        secret._parts = parts
        secret._where = where
        return secret

    def reveal(self) -> str:
        """Read environment variables and files, and return the content.

        :return: the secret itself; keep it out of messages and logs.
        :raises ConfigError: a variable or file is missing, or the secret was withheld from a
            pickle.
        """
        if self._withheld:
            raise self._error(
                "withheld: a pickle contains no plain secret; load the configuration again, or "
                "write %{env:NAME}% or %{file:PATH}%"
            )
        try:
            return expand(self._parts)
        except ValueError as error:
            raise self._error(str(error)) from None

    def _error(self, message: str) -> ConfigError:
        return ConfigError([self._where._replace(message=message)])

    def __repr__(self) -> str:
        return _SHOWN

    __str__ = __repr__

    def __format__(self, specification: str) -> str:
        return format(_SHOWN, specification)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return self._parts == other._parts and self._withheld == other._withheld

    def __hash__(self) -> int:
        return hash((self._parts, self._withheld))

    def __copy__(self) -> Secret:
        return self

    def __deepcopy__(self, memo: object) -> Secret:
        return self

    def __reduce__(self) -> tuple[object, ...]:
        plain = any(part.kind == "text" for part in self._parts)
        parts = (Part("text", _SHOWN),) if plain or self._withheld else self._parts
        return (_unpickle, (parts, self._where, plain or self._withheld))


def _unpickle(parts: tuple[Part, ...], where: ConfigProblem, withheld: bool) -> Secret:
    secret = Secret.from_parts(parts, where)
    secret._withheld = withheld
    return secret
