"""Notifies objects in a forked child that they belong to the parent process."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import select
import selectors
import socket
import sys
import weakref
from typing import Any, Protocol

__all__ = ["call_in_child", "detach_loop"]

logger = logging.getLogger("fastcoord")


class _Inherited(Protocol):
    def forked(self) -> None: ...


_inherited: weakref.WeakSet[_Inherited] = weakref.WeakSet()


def call_in_child(member: _Inherited) -> None:
    """Call ``member.forked()`` in every child that is forked while the object is alive."""
    _inherited.add(member)


def detach_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Give asyncio's event loop in a forked child a selector and a self-pipe of its own.

    Parent and child share both. A child that closes the loop would remove the parent's self-pipe
    from the selector, so that other threads could not wake the parent's loop. Other event loops,
    such as uvloop, do not give access to them.
    """
    selector = getattr(loop, "_selector", None)
    pipe: list[Any] = [getattr(loop, name, None) for name in ("_ssock", "_csock")]
    # Only epoll is inherited by a child.
    if sys.platform != "linux" or not isinstance(selector, selectors.EpollSelector):
        return
    if None in pipe:
        return
    pair = socket.socketpair()
    for own, inherited in zip(pair, pipe, strict=True):
        own.setblocking(False)
        _replace(own.fileno(), inherited.fileno())
        own.close()
    with select.epoll() as epoll:
        _replace(epoll.fileno(), selector.fileno())
    for key in list(selector.get_map().values()):
        selector.unregister(key.fileobj)
        # What was closed or cannot be registered was not reported by the inherited selector either.
        with contextlib.suppress(OSError, ValueError):
            selector.register(key.fileobj, key.events, key.data)


def _replace(new: int, old: int) -> None:
    os.dup2(new, old, inheritable=False)


def _after_in_child() -> None:
    for member in list(_inherited):
        try:
            member.forked()
        except Exception:
            # The other objects must still be notified.
            logger.exception("after fork: %r could not be detached from the parent", member)
    _inherited.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_in_child)
