# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""Which events each protocol has, and the tag of each: the tables of WIRE."""

from libc.stdint cimport uint64_t

from fastcoord.wire.events cimport *

from fastcoord.wire.events import EVENT_TYPES
from fastcoord.errors import UnsupportedEvent

_STALWART_0_15 = (
    STATE_CHANGE,
    CALENDAR_ALERT,
    EMAIL_PUSH,
    INVALIDATE_ACCESS_TOKENS,
    INVALIDATE_GROUPWARE_CACHE,
    RELOAD_SETTINGS,
    RELOAD_BLOCKED_IPS,
    RELOAD_PUSH_SERVERS,
    RELOAD_SPAM_FILTER,
)
_STALWART_0_16 = (
    STATE_CHANGE,
    CALENDAR_ALERT,
    EMAIL_PUSH,
    PUSH_SERVER_UPDATE,
    REGISTRY_INSERT,
    REGISTRY_DELETE,
    REGISTRY_RELOAD,
    CACHE_INVALIDATE,
    CACHE_INVALIDATE_ALL,
    CACHE_INVALIDATE_NEGATIVE,
    MTA_QUEUE_STATUS,  # is_running is true
    MTA_QUEUE_STATUS,  # is_running is false
    QUEUE_REFRESH,
)
_STALWART_1_0 = (*_STALWART_0_16, TASK_QUEUE_REFRESH, INDEX_QUEUE_REFRESH)
_FASTCOORD_1 = (
    *_STALWART_1_0,
    INVALIDATE_ACCESS_TOKENS,
    INVALIDATE_GROUPWARE_CACHE,
    RELOAD_SETTINGS,
    RELOAD_BLOCKED_IPS,
    RELOAD_PUSH_SERVERS,
    RELOAD_SPAM_FILTER,
    APP_EVENT,
)


cdef class Protocol:
    def __init__(self, str name, codes):
        self.name = name
        for code in range(CODE_COUNT):
            self.tag_of[code] = -1
        for tag, code in enumerate(codes):
            self.code_of[tag] = code
            if self.tag_of[code] < 0:
                self.tag_of[code] = tag

    def refuse(self, Event event):
        """Raise the error that says why this event cannot be sent."""
        if event.code == UNMADE:
            raise TypeError(f"{type(event).__name__} was made by __new__ and has no fields")
        speakers = [name for name in PROTOCOLS if knows(<Protocol>_protocols[name], event)]
        raise UnsupportedEvent(
            f"{type(event).__name__} does not exist in the protocol {self.name};"
            f" {' and '.join(speakers)} {'has' if len(speakers) == 1 else 'have'} it"
            f" (cluster.protocol in the configuration)"
        )


cdef dict _protocols = {
    "stalwart-0.15": Protocol("stalwart-0.15", _STALWART_0_15),
    "stalwart-0.16": Protocol("stalwart-0.16", _STALWART_0_16),
    "stalwart-1.0": Protocol("stalwart-1.0", _STALWART_1_0),
    "fastcoord-1": Protocol("fastcoord-1", _FASTCOORD_1),
}
PROTOCOLS = tuple(_protocols)


cdef Protocol get_protocol(name):
    found = _protocols.get(name)
    if found is None:
        raise ValueError(f"there is no protocol {name!r}; there are {', '.join(PROTOCOLS)}")
    return <Protocol>found


cdef uint64_t kinds_mask(kinds) except? 0:
    """Give the set of event codes that a subscription lets through, one bit each; 0 for none."""
    cdef uint64_t mask = 0
    if kinds is None:
        return <uint64_t>0xffffffffffffffff
    if isinstance(kinds, type):
        kinds = (kinds,)
    for kind in kinds:
        if kind is Event:
            return <uint64_t>0xffffffffffffffff
        if kind not in EVENT_TYPES or kind is None:
            raise TypeError(
                f"kinds must hold event classes such as StateChange, not {kind!r:.60}"
            )
        mask |= <uint64_t>1 << <int>EVENT_TYPES.index(kind)
    return mask
