"""The soak test passes for some seconds, and fails when the reports do not agree."""

import asyncio
import sys
from pathlib import Path
from typing import Any

import pytest

from soak.report import MEBIBYTE, violations

SCRIPT = Path(__file__).parent.parent / "soak" / "run.py"


@pytest.mark.slow
async def test_short_soak_passes() -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(SCRIPT), "--seconds", "6", "--seed", "4"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    report = out.decode()
    assert process.returncode == 0, report + err.decode()
    assert "everything is accounted for" in report
    assert err.decode().count("socket.send") == 0


def report(node: int, *received: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"node": node, "run": 0, "sent": 10, "accepted": 10, "waiting": 0, **changes} | {
        "received": list(received)
    }


def line(sender: int, place: int = 10, **changes: Any) -> dict[str, Any]:
    return {"sender": sender, "run": 0, "place": place, "faults": [], **changes}


def test_equal_reports_pass() -> None:
    assert violations([report(1, line(2)), report(2, line(1))], [], {1: [5], 2: [5]}) == []


@pytest.mark.parametrize(
    ("reports", "violation"),
    [
        ([report(1, line(2, place=9)), report(2, line(1))], "accounts for 9 events of node 2"),
        ([report(1), report(2, line(1))], "accounts for 0 events of node 2"),
        ([report(1, line(2, faults=["twice"])), report(2, line(1))], "twice"),
        ([report(1, line(2), waiting=3), report(2, line(1))], "3 events wait"),
        ([report(1, line(2), accepted=9), report(2, line(1))], "accepted 9 of 10"),
    ],
)
def test_unequal_reports_fail(reports: list[Any], violation: str) -> None:
    (found,) = violations(reports, [], {})
    assert violation in found


def test_growing_process_fails() -> None:
    growing = [(30 + number) * MEBIBYTE for number in range(40)]
    (found,) = violations([], [], {1: growing, 2: [30 * MEBIBYTE] * 40})
    assert found.startswith("node 1 grew from")
