"""``fastcoord tune``: wrong usage, unusable servers, and what is kept after an early end."""

import asyncio
import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fastcoord.cli import main
from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.oracles.sequence_header import has_events
from support.processes.command import start
from support.processes.finished import tune
from support.processes.measured import KEEP, LOAD, QUICK
from support.servers.certificates import Certificates
from support.servers.unusable import unused_address

pytest.importorskip("hdrh", reason="the extra bench is not installed")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the following arguments are required: --rate"),
        (["--rate", "5", "--memory", "lots"], "allowed is a size"),
        (["--rate", "5", "--resume"], "there is no fastcoord-tune.json to resume"),
        (["--rate", "5", "--arithmetic", "--report", "a.html"], "leave out --arithmetic"),
        (["missing.toml", "--rate", "5"], "there is no such file"),
        (["a.toml", "--rate", "5", "b.toml"], "one configuration is enough"),
        (["--rate", "5", "--state", "/dev/zero"], "/dev/zero is no regular file"),
        (["--rate", "5", "--seconds", "0"], "--seconds must be above zero"),
        (["--rate", "5", "--report", "-"], "--report needs a file"),
        (["--rate", "5", "--report", "nowhere/a.html"], "there is no directory nowhere"),
    ],
)
def test_wrong_usage_exits_with_2(
    words: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["tune", *words]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(
    ("mix", "kinds"),
    [
        ("EmailPush", "EmailPush"),
        ("AppEvent", "AppEvent of 40 bytes"),
        ("AppEvent=2,StateChange", "AppEvent of 40 bytes (2) and StateChange (1)"),
    ],
)
def test_answer_names_kinds_of_events(
    mix: str, kinds: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["tune", "--arithmetic", "--rate", "9", "--mix", mix]) == 0
    output = capsys.readouterr().out
    assert f"For 9 events/s of 1 node, one call an event, {kinds}:\n" in output


def test_impossible_memory_exits_with_1(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--arithmetic", "--rate", "30000", "--lone", "--outage", "10", "--memory", "1MB")
    assert main(["tune", *words]) == 1
    output = capsys.readouterr().out
    assert "allow more memory" in output.partition("These lines come closest")[0]
    assert "An event larger than 1,024 bytes is then refused (capacity.batch-bytes).\n" in output


def test_dead_server_exits_with_3(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(node_toml(unused_address()))
    done = tune("node.toml", *LOAD, cwd=tmp_path)
    assert done.returncode == 3
    assert "ConnectError" in done.stderr
    assert "--resume" not in done.stderr
    assert not (tmp_path / "fastcoord-tune.json").exists()


def test_wrong_certificate_exits_with_3(tmp_path: Path, certificates: Certificates) -> None:
    with LocalServer(tls=certificates.server.tls()) as server:
        (tmp_path / "node.toml").write_text(node_toml(server, tls={"enable": True}))
        done = tune("node.toml", *LOAD, cwd=tmp_path)
    assert done.returncode == 3
    assert "TlsError" in done.stderr


def test_outage_with_tls_exits_with_3(tmp_path: Path, certificates: Certificates) -> None:
    with LocalServer(tls=certificates.server.tls()) as server:
        tls = {"enable": True, "ca_file": str(certificates.ca)}
        (tmp_path / "node.toml").write_text(node_toml(server, tls=tls))
        done = tune("node.toml", "--rate", "100", "--outage", "1", cwd=tmp_path)
    assert done.returncode == 3
    assert "an outage cannot be made on a TLS connection" in done.stderr


def test_missing_right_exits_with_3(tmp_path: Path) -> None:
    rights = """
    authorization { users: [{
        user: node, password: secret, permissions: { publish: { deny: ["fastcoord.bench.>"] } }
    }] }
    """
    with LocalServer(extra_config=rights) as server:
        text = node_toml(server, user="node", password="secret")
        (tmp_path / "node.toml").write_text(text)
        done = tune("node.toml", *LOAD, cwd=tmp_path)
    assert done.returncode == 3
    assert "PermissionDenied" in done.stderr
    assert 'publish: { allow: ["fastcoord.bench.>"] }' in done.stderr


async def test_killed_server_keeps_runs(tmp_path: Path, server: LocalServer) -> None:
    (tmp_path / "node.toml").write_text(node_toml(server, max_reconnects=0))
    file = tmp_path / "state.json"
    words = ("tune", str(tmp_path / "node.toml"), *LOAD, *QUICK, "--state", str(file))
    async with start(*words, directory=tmp_path) as command:
        await command.prints("run 2,")
        server.kill()
        assert await command.wait() == 3
    kept = file.read_bytes()
    runs = len(json.loads(kept)["runs"])
    assert runs >= 1
    assert f"{runs} finished runs are kept, and --resume uses them" in command.err
    async with start(*words, directory=tmp_path) as command:
        assert await command.wait() == 3
    replaced = f"has {runs} finished runs of this load, which are replaced; with --resume"
    assert replaced in command.err
    assert file.read_bytes() == kept


@pytest.mark.parametrize(
    ("words", "text", "said"),
    [
        ((), "a diary", "was not written by fastcoord tune: "),
        (("--resume",), "a diary", "was not written by fastcoord tune: "),
        (("--resume",), '{"format": "fastcoord-tune-1",', "is damaged, or was written by another"),
        (("--report", "own.txt"), "a diary", "own.txt is needed twice"),
    ],
)
def test_other_file_is_not_replaced(
    words: tuple[str, ...],
    text: str,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "own.txt").write_text(text)
    assert main(["tune", "--rate", "5", "--state", "own.txt", *words]) == 2
    assert said in capsys.readouterr().err
    assert (tmp_path / "own.txt").read_text() == text


async def test_early_interrupt_keeps_earlier_runs(tmp_path: Path, server: LocalServer) -> None:
    is_held = asyncio.Event()

    async def hold(frame: Frame) -> Frame:
        """Keep the run of the second search from its end."""
        if is_held.is_set() and has_events(frame.header):
            await asyncio.get_running_loop().create_future()
        return frame

    file = tmp_path / "state.json"
    words = ("tune", str(tmp_path / "node.toml"), *LOAD, *QUICK, "--state", str(file))
    async with Proxy(server.host, server.port) as proxy:
        proxy.to_server.filter = hold
        (tmp_path / "node.toml").write_text(node_toml(proxy))
        async with start(*words, directory=tmp_path) as command:
            await command.prints("run 2,")
            command.process.send_signal(signal.SIGTERM)
            assert await command.wait() == 128 + signal.SIGTERM
        kept = file.read_bytes()
        runs = len(json.loads(kept)["runs"])
        assert runs >= 1
        assert f"fastcoord: interrupted after {runs} runs" in command.err
        is_held.set()
        async with start(*words, directory=tmp_path) as command:
            await command.prints("run 1,")
            command.process.send_signal(signal.SIGINT)
            assert await command.wait() == 128 + signal.SIGINT
        assert "which are replaced" in command.err
        assert file.read_bytes() == kept
    assert command.err.endswith("fastcoord: interrupted within the first run\n")
    with LocalServer() as other:
        (tmp_path / "node.toml").write_text(node_toml(other))
        async with start(*words, "--resume", directory=tmp_path) as command:
            assert await command.wait() == 2
    assert "is of another load, another server, other settings, another machine" in command.err


async def test_unwritable_state_costs_no_recommendation(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "state.json"
    file.parent.mkdir()
    words = ("tune", "--rate", "100", "--lone", *QUICK, *KEEP, "--state", str(file))
    async with start(*words, directory=tmp_path) as command:
        await command.prints("run 1,")
        shutil.rmtree(file.parent)
        assert await command.wait() == 0, command.err
    assert "The defaults suffice. There is nothing to change." in command.out
    assert command.err.count("state.json cannot be written: No such file or directory") == 1


WITHOUT_EXTRAS = """
import sys
for name in ("hdrh", "nats_server", "rich", "uvloop"):
    sys.modules[name] = None
from fastcoord.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["tune", "--arithmetic", "--rate", "30000", "--lone", "--stall", "3"], 0, "140000"),
        (["tune", "--rate", "10"], 3, "pip install 'fastcoord[bench]'"),
        (["bench", "--rate", "10"], 3, "pip install 'fastcoord[bench]'"),
        (["bench", "--loop", "uvloop"], 2, "pip install 'fastcoord[uvloop]'"),
    ],
)
def test_only_runs_need_extras(words: list[str], code: int, said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
    assert "not valid" not in done.stderr  # there was no run
    assert "Traceback" not in done.stderr
