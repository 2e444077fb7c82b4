"""What the README says about exceptions."""

import builtins
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import fastcoord
from fastcoord import errors

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
(SECTION,) = re.findall(r"raises a `FastcoordError`(.*?)\n\n", README, re.DOTALL)
CLASSES = [getattr(errors, name) for name in errors.__all__ if name != "ConfigProblem"]
connect: Any = fastcoord.connect
state_change: Any = fastcoord.StateChange


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        (lambda: state_change(), TypeError),
        (lambda: state_change(-1, 42, 1), ValueError),
        (lambda: connect("node.toml", user="x"), TypeError),
        (lambda: connect(7), TypeError),
        (lambda: fastcoord.event(kind=-1), ValueError),
    ],
)
def test_wrong_argument_raises_builtin(
    wrong: Callable[[], object], expected: type[Exception]
) -> None:
    with pytest.raises(expected) as caught:
        wrong()
    assert not isinstance(caught.value, fastcoord.FastcoordError)
    assert f"`{expected.__name__}`" in SECTION.partition("wrong argument")[2]


@pytest.mark.parametrize("cls", CLASSES)
def test_error_class_is_builtin(cls: type[Exception]) -> None:
    assert issubclass(cls, fastcoord.FastcoordError)
    bases = {base.__name__ for base in cls.__mro__ if base.__module__ == "builtins"}
    assert cls is fastcoord.FastcoordError or bases - {"Exception", "BaseException", "object"}


def test_readme_names_bases_of_errors() -> None:
    names = re.findall(r"`(\w+)`", SECTION.partition("As in Python")[0])
    base: type[Exception] | None = None
    for name in reversed(names):
        found = getattr(builtins, name.removesuffix("s"), None)
        if found is not None:
            base = found
        else:
            assert base is not None
            assert issubclass(getattr(fastcoord, name), base), name
