"""``fastcoord bench`` on servers that fail, refuse, or lose messages; and where it publishes."""

import json
import re
from pathlib import Path

import pytest

from fastcoord.server import LocalCluster, LocalServer
from support.cluster.nodes import node_toml
from support.cluster.plain_peer import PlainPeer
from support.faults.frames import Frame
from support.faults.proxy import Proxy
from support.oracles.sequence_header import has_events, read_header
from support.processes.command import start
from support.processes.finished import bench, is_fine_or_late
from support.servers.certificates import Certificates
from support.servers.unusable import unused_address

pytest.importorskip("hdrh", reason="the extra bench is not installed")


SHORT = ("--seconds", "0.5", "--warm-up", "0.1")


def config_file(folder: Path, text: str) -> str:
    file = folder / "node.toml"
    file.write_text(text)
    return str(file)


def test_dead_server_exits_with_3(tmp_path: Path) -> None:
    done = bench(config_file(tmp_path, node_toml(unused_address())), *SHORT)
    assert done.returncode == 3
    assert "the run is not valid: ConnectError" in done.stderr


def test_wrong_certificate_exits_with_3(tmp_path: Path, certificates: Certificates) -> None:
    with LocalServer(tls=certificates.server.tls()) as server:
        text = node_toml(server, tls={"enable": True})
        done = bench(config_file(tmp_path, text), *SHORT)
    assert done.returncode == 3
    assert "TlsError" in done.stderr


def test_missing_right_exits_with_3(tmp_path: Path) -> None:
    rights = """
    authorization { users = [{
        user: node, password: secret,
        permissions: { publish: { deny: ["fastcoord.bench.>"] } }
    }] }
    """
    with LocalServer(extra_config=rights) as server:
        config = config_file(tmp_path, node_toml(server, user="node", password="secret"))
        done = bench(config, *SHORT)
        assert done.returncode == 3
        assert "PermissionDenied" in done.stderr
        # The last part of the subject is random.
        assert done.stderr.count('publish: { allow: ["fastcoord.bench.>"] }') == 1
        assert "presence-subject" not in done.stderr
        assert "or choose another place with --subject" in done.stderr
        allowed = bench(config, "--subject", "other", "--rate", "100", *SHORT)
    assert allowed.returncode == 0, allowed.stderr


def test_stream_needs_jetstream(tmp_path: Path, shared_server: LocalServer) -> None:
    done = bench(config_file(tmp_path, node_toml(shared_server)), "--stream", *SHORT)
    assert done.returncode == 3
    assert "JetStream" in done.stderr


def test_configured_subject_is_refused(tmp_path: Path, shared_server: LocalServer) -> None:
    done = bench(config_file(tmp_path, node_toml(shared_server)), "--subject", "stwt")
    assert done.returncode == 2
    assert "must not use the subject of the cluster" in done.stderr


@pytest.mark.parametrize("stream", [False, True])
async def test_only_own_subjects_carry_messages(
    tmp_path: Path, jetstream_server: LocalServer, stream: bool
) -> None:
    configured = {"subject": "stwt.agora", "presence_subject": "stwt.presence", "stream": "AGORA"}
    config = config_file(tmp_path, node_toml(jetstream_server, cluster=configured))
    words = ("--rate", "200", *SHORT, *(["--stream"] if stream else []))
    async with (
        PlainPeer(jetstream_server.url, ">") as peer,
        start("bench", config, *words, directory=tmp_path) as command,
    ):
        assert is_fine_or_late(await command.wait(), command.err), command.err
        await peer.flush()
    subjects = {each.subject for each in peer.messages}
    seen = {each for each in subjects if not each.startswith(("_INBOX.", "$JS."))}
    assert seen
    assert {each for each in seen if not each.startswith("fastcoord.bench.")} == set()
    assert ("the configuration has a stream, but" in command.err) is not stream


