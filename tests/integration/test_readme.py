"""The examples of the README are run; only the address of the server is replaced."""

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

import fastcoord
from fastcoord import ReloadBlockedIps, StateChange
from fastcoord.server import LocalServer
from support.cluster.nodes import joined
from support.cluster.plain_peer import PlainPeer
from support.oracles.sequence_header import write_header
from support.wait import until

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text("utf-8")
ADDRESS = "nats.example.org:4222"
PASSWORD = "correct horse"
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def block(language: str, number: int = 0) -> str:
    found = [text for written, text in FENCE.findall(README) if written == language]
    assert len(found) > number, f"the README shows {len(found)} blocks of {language}"
    return str(found[number])


@pytest.fixture
def folder(server_with_users: LocalServer, tmp_path: Path) -> Path:
    toml = block("toml")
    assert ADDRESS in toml
    (tmp_path / "node.toml").write_text(toml.replace(ADDRESS, server_with_users.url), "utf-8")
    (tmp_path / "node.py").write_text(block("python"), "utf-8")
    return tmp_path


@pytest.fixture
def server_with_users(monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalServer]:
    monkeypatch.setenv("NATS_PASSWORD", PASSWORD)
    with LocalServer(users={"node": PASSWORD}) as running:
        yield running


@asynccontextmanager
async def the_program(folder: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    program = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-X", "dev", "-W", "error", "node.py"),
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        yield program
    finally:
        if program.returncode is None:
            program.send_signal(signal.SIGINT)
        _, said = await program.communicate()
        # Ctrl-C ends this program, and causes the only error that it prints.
        assert said.decode().rstrip().endswith("KeyboardInterrupt"), said.decode()


async def next_line(program: asyncio.subprocess.Process) -> str:
    assert program.stdout is not None
    return (await asyncio.wait_for(program.stdout.readline(), 120)).decode().rstrip("\n")


async def test_program_exchanges_events(server_with_users: LocalServer, folder: Path) -> None:
    async with (
        joined(server_with_users, 9, user="node", password=PASSWORD) as peer,
        peer.subscribe() as events,
        the_program(folder) as program,
    ):
        first = await asyncio.wait_for(anext(aiter(events.batches())), 120)
        assert (first.node_id, list(first)) == (5, [StateChange(7, 42, 1)])
        await peer.publish(*first)
        assert await next_line(program) == "account 7 has changed"


async def test_program_receives_missed(server_with_users: LocalServer, folder: Path) -> None:
    payload = fastcoord.encode_batch([ReloadBlockedIps()], node_id=3, protocol="stalwart-0.15")
    async with (
        PlainPeer(server_with_users.url, user="node", password=PASSWORD) as peer,
        the_program(folder) as program,
    ):
        await until(lambda: any(not is_empty(each) for each in peer.payloads))
        await peer.publish(payload, header={"F": write_header(77, 0)})
        await peer.publish(payload, header={"F": write_header(77, 6)})
        assert await next_line(program) == "5 lost: gap"


def is_empty(payload: bytes) -> bool:
    return len(fastcoord.decode_batch(payload, protocol="stalwart-0.15")) == 0


def test_program_has_ten_lines() -> None:
    assert len([line for line in block("python").splitlines() if line.strip()]) == 10


def test_error_matches_readme(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(block("toml", 1), "utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "fastcoord", "check", "bad.toml"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (1, "", block("text"))


def test_readme_commands_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = set(re.findall(r"^make ([a-z-]+)", block("sh"), re.MULTILINE))
    assert named
    assert named <= targets
