"""``fastcoord.event``: registers a class of a program as an event."""

from __future__ import annotations

import dataclasses
import functools
import logging
from collections.abc import Callable
from typing import Any, ClassVar, Protocol, TypeAlias, TypeVar, cast

import msgspec

from fastcoord.wire.events import Event
from fastcoord.wire.typed import TypedClass, forget_kind, register, registered

__all__ = ["EventClass", "Publishable", "event"]

LARGEST_KIND = 0xFFFF

T = TypeVar("T")
Decorator = TypeVar("Decorator", bound=Callable[..., Any])


class _Dataclass(Protocol):
    __dataclass_fields__: ClassVar[dict[str, Any]]


Publishable: TypeAlias = Event | msgspec.Struct | _Dataclass
"""An event. Type checkers do not see whether a struct or dataclass is registered as one."""
EventClass: TypeAlias = type[Event] | type[msgspec.Struct] | type[_Dataclass]
"""A class of events or notices, as in ``kinds``."""

logger = logging.getLogger("fastcoord")
_encode = msgspec.msgpack.Encoder().encode


def _with_kind(function: Decorator) -> Decorator:
    """Refuse positional arguments, as of ``@fastcoord.event`` without parentheses."""

    @functools.wraps(function)
    def checked(*positional: object, **arguments: Any) -> Any:
        if positional:
            raise TypeError(
                f"write @fastcoord.event(kind=...) with a kind from 0 to {LARGEST_KIND}, not"
                f" @fastcoord.event alone or fastcoord.event({positional[0]!r:.60})"
            )
        return function(**arguments)

    return cast("Decorator", checked)


@_with_kind
def event(*, kind: int) -> Callable[[type[T]], type[T]]:
    """Register a ``msgspec.Struct`` or a dataclass as an event of the program.

    Its instances are published, received and filtered like any other event. They are sent as
    ``AppEvent`` whose payload is MessagePack. Only the protocol ``fastcoord-1`` has ``AppEvent``.

    Two classes with one kind are an error. A class with the same module and name as the earlier
    one replaces it, so that a module can be reloaded.

    :param kind: the kind of the ``AppEvent``, 0 to 65535. All nodes of a cluster must use it for
        the same class.
    :return: a class decorator, which returns the class itself.
    :raises TypeError: the class is neither a struct nor a dataclass, or msgspec cannot decode one
        of its fields.
    :raises ValueError: the kind is out of range, or another class has it, or this class has another
        kind.
    """
    if isinstance(kind, bool) or not isinstance(kind, int):
        raise TypeError(f"kind must be an integer, not {type(kind).__name__}")
    if not 0 <= kind <= LARGEST_KIND:
        raise ValueError(f"kind must be from 0 to {LARGEST_KIND}, not {kind}")

    def decorate(cls: type[T]) -> type[T]:
        _check_class(cls)
        replaced = None
        for known in registered():
            if known.type is cls and known.kind != kind:
                raise ValueError(
                    f"{_name(cls)} has the kind {known.kind} already, so not {kind}: a class has"
                    " one kind"
                )
            if _name(known.type) == _name(cls):
                replaced = known.kind
            elif known.kind == kind:
                raise ValueError(
                    f"kind {kind} of {_name(cls)} is the kind of {_name(known.type)}: give each"
                    " class its own kind"
                )
        decode = _decoder(cls)
        if replaced is not None:
            forget_kind(replaced)
        register(
            TypedClass(
                cls,
                kind,
                encode=_encode,
                # A class may refer to itself, or to one that is defined later. It can be resolved
                # when the first payload arrives.
                make_decoder=lambda: decode or msgspec.msgpack.Decoder(cls).decode,
                on_first_mismatch=_report,
            )
        )
        return cls

    return decorate


event.__module__ = "fastcoord"


def _check_class(cls: object) -> None:
    if not isinstance(cls, type) or not (
        issubclass(cls, msgspec.Struct) or dataclasses.is_dataclass(cls)
    ):
        raise TypeError(
            "fastcoord.event decorates a subclass of msgspec.Struct or a dataclass, not"
            f" {cls!r:.60}: write @fastcoord.event(kind=...) above @dataclass"
        )


def _decoder(cls: type[T]) -> Callable[[bytes], T] | None:
    """Return the decoder of a class; ``None`` if one of its annotations is not defined yet."""
    try:
        return msgspec.msgpack.Decoder(cls).decode
    except NameError:
        return None
    except TypeError as error:
        raise TypeError(f"{_name(cls)} cannot be an event: {error}") from error


def _name(cls: type[Any]) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"


def _report(found: TypedClass, error: Exception) -> None:
    logger.warning(
        "an event of kind %d does not fit %s and is delivered as AppEvent: %s; further ones are"
        " counted in the stats of their subscription (mismatched)",
        found.kind,
        _name(found.type),
        error,
    )
