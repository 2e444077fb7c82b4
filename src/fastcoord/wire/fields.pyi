from fastcoord.wire.table import CACHE_ITEMS as CACHE_ITEMS
