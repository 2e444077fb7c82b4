"""The pytest plugin of fastcoord.

pytest imports this module in every run, so that it imports nothing until a fixture is used. It is
not part of the package ``fastcoord``, whose import takes some time.
"""

from __future__ import annotations

import typing

import pytest

if typing.TYPE_CHECKING:
    from collections.abc import Iterator

    from fastcoord.server import LocalServer
    from fastcoord.testing import Bus

__all__ = ["fastcoord_bus", "fastcoord_server"]


@pytest.fixture
def fastcoord_bus(monkeypatch: pytest.MonkeyPatch) -> Iterator[Bus]:
    """A bus in memory for one test, with faults on command and a clock that the test turns.

    ``FASTCOORD_SERVERS`` is set to its address, so that ``fastcoord.connect(node_id=1)`` finds it.
    Only nodes in the process of the test can connect.
    """
    from fastcoord.testing import Bus

    with Bus() as bus:
        monkeypatch.setenv("FASTCOORD_SERVERS", bus.url)
        yield bus


@pytest.fixture
def fastcoord_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    """A new nats-server for one test, which may kill it and start it again.

    ``FASTCOORD_SERVERS`` is set to its address, so that ``fastcoord.connect(node_id=1)`` finds it,
    in this process and in those that the test starts. It needs ``pip install 'fastcoord[server]'``.
    """
    from fastcoord.server import LocalServer

    with LocalServer() as server:
        monkeypatch.setenv("FASTCOORD_SERVERS", server.url)
        yield server
