"""The columns of a batch hold the numbers of its events."""

import gc
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fastcoord
from fastcoord import AppEvent, Batch, CalendarAlert, EmailPush, StateChange
from fastcoord.wire.events import EVENT_TYPES
from fastcoord.wire.table import KINDS

NUMBERS = {"u16": 16, "u32": 32, "u64": 64, "bool": 1}
LARGEST = {name: 2**bits - 1 for name, bits in NUMBERS.items()}
WITH_COLUMNS = [kind for kind in KINDS if all(field.type in NUMBERS for field in kind.fields)]


@given(
    changes=st.lists(
        st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
    )
)
def test_columns_hold_every_number(changes: list[tuple[int, int, int]]) -> None:
    sent = fastcoord.encode_batch(
        [StateChange(*change) for change in changes], node_id=2, protocol="fastcoord-1"
    )
    columns = fastcoord.decode_batch(sent, protocol="fastcoord-1").columns(StateChange)
    assert list(columns) == ["account_id", "change_id", "types"]
    assert list(zip(*columns.values(), strict=True)) == changes


@pytest.mark.parametrize("kind", WITH_COLUMNS, ids=lambda kind: kind.name)
def test_largest_numbers_fit(kind: Any) -> None:
    cls: Any = getattr(fastcoord, kind.name)
    values = {field.name: LARGEST[field.type] for field in kind.fields}
    typed = {name: bool(value) if value == 1 else value for name, value in values.items()}
    columns = Batch(2, [cls(**typed)]).columns(cls)
    assert {name: column.tolist() for name, column in columns.items()} == {
        name: [value] for name, value in values.items()
    }


def test_other_kinds_are_left_out() -> None:
    batch = Batch(2, [StateChange(1, 2, 3), EmailPush(4, 5, 6), "no event", StateChange(7, 8, 9)])  # type: ignore[list-item]
    assert batch.columns(StateChange)["account_id"].tolist() == [1, 7]
    assert len(batch.columns(EmailPush)["account_id"]) == 1
    assert Batch(2, []).columns(StateChange)["types"].tolist() == []


def test_columns_outlive_batch() -> None:
    batch = Batch(2, [StateChange(number, number, number) for number in range(1000)])
    column = batch.columns(StateChange)["change_id"]
    del batch
    gc.collect()
    assert column.tolist() == list(range(1000))
    assert (column.format, column.itemsize, column.readonly) == ("Q", 8, True)


@pytest.mark.parametrize("kind", [AppEvent, CalendarAlert])
def test_kind_with_objects_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match=f"{kind.__name__} has no columns"):
        Batch(2, []).columns(kind)


@pytest.mark.parametrize("kind", [None, int, fastcoord.Event, "StateChange", StateChange(1, 2, 3)])
def test_other_class_is_refused(kind: Any) -> None:
    with pytest.raises(TypeError, match="must be an event class"):
        Batch(2, []).columns(kind)


def test_every_kind_is_decided() -> None:
    refused = []
    for cls in EVENT_TYPES[1:]:
        try:
            Batch(2, []).columns(cls)
        except TypeError:
            refused.append(cls.__name__)
    assert set(refused) == {kind.name for kind in KINDS} - {kind.name for kind in WITH_COLUMNS}
