"""The progress of ``bench`` and ``tune`` on a pseudo-terminal: resizing and Ctrl-C."""

from pathlib import Path

import pytest

from support.processes.terminal import on_terminal
from support.wait import until

pytest.importorskip("hdrh", reason="the extra bench is not installed")


@pytest.mark.parametrize(
    ("words", "progress", "summary"),
    [
        (
            ("bench", "--rate", "500", "--seconds", "60"),
            "measuring",
            "interrupted: the figures are those until Ctrl-C",
        ),
        (
            ("tune", "--rate", "200", "--lone", "--stall", "20"),
            "stall run, capacity.subscription = 65,536: measuring",
            "interrupted within the first run",
        ),
    ],
    ids=["bench", "tune"],
)
async def test_interrupt_leaves_clean_terminal(
    tmp_path: Path, words: tuple[str, ...], progress: str, summary: str
) -> None:
    if words[0] == "tune":
        words = (*words, "--state", str(tmp_path / "state.json"))
    async with on_terminal(*words) as terminal:
        await until(lambda: progress in terminal.text)
        assert terminal.text.count(progress) == 1, "the line is not updated in place"
        assert terminal.screen.cursor.hidden
        terminal.screen.reset()
        terminal.resize(40, 12)
        # The line is cut off at the border, and not wrapped.
        await until(lambda: terminal.text.endswith("…"))
        assert len(terminal.lines) == 1
        terminal.resize(100, 30)
        await until(lambda: progress in terminal.text)
        terminal.press(b"\x03")
        assert await terminal.process.wait() == 130
        await until(lambda: summary in " ".join(terminal.text.split()))
        await until(lambda: terminal.is_clean)
        assert "Traceback" not in terminal.text
        assert terminal.screen.cursor.x == 0
