"""Hypothesis strategies for events and batches, in the form ``[type, fields]``."""

from __future__ import annotations

import base64
from typing import Any

from hypothesis import strategies as st

from support.oracles import reference


def _integers(lowest: int, largest: int) -> st.SearchStrategy[int]:
    """Return a strategy for integers that often draws one where the LEB128 form gets longer."""
    edges = {lowest, largest, lowest + 1, largest - 1}
    for bits in range(0, 70, 7):
        for sign in (1, -1):
            edges |= {sign * ((1 << bits) + change) for change in (-1, 0, 1)}
    inside = sorted((edge for edge in edges if lowest <= edge <= largest), key=abs)
    return st.one_of(st.sampled_from(inside), st.integers(lowest, largest))


U16 = _integers(0, (1 << 16) - 1)
U32 = _integers(0, (1 << 32) - 1)
U64 = _integers(0, (1 << 64) - 1)
I64 = _integers(-(1 << 63), (1 << 63) - 1)
TEXT = st.text(max_size=40)
CACHE_ITEMS = st.one_of(
    st.tuples(st.just("EmailNegative"), U32, U32).map(list),
    st.tuples(
        st.sampled_from([name for name in reference.CACHE_MARKERS if name != "EmailNegative"]), U32
    ).map(list),
)

FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "u16": U16,
    "u32": U32,
    "u64": U64,
    "i64 or none": I64.map(lambda value: value or None),
    "str": TEXT,
    "bytes": st.binary(max_size=300).map(lambda value: base64.b64encode(value).decode("ascii")),
    "list of u32": st.lists(U32, max_size=40),
    "list of cache items": st.lists(CACHE_ITEMS, max_size=20),
}
"""By the kind of a field in the reference."""


def _event(layout: reference.Layout) -> st.SearchStrategy[reference.Event]:
    fields: dict[str, st.SearchStrategy[Any]] = {
        **{name: FIELDS[kind] for name, kind in layout.fields.items()},
        **{name: st.just(value) for name, value in layout.constants.items()},
    }
    return st.fixed_dictionaries(fields).map(lambda values: [layout.type, values])


def events(protocol: str) -> st.SearchStrategy[reference.Event]:
    """Return a strategy for events that the protocol can carry."""
    return st.one_of([_event(layout) for layout in reference.PROTOCOLS[protocol].values()])


def batches(protocol: str) -> st.SearchStrategy[tuple[int, list[reference.Event]]]:
    """Return a strategy for a node id with events."""
    return st.tuples(U16, st.lists(events(protocol), max_size=12))


EVENTS = events("fastcoord-1")
"""Events of all kinds; fastcoord-1 can carry them all."""
