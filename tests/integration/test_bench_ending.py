"""How ``fastcoord bench`` ends after signals, and after the death of one of its processes."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import ANY

import pytest

from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.oracles.sequence_header import has_events
from support.processes.command import start
from support.processes.finished import is_fine_or_late
from support.processes.status import exists
from support.wait import until

pytest.importorskip("hdrh", reason="the extra bench is not installed")


CONNECTIONS = 2
"""The connections of a run: a publisher and a subscriber."""


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


def is_of_second_run(proxy: Proxy, frame: Frame) -> bool:
    """Return whether a frame has events that the second run of a sweep publishes."""
    return proxy.accepted > CONNECTIONS and has_events(frame.header)


async def test_sweep_keeps_runs_before_failure(tmp_path: Path, server: LocalServer) -> None:
    def fail(frame: Frame) -> Frame:
        if is_of_second_run(proxy, frame):
            proxy.refuse()
            proxy.cut()
        return frame

    file = tmp_path / "sweep.csv"
    words = ("bench", str(tmp_path / "node.toml"), "--rate", "300", "--csv", str(file))
    sweep = ("--seconds", "0.5", "--warm-up", "0.1", "--sweep", "capacity.client=64,128,256")
    async with Proxy(server.host, server.port) as proxy:
        proxy.to_server.filter = fail
        (tmp_path / "node.toml").write_text(node_toml(proxy, max_reconnects=0))
        async with start(*words, *sweep, directory=tmp_path) as command:
            assert await command.wait() == 3
    assert re.search(r"^ +64 ", command.out, re.M)
    assert len(file.read_text().splitlines()) == 3
    assert "a run is not valid: " in command.err  # the second run
    assert re.search(r"the run is not valid: .*127\.0\.0\.1", command.err)  # the third run


async def test_full_disk_is_named(tmp_path: Path) -> None:
    samples = "resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))"
    code = f"import resource, sys; {samples}; from fastcoord.cli import main; sys.exit(main())"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", code, "bench", "--rate", "3000", "--seconds", "1"),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    _, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 3
    assert b"the process ended: OSError: [Errno 27] File too large" in errors


async def test_killed_command_leaves_no_process(tmp_path: Path) -> None:
    busy = ("--flat-out", "--nowait", "--list", "100000")  # too busy to read its input
    async with start("bench", *busy, "--seconds", "600", directory=tmp_path) as command:
        await command.prints("measuring")
        started = children(command.process.pid)
        command.process.kill()
        await command.process.wait()
        await until(lambda: not any(map(exists, started)))
    assert len(os.listdir(tmp_path)) == 2
    async with start("bench", "--seconds", "0.1", directory=tmp_path) as command:
        assert is_fine_or_late(await command.wait(), command.err), command.err
    assert os.listdir(tmp_path) == []


def test_too_many_processes_are_named() -> None:
    limit = "resource.setrlimit(resource.RLIMIT_NOFILE, (24, 24))"
    code = f"import resource, sys; {limit}; from fastcoord.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-c", code, "bench", "--publishers", "8"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 3
    assert "a process cannot be started: [Errno 24] Too many open files" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("number", "phase"),
    [
        (signal.SIGTERM, "starting"),
        (signal.SIGINT, "measuring"),
        (signal.SIGTERM, "measuring"),
        (signal.SIGHUP, "measuring"),
    ],
)
async def test_signal_leaves_nothing(tmp_path: Path, number: int, phase: str) -> None:
    async with start("bench", "--rate", "500", "--seconds", "60", directory=tmp_path) as command:
        if phase == "starting":
            # Before it, there may be a file with which Python tries the temporary directory.
            await until(lambda: list(tmp_path.glob("fastcoord-server-*")))
        else:
            await command.prints("measuring")
        command.process.send_signal(number)
        assert await command.wait() == 128 + number
    assert os.listdir(tmp_path) == []
    assert "Traceback" not in command.err
    if phase == "measuring":
        assert re.search(r"received [1-9]", command.out)
        assert "interrupted: the figures are those up to then" in command.out


async def test_interrupted_run_keeps_older_result(tmp_path: Path) -> None:
    older, absent = tmp_path / "older.json", tmp_path / "new.csv"
    older.write_text("{}")
    latency = tmp_path / "latency.hgrm"
    latency.write_text("older")
    words = ("--rate", "500", "--seconds", "60", "--json", str(older), "--csv", str(absent))
    words += ("--hgrm", str(latency))
    (tmp_path / "servers").mkdir()
    async with start("bench", *words, directory=tmp_path / "servers") as command:
        await command.prints("measuring")
        command.process.send_signal(signal.SIGINT)
        assert await command.wait() == 130
    assert older.read_text() == "{}"
    assert f"{older} is kept: this run was interrupted" in command.err
    assert not latency.with_suffix(".uncorrected.hgrm").exists(), "the two files are of one run"
    assert ",False," in absent.read_text(), "the new file says that the run is not valid"


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


async def test_interrupt_ends_without_server(tmp_path: Path, server: LocalServer) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server, capacity={"client": 8}))
    words = ("bench", str(config), "--rate", "5000", "--lone", "--seconds", "60")
    async with start(*words, directory=tmp_path) as command:
        await command.prints("measuring")
        server.freeze()
        command.process.send_signal(signal.SIGINT)
        assert await command.wait() == 130
        server.thaw()
    # The publisher waits for the server, and its figures are printed all the same.
    assert re.search(r"^sent [1-9]", command.out, re.M)
    assert re.search(r"^publisher 1 ", command.out, re.M)


async def test_interrupted_sweep_prints_runs(tmp_path: Path, server: LocalServer) -> None:
    async def delay(frame: Frame) -> Frame:
        """Keep the second run from its end."""
        if is_of_second_run(proxy, frame):
            await asyncio.get_running_loop().create_future()
        return frame

    file = tmp_path / "sweep.csv"
    words = ("bench", str(tmp_path / "node.toml"), "--rate", "300", "--csv", str(file))
    sweep = ("--seconds", "0.5", "--warm-up", "0.1", "--sweep", "capacity.client=64,128,256")
    async with Proxy(server.host, server.port) as proxy:
        proxy.to_server.filter = delay
        (tmp_path / "node.toml").write_text(node_toml(proxy))
        async with start(*words, *sweep, directory=tmp_path) as command:
            await command.prints("capacity.client = 128: measuring")
            command.process.send_signal(signal.SIGINT)
            assert await command.wait() == 130
    assert re.findall(r"^ +(\d+) .* ([\d.]+|not valid)$", command.out, re.M) == [
        ("64", ANY),
        ("128", "not valid"),
    ]
    assert len(file.read_text().splitlines()) == 3
