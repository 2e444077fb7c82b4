"""Eight threads publish through one blocking node while its server is killed twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "support/processes/blocking_ledger.py"


@pytest.mark.slow
@pytest.mark.parametrize("heartbeat", ["200ms", "2s"])
def test_eight_threads_are_accounted(heartbeat: str) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error::ResourceWarning", str(SCRIPT), heartbeat],
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["child"] == ["NodeClosed"] * 8
    assert result["reconnects"] >= 2
    assert result["out_of_order"] == []
    assert result["received"] + result["missed"] == result["sent"]
    assert result["confirmed"] == result["sent"] > 0
