"""The names of data types and registry objects, compared with Stalwart's tables."""

from __future__ import annotations

import json
import re

import pytest

from fastcoord import DataType, ObjectType, StateChange
from support.inputs.vectors import DIRECTORY

DATA_TYPES = [
    "Email",
    "EmailDelivery",
    "EmailSubmission",
    "Mailbox",
    "Thread",
    "Identity",
    "Core",
    "PushSubscription",
    "SearchSnippet",
    "VacationResponse",
    "MDN",
    "Quota",
    "SieveScript",
    "Calendar",
    "CalendarEvent",
    "CalendarEventNotification",
    "AddressBook",
    "ContactCard",
    "FileNode",
    "Principal",
    "ShareNotification",
    "ParticipantIdentity",
    "CalendarAlert",
]
"""By bit."""


def _upper_snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper()


def test_every_data_type_has_bit() -> None:
    named = {name: member.value for name, member in DataType.__members__.items()}
    assert named == {_upper_snake(name): 1 << bit for bit, name in enumerate(DATA_TYPES)}


def test_every_registry_object_has_number() -> None:
    numbers = json.loads((DIRECTORY / "object-types-0.16.json").read_text(encoding="utf-8"))
    named = {name: member.value for name, member in ObjectType.__members__.items()}
    assert named == {_upper_snake(name): number for name, number in numbers.items()}


@pytest.mark.parametrize("types", [DataType.EMAIL, DataType.MAILBOX | DataType.THREAD, 1 << 63])
def test_change_types_have_names(types: int) -> None:
    event = StateChange(account_id=1, change_id=2, types=types)
    assert type(event.types) is int
    assert DataType(event.types) == types
