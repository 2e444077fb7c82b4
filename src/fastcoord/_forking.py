"""Notifies objects in a forked child that they belong to the parent process."""

from __future__ import annotations

import logging
import os
import weakref
from typing import Protocol

__all__ = ["call_in_child"]

logger = logging.getLogger("fastcoord")


class _Inherited(Protocol):
    def forked(self) -> None: ...


_inherited: weakref.WeakSet[_Inherited] = weakref.WeakSet()


def call_in_child(member: _Inherited) -> None:
    """Call ``member.forked()`` in every child that is forked while the object is alive."""
    _inherited.add(member)


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
