"""What a server's INFO says."""

import pytest

from fastcoord.nats.info import delivers_traced


@pytest.mark.parametrize(
    ("version", "expected"),
    [
        ("2.9.10", True),
        ("2.10.29", True),
        ("2.11.0-RC.3", False),
        ("2.11.0", False),
        ("3.0.0", False),
        ("unknown", False),
        (2.9, False),
        (None, False),
    ],
)
def test_servers_before_2_11_deliver_traced_messages(version: object, expected: bool) -> None:
    assert delivers_traced({"version": version}) is expected


def test_server_without_version_counts_as_later() -> None:
    assert not delivers_traced({})
