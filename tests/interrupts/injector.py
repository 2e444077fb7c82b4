"""Raises an exception at one entry or one call of a node's functions."""

from __future__ import annotations

import sys
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, NamedTuple

import fastcoord

SOURCE = str(Path(fastcoord.__file__).parent) + "/"
NOT_OF_A_NODE = ("config", "server", "cli", "errors.py", "__init__.py", "_connect.py")
"""What runs before a node exists, or is no part of one."""


class Point(NamedTuple):
    """A place where a signal handler can raise, or memory can be lacking.

    :ivar phase: the phase of the scenario in which the place is reached for the first time.
    :ivar place: a function, as ``module:name:line``; for a call, ``>callee:line`` follows.
    """

    phase: str
    place: str

    def __str__(self) -> str:
        return f"{self.phase} {self.place}"


class Injector:
    """Record the points that a node passes, or raise at one of them.

    The interpreter reports the entry of each Python function, and each call from Python code. Calls
    of compiled code into Python are entries; calls within compiled code are not visible.

    :param target: the point; ``None`` to record.
    :param kind: the exception.
    """

    def __init__(self, target: Point | None, kind: type[BaseException]) -> None:
        self.target = target
        self.kind = kind
        self.seen: dict[Point, None] = {}
        self.has_raised = False
        self._phase = ""

    def start(self, phase: str) -> None:
        """Begin a phase of the scenario."""
        self._phase = phase
        if self.target is None or (phase == self.target.phase and not self.has_raised):
            sys.setprofile(self._profile)

    def stop(self) -> None:
        sys.setprofile(None)

    def _profile(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "c_call":
            if is_of_a_node(frame.f_code):
                self._pass(call(frame, argument.__name__))
        elif event == "call":
            if is_of_a_node(frame.f_code):
                self._pass(name(frame.f_code))
            elif frame.f_back is not None and is_of_a_node(frame.f_back.f_code):
                self._pass(call(frame.f_back, frame.f_code.co_name))

    def _pass(self, place: str) -> None:
        if self.target is None:
            self.seen[Point(self._phase, place)] = None
        elif place == self.target.place and not self.has_raised:
            self.has_raised = True
            # The interpreter ends profiling when the profile function raises.
            raise self.kind(f"injected at {place}")


def is_of_a_node(code: CodeType) -> bool:
    path = code.co_filename
    if not path.startswith(SOURCE) or code.co_name == "<module>":
        return False
    return not path[len(SOURCE) :].startswith(NOT_OF_A_NODE)


def name(code: CodeType) -> str:
    """Give a function's module and its line, which tell methods of one name apart."""
    module = code.co_filename[len(SOURCE) :].removesuffix(".py").replace("/", ".")
    return f"{module}:{code.co_name}:{code.co_firstlineno}"


def call(caller: FrameType, callee: str) -> str:
    return f"{name(caller.f_code)}>{callee}:{caller.f_lineno}"
