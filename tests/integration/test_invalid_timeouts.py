"""A timeout that is no number of seconds is refused before a call does anything."""

from __future__ import annotations

import gc
import math
import threading
from datetime import timedelta
from typing import Any

import pytest

import fastcoord
from fastcoord import EmailPush, blocking
from fastcoord.cache import BlockingCache
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted
from support.cluster.nodes import node_toml

Cluster = dict[str, Any]
EVENT = EmailPush(1, 2, 3)

INVALID = [
    pytest.param("5", TypeError, id="text"),
    pytest.param(True, TypeError, id="bool"),
    pytest.param(timedelta(seconds=5), TypeError, id="timedelta"),
    pytest.param(-1, ValueError, id="negative"),
    pytest.param(math.nan, ValueError, id="nan"),
    pytest.param(10**400, ValueError, id="huge"),
]


@pytest.mark.parametrize(("timeout", "error"), [*INVALID, pytest.param(None, TypeError, id="none")])
async def test_node_closes_after_invalid_timeout(
    shared_server: LocalServer, cluster: Cluster, timeout: Any, error: type[Exception]
) -> None:
    async with accounted(shared_server, 1, cluster=cluster) as node:
        with pytest.raises(error, match=r"^timeout "):
            await node.close(timeout)
        await node.publish(EVENT)
        assert await node.close(math.inf) == 0


@pytest.mark.parametrize(("timeout", "error"), INVALID)
def test_invalid_timeout_changes_nothing(
    shared_server: LocalServer,
    cluster: Cluster,
    caplog: pytest.LogCaptureFixture,
    timeout: Any,
    error: type[Exception],
) -> None:
    config = fastcoord.parse_config(node_toml(shared_server, cluster=cluster))
    with blocking.connect(config, node_id=1, timeout=math.inf) as node:
        threads = set(threading.enumerate())
        for call in (
            lambda: node.publish(EVENT, timeout=timeout),
            lambda: node.publish_many([EVENT], timeout=timeout),
            lambda: node.flush(timeout),
            lambda: node.flush(timeout, peers=True),
            lambda: node.ping(9, timeout=timeout),
            lambda: node.subscribe(timeout=timeout),
            lambda: node.close(timeout),
            lambda: blocking.connect(config, node_id=2, timeout=timeout),
            lambda: BlockingCache(node, abs, keys=list).get(7, timeout),
        ):
            with pytest.raises(error, match=r"^timeout "):
                call()
        assert not set(threading.enumerate()) - threads
        assert not node.stats().subscriptions
        assert node.stats().accepted == 0
    gc.collect()
    assert not [record for record in caplog.records if record.name == "asyncio"]


def test_close_without_limit_needs_number(shared_server: LocalServer, cluster: Cluster) -> None:
    config = fastcoord.parse_config(node_toml(shared_server, cluster=cluster))
    with blocking.connect(config, node_id=1) as node:
        with pytest.raises(TypeError, match="number of seconds, not None"):
            node.close(None)  # type: ignore[arg-type]
        node.publish(EVENT, timeout=None)
        assert node.close(math.inf) == 0
