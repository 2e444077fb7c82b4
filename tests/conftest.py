"""Fixtures of all tests; this file also puts ``tests/`` on the import path."""

import asyncio
import inspect
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from types import FrameType

import pytest
from hypothesis import settings

from fastcoord import _codec
from fastcoord.server import LocalCluster, LocalServer
from support.scale import repeats
from support.servers.certificates import Certificates
from support.wait import until

# Set to test a particular build: the tests must not run on another one by mistake.
_build = os.environ.get("FASTCOORD_BUILD")
if _build is not None and not _codec.__file__.startswith(_build):
    raise RuntimeError(f"the tests were to run on {_build}, but import {_codec.__file__}")

# Every test run tries the same examples, so that a failure is due to a change and not to chance.
# FASTCOORD_HYPOTHESIS=thorough tries many more, different ones each time.
settings.register_profile(
    "repeatable", derandomize=True, database=None, deadline=None, max_examples=100
)
settings.register_profile("thorough", deadline=None, max_examples=5_000)
settings.load_profile(os.environ.get("FASTCOORD_HYPOTHESIS", "repeatable"))


# FASTCOORD_LOOP=uvloop runs the asynchronous tests on uvloop.
if os.environ.get("FASTCOORD_LOOP") == "uvloop":

    def pytest_asyncio_loop_factories() -> dict[str, Callable[[], asyncio.AbstractEventLoop]]:
        """Select uvloop for pytest-asyncio."""
        import uvloop

        return {"uvloop": uvloop.new_event_loop}


TIME_LIMIT = repeats(300, long=3600)
"""Seconds; only a test that hangs takes so long."""


@pytest.fixture(autouse=True)
def _hung_test_fails() -> Iterator[None]:
    def fail(number: int, frame: FrameType | None) -> None:
        pytest.fail(f"the test did not end within {TIME_LIMIT} s")

    before = signal.signal(signal.SIGALRM, fail)
    signal.setitimer(signal.ITIMER_REAL, TIME_LIMIT)
    yield
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.fixture
def server() -> Iterator[LocalServer]:
    """A new server for one test, which may kill or reconfigure it."""
    with LocalServer() as running:
        yield running


@pytest.fixture(scope="session")
def shared_server() -> Iterator[LocalServer]:
    """A server for tests that only send messages; each uses its own subject."""
    with LocalServer() as running:
        yield running


@pytest.fixture
def jetstream_server() -> Iterator[LocalServer]:
    """A new server with JetStream for one test, which may kill or reconfigure it."""
    with LocalServer(jetstream=True) as running:
        yield running


@pytest.fixture(scope="session")
def shared_jetstream_server() -> Iterator[LocalServer]:
    """A server with JetStream for tests that each use their own stream and subject."""
    with LocalServer(jetstream=True) as running:
        yield running


@pytest.fixture(scope="session")
def shared_jetstream_cluster() -> Iterator[LocalCluster]:
    """Three servers with JetStream, for tests that stop none of them."""
    with LocalCluster(3, jetstream=True) as running:
        yield running


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """Certificates of a private authority, valid and invalid ones."""
    return Certificates.make(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(autouse=True)
def _tasks_end_with_their_test(request: pytest.FixtureRequest) -> None:
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_no_task_is_left")


@pytest.fixture
async def _no_task_is_left() -> AsyncIterator[None]:
    yield
    own = asyncio.current_task()
    # Tasks that were just cancelled still have to end.
    await until(
        lambda: asyncio.all_tasks() == {own},
        timeout=120.0,
        because=f"every task of the test has ended: {asyncio.all_tasks() - {own}}",
    )


@pytest.fixture(scope="session", autouse=True)
def _no_server_is_left() -> Iterator[None]:
    yield
    left = [pid for pid in _children(os.getpid()) if _name(pid) == "nats-server"]
    assert not left, f"servers that a test has started and not stopped: {left}"


def _children(parent: int) -> list[int]:
    lists = Path(f"/proc/{parent}/task").glob("*/children")
    return [int(pid) for each in lists for pid in each.read_text().split()]


def _name(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text().strip()
    except OSError:
        return ""  # the process has ended meanwhile
