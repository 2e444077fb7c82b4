# cython: language_level=3, embedsignature=True, boundscheck=False, wraparound=False
"""The kinds of events that each protocol has, and their tags."""

from libc.stdint cimport uint64_t

from fastcoord.wire.events cimport Event
from fastcoord.wire.fields cimport shown
from fastcoord.wire.kinds cimport CODE_COUNT

from fastcoord.errors import UnsupportedEvent
from fastcoord.wire.events import EVENT_TYPES
from fastcoord.wire.table import TAGS


cdef class Protocol:
    """The tags of one protocol.

    :ivar name: as in ``cluster.protocol`` of a configuration.
    """

    def __init__(self, str name, kinds):
        cdef int code
        codes = {kind.__name__: code for code, kind in enumerate(EVENT_TYPES) if kind is not None}
        self.name = name
        for code in range(CODE_COUNT):
            self.tag_of[code] = -1
        for tag, kind in enumerate(kinds):
            code = codes[kind]
            self.code_of_tag[tag] = code
            if self.tag_of[code] < 0:
                self.tag_of[code] = tag

    def refuse(self, Event event not None):
        """Raise ``UnsupportedEvent`` for an event that this protocol does not have."""
        names = [name for name in _protocols if knows(<Protocol>_protocols[name], event)]
        raise UnsupportedEvent(
            f"{type(event).__name__} does not exist in the protocol {self.name};"
            f" {' and '.join(names)} {'has' if len(names) == 1 else 'have'} it"
            f" (cluster.protocol in the configuration)"
        )


cdef dict _protocols = {name: Protocol(name, kinds) for name, kinds in TAGS.items()}


cdef Protocol get_protocol(name):
    found = _protocols.get(name) if isinstance(name, str) else None
    if found is None:
        raise ValueError(f"there is no protocol {shown(name)}; there are {', '.join(_protocols)}")
    return <Protocol>found


cdef uint64_t kinds_mask(kinds) except? 0:
    """Return a mask with one bit for each event code that a subscription delivers."""
    cdef uint64_t mask = 0
    if kinds is None:
        return ALL_KINDS
    if isinstance(kinds, type):
        kinds = (kinds,)
    for kind in kinds:
        if kind is Event:
            return ALL_KINDS
        if kind not in EVENT_TYPES or kind is None:
            raise TypeError(
                f"kinds must hold event classes such as StateChange, not {shown(kind)}; a class of"
                " the program needs @fastcoord.event(kind=...)"
            )
        mask |= <uint64_t>1 << <int>EVENT_TYPES.index(kind)
    return mask
