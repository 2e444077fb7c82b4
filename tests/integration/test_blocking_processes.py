"""Blocking nodes in real processes: Ctrl-C, exits of the interpreter, and forks."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import fastcoord
from fastcoord import EmailPush, PeerDown, blocking
from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml
from support.processes.blocking_process import EVENTS

Cluster = dict[str, Any]
SCRIPT = Path(__file__).parents[1] / "support/processes/blocking_process.py"
PAGE = (Path(__file__).parents[2] / "docs" / "blocking.md").read_text("utf-8")
TIMEOUT = 120.0


@pytest.fixture
def config(shared_server: LocalServer, cluster: Cluster, tmp_path: Path) -> Path:
    path = tmp_path / "node.toml"
    path.write_text(node_toml(shared_server, cluster=cluster), encoding="utf-8")
    return path


@contextmanager
def running(config: Path, action: str, *options: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, *options, str(SCRIPT), str(config), action],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def run(config: Path, action: str, *options: str) -> tuple[int, str, str]:
    """Run an action to its end; return the exit status and the output."""
    with running(config, action, *options) as process:
        out, err = process.communicate(timeout=TIMEOUT)
        return process.returncode, out, err


def read(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line, process.communicate(timeout=TIMEOUT)[1]
    found: dict[str, Any] = json.loads(line)
    return found


def go_on(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.write("\n")
    process.stdin.flush()


def test_interrupt_ends_waiting_reader(config: Path) -> None:
    status, out, err = run(config, "interrupt_reading", "-W", "error")
    assert (status, err) == (0, "")
    assert json.loads(out) == {
        "found": ["KeyboardInterrupt"] * 3,
        "then": repr(EmailPush(1, 2, 3)),
    }


def test_interrupt_ends_waiting_publisher(
    server: LocalServer, cluster: Cluster, tmp_path: Path
) -> None:
    config = tmp_path / "node.toml"
    settings = {"client": 4, "batch_bytes": 1024}
    config.write_text(node_toml(server, cluster=cluster, capacity=settings), encoding="utf-8")
    with running(config, "interrupt_writing") as process:
        read(process)
        server.kill()
        go_on(process)
        found = read(process)
        assert found["found"] == ["KeyboardInterrupt"] * 2
        server.restart()
        go_on(process)
        # The call that was interrupted has not published its event.
        assert read(process) == dict.fromkeys(("accepted", "confirmed"), found["published"])
        assert process.wait(TIMEOUT) == 0


def test_interrupted_close_goes_on(server: LocalServer, cluster: Cluster, tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server, cluster=cluster), encoding="utf-8")
    with running(config, "interrupt_closing") as process:
        read(process)
        server.kill()
        go_on(process)
        assert read(process) == {"found": ["KeyboardInterrupt"]}
        server.restart()
        assert read(process) == {"confirmed": EVENTS}
        assert process.wait(TIMEOUT) == 0


def test_interrupt_ends_connect(tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"nats://127.0.0.1:{silent.getsockname()[1]}"
        config.write_text(
            f'[store."nats"]\ntype = "nats"\naddress = ["{address}"]\ntimeout.connection = "100s"\n'
            '[cluster]\ncoordinator = "nats"\n',
            encoding="utf-8",
        )
        started = time.monotonic()
        status, out, err = run(config, "interrupt_connecting", "-W", "error")
        assert (status, err) == (0, "")
        assert json.loads(out) == {"found": ["KeyboardInterrupt"], "threads": ["MainThread"]}
        assert time.monotonic() - started < 60


@pytest.mark.parametrize(
    ("action", "expected"),
    [("exit_at_end", 0), ("exit_with_error", 1), ("exit_in_thread", 3), ("exit_after_drop", 0)],
)
def test_exit_sends_accepted_events(config: Path, action: str, expected: int) -> None:
    with (
        blocking.connect(config, node_id=2) as receiver,
        receiver.subscribe(peers=True, timeout=TIMEOUT) as events,
    ):
        status, _, err = run(config, action)
        assert status == expected, err
        received = []
        for event in events:
            if isinstance(event, PeerDown):
                assert event.goodbye
                break
            if isinstance(event, EmailPush):
                received.append(event.email_id)
        assert received == list(range(EVENTS))
        assert receiver.stats().missed == {}


def test_exit_without_server_ends(server: LocalServer, cluster: Cluster, tmp_path: Path) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server, cluster=cluster), encoding="utf-8")
    with running(config, "exit_without_server") as process:
        read(process)
        server.kill()
        started = time.monotonic()
        go_on(process)
        assert process.wait(TIMEOUT) == 0
        assert 4 < time.monotonic() - started < 30
        assert process.stderr is not None
        assert f"closed with {EVENTS} events" in process.stderr.read()


@pytest.mark.parametrize(
    ("action", "options"),
    [("fork", ["-X", "dev"]), ("fork_and_unwind", []), ("fork_and_reconnect", [])],
)
def test_fork_does_not_disturb_parent(config: Path, action: str, options: list[str]) -> None:
    with (
        blocking.connect(config, node_id=2) as receiver,
        receiver.subscribe(timeout=TIMEOUT) as events,
    ):
        status, out, err = run(config, action, *options)
        assert (status, err) == (0, "")
        result = json.loads(out)
        assert set(result["child"].values()) == {
            "NodeClosed: forked: connect again in this process"
        }
        assert result["status"] == 7
        assert (result["confirmed"], result["reconnects"]) == (EVENTS + 1, 0)
        numbers: list[int] = []
        from_child = 0
        while len(numbers) < EVENTS + 1:
            event = events.next()
            assert isinstance(event, fastcoord.EmailPush), event
            if event.account_id == 3:
                from_child += 1
            else:
                numbers.append(event.email_id)
        assert numbers == list(range(EVENTS + 1))
        assert from_child == (action == "fork_and_reconnect")
        assert receiver.stats().missed == {}


def with_gevent(patched: str, program: str) -> subprocess.CompletedProcess[str]:
    """Run a program with some modules replaced by gevent.

    :param patched: the arguments of ``monkey.patch_all``.
    """
    pytest.importorskip("gevent")
    return subprocess.run(
        [
            sys.executable,
            "-c",
            f"from gevent import monkey; monkey.patch_all({patched})\n{program}",
        ],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def test_gevent_is_refused() -> None:
    done = with_gevent("", "from fastcoord import blocking; blocking.connect('x')")
    assert "FastcoordError: fastcoord.blocking runs an event loop in a thread" in done.stderr


def test_gevent_may_leave_modules(config: Path) -> None:
    (patched,) = re.findall(r"monkey\.patch_all\((.*?)\)", PAGE)
    program = f"""
from fastcoord import EmailPush
from fastcoord.blocking import connect
with connect({str(config)!r}, node_id=1) as one, connect({str(config)!r}, node_id=2) as two:
    with two.subscribe(timeout={TIMEOUT}) as events:
        one.publish(EmailPush(1, 2, 3))
        print(events.next())
"""
    done = with_gevent(patched, program)
    assert done.stdout == "EmailPush(account_id=1, email_id=2, change_id=3)\n", done.stderr


@pytest.mark.skipif(
    not sysconfig.get_config_var("Py_GIL_DISABLED"), reason="this Python always has the GIL"
)
def test_free_threaded_python_enables_gil() -> None:
    program = "import sys, fastcoord; fastcoord.EmailPush; print(sys._is_gil_enabled())"
    environment = {name: each for name, each in os.environ.items() if name != "PYTHON_GIL"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        env=environment,
        check=True,
    )
    assert done.stdout == "True\n"
    assert "RuntimeWarning: The global interpreter lock (GIL) has been enabled" in done.stderr
