"""Fixtures of the integration tests."""

import uuid
from typing import Any

import pytest


@pytest.fixture
def cluster() -> dict[str, Any]:
    """Settings of a cluster with a subject that no other test uses."""
    return {"protocol": "fastcoord-1", "subject": f"test.{uuid.uuid4().hex}"}
