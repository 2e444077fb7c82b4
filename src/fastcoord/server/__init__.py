"""A local nats-server for the demo, tests and benchmarks.

::

    with LocalServer(users={"node": "secret"}) as server:       # also: async with
        print(server.url)

The server picks a free port and uses a private temporary directory. It ends when this process ends,
be it by a normal exit, an exception, Ctrl-C or, on Linux, ``kill -9``. A directory that ``kill -9``
leaves is removed when the next server starts.
"""

from __future__ import annotations

from fastcoord.server.cluster import LocalCluster
from fastcoord.server.local import LocalServer
from fastcoord.server.process import find_server_binary
from fastcoord.server.settings import ServerTls

__all__ = ["LocalCluster", "LocalServer", "ServerTls", "find_server_binary"]
