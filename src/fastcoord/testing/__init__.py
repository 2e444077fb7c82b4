"""A bus in memory for tests: real nodes without sockets, faults on command, and a clock.

::

    with Bus() as bus:                                # pytest: the fixture fastcoord_bus
        async with fastcoord.connect(bus.url, node_id=1) as node:
            bus.cut(node)
            await bus.clock.advance(10)

``docs/pytest.md`` describes each fault.
"""

from __future__ import annotations

from fastcoord.testing.bus import Bus
from fastcoord.testing.clock import Clock
from fastcoord.testing.message import Message

__all__ = ["Bus", "Clock", "Message"]
