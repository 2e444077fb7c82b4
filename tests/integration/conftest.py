"""What the integration tests share beside the servers."""

import uuid
from typing import Any

import pytest


@pytest.fixture
def cluster() -> dict[str, Any]:
    """Settings of a cluster that no other test on the same server talks to."""
    return {"protocol": "fastcoord-1", "subject": f"test.{uuid.uuid4().hex}"}