def test_url_instead_of_file_is_accepted(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    with LocalServer(users={"node": "hunter2"}) as server:
        url = server.url.replace("://", "://node:hunter2@")
        done = bench("--rate", "100", *SHORT, "--protocol", "fastcoord-1", url, "--json", str(file))
    assert done.returncode == 0, done.stderr
    assert "hunter2" not in done.stdout + done.stderr + file.read_text()


async def test_broken_connection_exits_with_3(tmp_path: Path, server: LocalServer) -> None:
    is_broken = False

    def break_once(frame: Frame) -> Frame:
        nonlocal is_broken
        if has_events(frame.header) and not is_broken:
            is_broken = True
            proxy.cut()
        return frame

    async with Proxy(server.host, server.port) as proxy:
        proxy.to_server.filter = break_once
        config = config_file(tmp_path, node_toml(proxy, cluster={"heartbeat": "500ms"}))
        words = ("bench", config, "--rate", "200", *SHORT)
        async with start(*words, directory=tmp_path) as command:
            assert await command.wait() == 3
    assert "the run is not valid: connections broke 2 times" in command.err


async def test_unanswered_creation_leaves_no_stream(tmp_path: Path) -> None:
    answers = 0

    def lose(frame: Frame) -> Frame | None:
        nonlocal answers
        if b"stream_create_response" in frame.payload:
            answers += 1
            return None
        return frame

    with LocalServer(jetstream=True) as server:
        async with Proxy(server.host, server.port) as proxy:
            proxy.to_client.filter = lose
            config = config_file(tmp_path, node_toml(proxy, timeout={"request": "1s"}))
            words = ("bench", config, "--stream", "--rate", "200", *SHORT)
            async with start(*words, directory=tmp_path) as command:
                assert await command.wait() == 3
        assert answers == 1
        assert server.monitor("jsz")["streams"] == 0


async def test_lost_messages_end_run(tmp_path: Path, server: LocalServer) -> None:
    lost: list[int] = []
    messages = 0

    def lose(frame: Frame) -> Frame | None:
        nonlocal messages
        numbers = read_header(frame.header)
        if isinstance(numbers, tuple) and numbers[2]:
            messages += 1
            if messages % 20 == 0:
                lost.append(numbers[2])
                return None
        return frame

    async with Proxy(server.host, server.port) as proxy:
        proxy.to_client.filter = lose
        config = config_file(tmp_path, node_toml(proxy))
        words = ("bench", config, "--rate", "400", "--lone", *SHORT, "--json", "-")
        async with start(*words, directory=tmp_path) as command:
            assert is_fine_or_late(await command.wait(), command.err), command.err
    found = json.loads(command.out)
    assert found["missed"] == found["reported"]["gap"] == sum(lost) > 5


async def test_loss_without_number_ends_run(tmp_path: Path, server: LocalServer) -> None:
    lost = 0

    def lose(frame: Frame) -> Frame | None:
        """Lose all messages after some time, also the heartbeats that would report how many."""
        nonlocal lost
        if frame.is_message and (lost or proxy.to_client.frames > 100):
            lost += 1
            return None
        return frame

    async with Proxy(server.host, server.port) as proxy:
        proxy.to_client.filter = lose
        config = config_file(tmp_path, node_toml(proxy, cluster={"heartbeat": "500ms"}))
        words = ("bench", config, "--rate", "400", "--lone", *SHORT)
        async with start(*words, directory=tmp_path) as command:
            status = await command.wait()
    # Whether a busy machine delays the publishers is not the matter of this test.
    assert is_fine_or_late(status, command.err), command.err
    assert re.search(r"missed 1\d\d,", command.out), command.out
    assert "reported as missed: without a number: 1 × gap" in command.out
    assert "note: some events neither arrived nor were reported as missed" in command.out


def test_outage_in_cluster_exits_with_3(tmp_path: Path) -> None:
    with LocalCluster(2) as servers:
        config = config_file(tmp_path, node_toml(servers.servers[0]))
        words = ("--rate", "200", "--outage", "1", "--seconds", "2", "--warm-up", "0.2")
        done = bench(config, *words)
    assert done.returncode == 3, done.stdout
    assert "publishers connected to another server of the cluster" in done.stderr


async def test_killed_server_exits_with_3(tmp_path: Path, server: LocalServer) -> None:
    config = config_file(tmp_path, node_toml(server, max_reconnects=0))
    words = ("bench", config, "--rate", "200", "--seconds", "30", "--warm-up", "0")
    async with start(*words, directory=tmp_path) as command:
        await command.prints("measuring")
        server.kill()
        assert await command.wait() == 3
    assert "the run is not valid" in command.err
