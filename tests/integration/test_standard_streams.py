"""Commands whose standard streams are closed, are not in UTF-8, or hold no text."""

import asyncio
import fcntl
import json
import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from fastcoord.cli.arguments import COMMANDS
from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml
from support.wait import until

COMMAND = shlex.join((sys.executable, "-m", "fastcoord"))
ENCODINGS = ("ascii", "latin-1", "cp1252")


@pytest.fixture
def config(tmp_path: Path, server: LocalServer) -> Path:
    file = tmp_path / "node.toml"
    file.write_text(node_toml(server, cluster={"heartbeat": "200ms"}))
    return file


def shell(line: str, **variables: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        ["sh", "-c", line],
        capture_output=True,
        timeout=120,
        env={**os.environ, **variables},
        check=False,
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("publish {config} <&-", 0),
        ("publish {config} ReloadSettings --json >&-", 0),
        ("publish {config} ReloadSettings <&- >&- 2>&-", 0),
        ("check --connect {config} >&- 2>&-", 0),
        ("check {config} >&-", 0),
        ("init >&-", 0),
        ("decode 03002a0307 >&-", 0),
        ("decode <&-", 1),
    ],
)
def test_closed_streams_stop_no_command(config: Path, words: str, code: int) -> None:
    done = shell(f"{COMMAND} {words.format(config=shlex.quote(str(config)))}")
    assert b"Traceback" not in done.stderr
    assert done.returncode == code, done.stderr


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_help_suits_each_encoding(encoding: str) -> None:
    code = "import sys; from fastcoord.cli import main; sys.exit(any(map(main, %r)))"
    words = [[name, "--help"] for name in COMMANDS]
    done = shell(shlex.join((sys.executable, "-c", code % words)), PYTHONIOENCODING=encoding)
    assert done.stdout.count(b"usage: fastcoord ") == len(COMMANDS)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_json_suits_each_encoding(tmp_path: Path, config: Path, encoding: str) -> None:
    file = config.rename(tmp_path / "žluť-é.toml")
    done = shell(f"{COMMAND} check --json {shlex.quote(str(file))}", PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr
    sources = {json.loads(line)["source"] for line in done.stdout.splitlines()}
    assert f"{file}:3" in sources


def test_file_name_may_be_bytes(tmp_path: Path, config: Path) -> None:
    config.rename(os.fsdecode(bytes(tmp_path) + b"/\xff.toml"))
    for option in ("", "--json"):
        done = shell(
            f"cd {shlex.quote(str(tmp_path))}; {COMMAND} check {option} *.toml",
            PYTHONIOENCODING="utf-8:strict",
        )
        assert done.returncode == 0, done.stderr
        assert rb"\udcff.toml:3" in done.stdout


def test_binary_input_is_refused() -> None:
    done = shell(f"printf '\\377\\376' | {COMMAND} decode", PYTHONIOENCODING="utf-8:strict")
    assert done.returncode == 1
    assert done.stderr.startswith(b"fastcoord: standard input is not text")
    assert done.stderr.count(b"\n") == 1


def test_long_line_ends_publishing(config: Path) -> None:
    line = f"yes | tr -d '\\n' | {COMMAND} publish {shlex.quote(str(config))}"
    done = shell(line)
    assert done.returncode == 1
    assert b"fastcoord: a line of standard input is longer than" in done.stderr
    assert b"Traceback" not in done.stderr


async def test_nonblocking_input_is_read(config: Path, server: LocalServer) -> None:
    reader, writer = os.pipe()
    fcntl.fcntl(reader, fcntl.F_SETFL, os.O_NONBLOCK)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "fastcoord", "publish", str(config)),
        stdin=reader,
        stderr=subprocess.PIPE,
    )
    os.close(reader)
    # The pipe is empty when the command begins to read, which is before its first heartbeats.
    await until(lambda: server.varz()["in_msgs"] > 5)
    os.write(writer, b'{"type": "ReloadSettings"}\n')
    os.close(writer)
    _, error = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, error
    assert b"has confirmed 1 event on " in error


@pytest.mark.parametrize(
    "words",
    [
        "check user:hunter2@127.0.0.1:4222",
        "check nats:/user:hunter2@127.0.0.1:4222",
        "check nats://user:hunter2@127.0.0.1:x",
        "check node.toml nats://user:hunter2@127.0.0.1:4222",
        "publish node.toml nats://user:hunter2@127.0.0.1:4222",
        "publish node.toml 'nats://user:a hunter2@127.0.0.1:4222'",
        "publish node.toml nats://user:a@hunter2@127.0.0.1:4222",
    ],
)
def test_wrong_arguments_hide_logins(words: str) -> None:
    done = shell(f"{COMMAND} {words}")
    assert done.returncode in (1, 2)
    assert b"hunter2" not in done.stdout + done.stderr
    assert b"Traceback" not in done.stderr
