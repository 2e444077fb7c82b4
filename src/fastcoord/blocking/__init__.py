"""The API of fastcoord for programs without an event loop.

The names are those of the package, without ``await``::

    from fastcoord import blocking

    with blocking.connect("node.toml") as node:
        node.publish(StateChange(account_id=7, change_id=42, types=DataType.EMAIL))
        with node.subscribe() as events:
            for event in events:
                ...

Each node runs its event loop in a thread of its own. Any number of threads may use the node and its
subscriptions.
"""

from fastcoord.blocking._connect import connect
from fastcoord.blocking._node import Node
from fastcoord.blocking._subscription import Subscription

__all__ = ["Node", "Subscription", "connect"]
