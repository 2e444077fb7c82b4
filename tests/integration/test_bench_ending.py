"""How ``fastcoord bench`` ends after signals, and after the death of one of its processes."""

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest

from support.processes.command import start
from support.processes.status import exists
from support.wait import until

pytest.importorskip("hdrh", reason="the extra bench is not installed")


def children(pid: int) -> list[int]:
    return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


async def test_killed_process_alone_is_blamed(tmp_path: Path) -> None:
    words = ("bench", "--rate", "500", "--seconds", "30", "--subscribers", "2")
    async with start(*words, directory=tmp_path) as command:
        await command.prints("measuring")
        os.kill(children(command.process.pid)[1], signal.SIGKILL)
        assert await command.wait() == 3
    (problem,) = re.findall(r"not valid: (.*)", command.err)
    assert re.fullmatch(r"subscriber \d: the process ended: exit code -9", problem)
    assert re.search(r"^sent [1-9]", command.out, re.M)
    assert re.search(r"^publisher 1 ", command.out, re.M)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("phase", ["starting", "measuring"])
async def test_signal_leaves_nothing(tmp_path: Path, number: int, phase: str) -> None:
    async with start("bench", "--rate", "500", "--seconds", "60", directory=tmp_path) as command:
        if phase == "starting":
            await until(lambda: bool(os.listdir(tmp_path)), because="the server has a directory")
        else:
            await command.prints("measuring")
        command.process.send_signal(number)
        assert await command.wait() == 130
    assert os.listdir(tmp_path) == []
    assert "Traceback" not in command.err


async def test_third_interrupt_leaves_nothing(tmp_path: Path) -> None:
    async with start("bench", "--rate", "500", "--seconds", "60", directory=tmp_path) as command:
        await command.prints("measuring")
        worker = children(command.process.pid)[-1]
        os.kill(worker, signal.SIGSTOP)  # so that the cleanup lasts
        for _ in range(3):
            command.process.send_signal(signal.SIGINT)
            await asyncio.sleep(0.1)  # the kernel combines signals that come faster
        assert await command.wait() == 130
    assert not exists(worker)
    assert os.listdir(tmp_path) == []
    assert command.err.count("Traceback") == 0
