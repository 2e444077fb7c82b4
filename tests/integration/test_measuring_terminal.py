"""The progress of ``bench`` and ``tune`` on a pseudo-terminal: resizing, Ctrl-C and SIGTERM."""

import signal
from pathlib import Path

import pytest

from support.processes.finished import finished
from support.processes.terminal import on_terminal
from support.wait import until

pytest.importorskip("hdrh", reason="the extra bench is not installed")


async def test_long_lines_continue_at_words() -> None:
    words = ("tune", "--arithmetic", "--rate", "30000", "--lone", "--stall", "3")
    plain = finished(*words).stdout
    assert max(map(len, plain.splitlines())) > 100
    async with on_terminal(*words) as terminal:
        assert await terminal.process.wait() == 0
        await until(lambda: terminal.output.decode().split() == plain.split())
    assert max(map(len, terminal.output.decode().splitlines())) <= 100


@pytest.mark.parametrize(
    ("words", "progress", "summary", "number"),
    [
        (
            ("bench", "--rate", "500", "--seconds", "60"),
            "measuring",
            "interrupted: the figures are those up to then",
            signal.SIGINT,
        ),
        (
            ("tune", "--rate", "200", "--lone", "--stall", "20"),
            "stall run, capacity.subscription = 65,536: measuring",
            "interrupted within the first run",
            signal.SIGTERM,
        ),
    ],
    ids=["bench", "tune"],
)
async def test_interrupt_leaves_clean_terminal(
    tmp_path: Path, words: tuple[str, ...], progress: str, summary: str, number: int
) -> None:
    if words[0] == "tune":
        words = (*words, "--state", str(tmp_path / "state.json"))
    async with on_terminal(*words) as terminal:
        await until(lambda: progress in terminal.text)
        assert terminal.text.count(progress) == 1, "the line is not updated in place"
        assert terminal.screen.cursor.hidden
        terminal.screen.reset()
        terminal.resize(40, 12)

        def is_cut_off() -> bool:
            if len(terminal.lines) > 1:
                terminal.screen.reset()  # a line for the old width has arrived
            return terminal.text.endswith("…")

        # The line is cut off at the border, and not wrapped.
        await until(is_cut_off)
        shown = len(terminal.output)
        await until(lambda: len(terminal.output) > shown + 200)
        assert len(terminal.lines) <= 1
        terminal.resize(100, 30)
        await until(lambda: progress in terminal.text)
        if number == signal.SIGINT:
            terminal.press(b"\x03")
        else:
            terminal.process.send_signal(number)
        assert await terminal.process.wait() == 128 + number
        await until(lambda: summary in " ".join(terminal.text.split()))
        await until(lambda: terminal.is_clean)
        assert "Traceback" not in terminal.text
        await until(lambda: terminal.screen.cursor.x == 0)
