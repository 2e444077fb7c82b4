"""The signatures and annotations of the public API, as tools read them at run time."""

import inspect
import sys
import typing
from collections.abc import Callable
from typing import Any

import pytest

import fastcoord
from fastcoord import blocking, cache, config, server

PUBLISHING = {
    fastcoord.Node.publish: "(self, /, *events)",
    fastcoord.Node.publish_many: "(self, /, events)",
    fastcoord.Node.publish_nowait: "(self, /, *events)",
    blocking.Node.publish: "(self, /, *events, timeout=None)",
    blocking.Node.publish_many: "(self, /, events, *, timeout=None)",
}


@pytest.mark.parametrize("method", PUBLISHING, ids=repr)
def test_publishing_method_has_signature(method: Callable[..., Any]) -> None:
    assert str(inspect.signature(method)) == PUBLISHING[method]
    assert (inspect.getdoc(method) or "").startswith("Publish ")
    # A function in Python would make each call slower.
    assert inspect.ismethoddescriptor(method)


@pytest.mark.parametrize("annotated", [cache.CacheStats, config.Settings, server.ServerTls])
def test_annotations_can_be_evaluated(annotated: type) -> None:
    assert typing.get_type_hints(annotated)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="typing has no Unpack")
@pytest.mark.parametrize("function", [fastcoord.connect, config.make_config, blocking.connect])
def test_connect_annotations_can_be_evaluated(function: Callable[..., Any]) -> None:
    parameters = inspect.signature(function, eval_str=True).parameters
    assert typing.get_args(parameters["settings"].annotation) == (config.Settings,)
