"""Fixtures of the unit tests."""

from collections.abc import Iterator

import pytest

from fastcoord.wire.typed import forget_kind


@pytest.fixture
def kind() -> Iterator[int]:
    """A kind that a test may use; it is free again afterwards."""
    yield 4000
    forget_kind(4000)
