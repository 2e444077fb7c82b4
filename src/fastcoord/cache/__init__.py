"""A coherent local cache in front of a loader, which the events of other nodes invalidate.

::

    from fastcoord.cache import Cache

    def keys_of(event):
        match event:
            case StateChange(account_id=account):
                return [account]
        return []

    async with (
        fastcoord.connect("node.toml") as node,
        Cache(node, load_account, keys=keys_of) as accounts,
    ):
        account = await accounts.get(7)                 # from memory, or by load_account(7)
        await write_account(7, ...)
        await accounts.publish(StateChange(7, 42, 1))   # drops the entry here and on other nodes

``BlockingCache`` is the same for programs with threads and a node of ``fastcoord.blocking``.
``pip install 'fastcoord[cache]'`` installs what this package needs.
"""

from __future__ import annotations

try:
    import cachetools as _cachetools  # noqa: F401
except ModuleNotFoundError as _error:
    raise ModuleNotFoundError(
        "fastcoord.cache needs cachetools: pip install 'fastcoord[cache]'", name="cachetools"
    ) from _error

from fastcoord.cache.asynchronous import Cache
from fastcoord.cache.blocking import BlockingCache
from fastcoord.cache.keys import ALL, AllKeys
from fastcoord.cache.stats import CacheStats

__all__ = ["ALL", "AllKeys", "BlockingCache", "Cache", "CacheStats"]
