"""``fastcoord bench`` as a process, on real servers."""

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest

from fastcoord.server import LocalCluster, LocalServer
from support.cluster.nodes import node_toml
from support.cluster.plain_peer import PlainPeer
from support.faults.frames import Frame
from support.faults.freezing import freeze
from support.faults.proxy import Proxy
from support.oracles.sequence_header import read_header
from support.processes.command import start
from support.servers.certificates import Certificates
from support.servers.unusable import unused_address

pytest.importorskip("hdrh", reason="the extra bench is not installed")

ATTEMPTS = 4
"""Other processes of a busy machine delay events by more than a tenth of a stall."""

SHORT = ("--seconds", "1", "--warm-up", "0.2")


def bench(*words: str, timeout: float = 120) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fastcoord", "bench", *words],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of a short run on a bundled server."""
    file = tmp_path_factory.mktemp("bench") / "result.json"
    done = bench("--rate", "500", "--lone", "--json", str(file), *SHORT)
    assert done.returncode == 0, done.stderr
    assert "missed 0, duplicated 0, out of order 0" in done.stdout
    assert re.search(r"^corrected +[\d.]+ ms", done.stdout, re.M)
    assert "Traceback" not in done.stderr
    return file


def test_result_accounts_for_events(result: Path) -> None:
    found = json.loads(result.read_bytes())
    assert found["valid"] is True
    assert found["sent"] == found["received"] == found["expected"] == 600
    assert found["corrected"]["samples"] == 500
    assert found["publishers"][0]["confirmed"] == 600
    for side in (*found["publishers"], *found["subscribers"]):
        assert side["memory_peak"] > 5_000_000
        assert 0.01 < side["cpu_seconds"] < 2
        assert side["event_loop"] == "asyncio"
    assert found["settings"]["capacity.client"] == 2048


def test_other_forms_are_written(tmp_path: Path) -> None:
    files = {name: tmp_path / f"result.{name}" for name in ("csv", "hgrm")}
    words = [word for name, file in files.items() for word in (f"--{name}", str(file))]
    done = bench("--rate", "300", "--list", "10", "--read", "batches", *SHORT, *words)
    assert done.returncode == 0, done.stderr
    header, row = files["csv"].read_text().splitlines()
    figures = dict(zip(header.split(","), row.split(","), strict=True))
    assert (figures["sent"], figures["missed"], figures["style"]) == ("360", "0", "list")
    highest = []
    for file in (files["hgrm"], tmp_path / "result.uncorrected.hgrm"):
        match = re.search(r"^#\[Max +=\s+([\d.]+)", file.read_text(), re.M)
        assert match is not None
        highest.append(float(match[1]))
    corrected, uncorrected = highest
    assert corrected >= uncorrected > 0
    assert corrected == pytest.approx(float(figures["max"]), rel=0.01)


def test_json_on_output_is_alone(result: Path) -> None:
    mix = "StateChange=3,CacheInvalidate=1,AppEvent"
    done = bench("--rate", "200", "--mix", mix, "--json", "-", *SHORT)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["load"]["mix"]["StateChange"] == 3
    assert "missed 0" in done.stderr


def test_missed_objective_exits_with_1() -> None:
    done = bench("--rate", "200", "--objective", "p50<1us,missed=0", *SHORT)
    assert done.returncode == 1, done.stderr
    assert "objective p50<1us: missed" in done.stdout
    assert "objective missed=0: met" in done.stdout


def test_impossible_rate_exits_with_3() -> None:
    done = bench("--rate", "50000000", "--seconds", "0.5", "--warm-up", "0")
    assert done.returncode == 3
    problem = (
        r"could not keep up: [\d,]+ of 25,000,000 events were published; choose a smaller rate"
    )
    assert re.search(problem, done.stderr)


def test_uvloop_runs_both_sides() -> None:
    pytest.importorskip("uvloop")
    done = bench("--rate", "200", "--loop", "uvloop", *SHORT, "--json", "-")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    sides = [*found["publishers"], *found["subscribers"]]
    assert {each["event_loop"] for each in sides} == {"uvloop"}


def test_overflow_is_counted() -> None:
    words = ("--rate", "2000", "--lone", "--stall", "0.5", "--set", "capacity.subscription=100")
    done = bench(*words, "--seconds", "1.5", "--warm-up", "0.2", "--json", "-")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["missed"] == found["reported"]["overflow"] > 300
    assert found["high_water_messages"] == 100


def test_flat_out_delivers_everything() -> None:
    words = ("--flat-out", "--publishers", "2", "--subscribers", "2", "--json", "-")
    done = bench(*words, "--seconds", "0.5", "--warm-up", "0")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["corrected"] is None
    assert found["received"] == found["expected"] == 2 * found["sent"] > 2000


def test_stream_delivers_everything(tmp_path: Path) -> None:
    words = ("--stream", "--rate", "300", "--lone", "--seconds", "2", "--warm-up", "0.2")
    with LocalServer(jetstream=True) as server:
        config = config_file(tmp_path, node_toml(server))
        done = bench(config, *words, "--json", "-")
        assert done.returncode == 0, done.stderr
        assert server.monitor("jsz")["streams"] == 0, "the stream was not deleted"
    found = json.loads(done.stdout)
    assert (found["stream"], found["missed"]) == (True, 0)
    assert found["received"] == found["expected"] == 660
    assert 5 < found["bytes_per_message"] < 20


def test_stream_keeps_messages_of_stall() -> None:
    words = ("--stream", "--rate", "500", "--lone", "--stall", "0.5", "--seconds", "1.5")
    done = bench(*words, "--warm-up", "0.2", "--set", "capacity.subscription=20", "--json", "-")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["missed"], found["high_water_messages"]) == (0, 20)
    assert found["corrected"]["max"] > 400


def test_stream_needs_jetstream(tmp_path: Path, shared_server: LocalServer) -> None:
    done = bench(config_file(tmp_path, node_toml(shared_server)), "--stream", *SHORT)
    assert done.returncode == 3
    assert "JetStream" in done.stderr


def test_sweep_prints_each_value(tmp_path: Path) -> None:
    file = tmp_path / "sweep.csv"
    words = ("--rate", "300", "--sweep", "capacity.batch-bytes=1KB,16KB", "--csv", str(file))
    done = bench(*words, *SHORT)
    assert done.returncode == 0, done.stderr
    assert re.findall(r"^ +([\d,]+) +\d+ ", done.stdout, re.M) == ["1,024", "16,384"]
    assert len(file.read_text().splitlines()) == 3


# ----------------------------------------------------------------- latency from the schedule


def p99(*words: str) -> tuple[float, float]:
    """Return the corrected and the uncorrected p99 in milliseconds; stalls last 8 % of the run."""
    done = bench("--rate", "500", "--seconds", "6", *words, "--json", "-")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return tuple(found[name]["percentiles"]["99"] for name in ("corrected", "uncorrected"))


def test_generator_stall_shows_in_corrected() -> None:
    for _ in range(ATTEMPTS):
        corrected, uncorrected = p99("--generator-stall", "500ms")
        assert corrected > 300
        if corrected >= 10 * uncorrected:
            break
    assert corrected >= 10 * uncorrected


def test_consumer_stall_shows_in_both() -> None:
    assert min(p99("--stall", "500ms")) > 300


# -------------------------------------------------------------------------------- wrong usage


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--rate", "5", "--flat-out"], "exclude each other"),
        (["--mix", "ReloadSettings"], "has no field for the number"),
        (["--mix", "StateChang"], "did you mean StateChange"),
        (["--objective", "p98<5ms"], "is not an objective"),
        (["--set", "capacity.client=0"], "allowed is"),
        (["--stall", "30"], "--seconds must be at least"),
        (["--mix", "AppEvent", "--protocol", "stalwart-0.15"], "has no AppEvent"),
        (["missing.toml"], "there is no such file"),
        (["--seconds", "nan"], "is not a time"),
        (["--stall", "-1"], "is not a time"),
        (["--rate", "0.1", "--publishers", "4"], "--seconds must be at least 60.0"),
        (["--seconds", "0"], "--seconds must be above zero"),
        (["--subject", "a b"], "is no subject"),
        (["--json", "nowhere/a.json"], "there is no directory nowhere"),
        (["--sweep", "capacity.client=8", "--csv", "."], "it is a directory"),
        (["--json", "-", "--csv", "-"], "only one result"),
        (["--objective", "p99<1.2.3ms"], "is not an objective"),
        (["compare", "one.json"], "compare takes two files"),
        (["compare", __file__, __file__], "is not a result of fastcoord bench"),
        (["compare", "one.json", "two.json", "--fail", "p99:1.2.3%"], "is not a limit"),
        (["compare", "one.json", "two.json"], "cannot be read"),
    ],
)
def test_wrong_usage_exits_with_2(words: list[str], said: str) -> None:
    done = bench(*words)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


# ---------------------------------------------------------------------------- unusable servers


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
        assert 'publish: { allow: ["fastcoord.bench.>"] }' in done.stderr
        assert "or choose another place with --subject" in done.stderr
        allowed = bench(config, "--subject", "other", "--rate", "100", *SHORT)
    assert allowed.returncode == 0, allowed.stderr


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
        assert await command.wait() == 0, command.err
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
    config = config_file(tmp_path, node_toml(server))
    words = ("bench", config, "--rate", "200", "--seconds", "5")
    async with start(*words, directory=tmp_path) as command:
        await command.prints("measuring")
        server.kill()
        server.start()
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
        words = ("bench", config, "--rate", "200", "--lone", *SHORT, "--json", "-")
        async with start(*words, directory=tmp_path) as command:
            assert await command.wait() == 0, command.err
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
        words = ("bench", config, "--rate", "200", "--lone", *SHORT)
        async with start(*words, directory=tmp_path) as command:
            assert await command.wait() == 0, command.err
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
    words = ("bench", config, "--rate", "200", "--seconds", "30")
    async with start(*words, directory=tmp_path) as command:
        await command.prints("measuring")
        server.kill()
        assert await command.wait() == 3
    assert "the run is not valid" in command.err


# ------------------------------------------------------------------------------------- Ctrl-C


async def test_interrupt_prints_summary(tmp_path: Path) -> None:
    words = ("bench", "--rate", "500", "--seconds", "60")
    async with start(*words, directory=tmp_path) as command:
        await command.prints("measuring")
        command.process.send_signal(signal.SIGINT)
        assert await command.wait() == 130
    assert "interrupted: the figures are those up to then" in command.out
    assert re.search(r"received [1-9]", command.out)
    assert "Traceback" not in command.err


async def test_interrupt_ends_without_server(tmp_path: Path, server: LocalServer) -> None:
    config = config_file(tmp_path, node_toml(server, capacity={"client": 8}))
    words = ("bench", config, "--rate", "5000", "--lone", "--seconds", "60")
    async with start(*words, directory=tmp_path) as command:
        await command.prints("measuring")
        await freeze(server)
        command.process.send_signal(signal.SIGINT)
        assert await command.wait() == 130
        server.thaw()
    # The publisher waits for the server, and its figures are printed all the same.
    assert re.search(r"^sent [1-9]", command.out, re.M)
    assert re.search(r"^publisher 1 ", command.out, re.M)


async def test_interrupted_sweep_prints_runs(tmp_path: Path) -> None:
    file = tmp_path / "sweep.csv"
    words = ("bench", "--rate", "300", "--seconds", "3", "--warm-up", "0.2", "--csv", str(file))
    sweep = ("--sweep", "capacity.client=64,128,256")
    async with start(*words, *sweep, directory=tmp_path) as command:
        await command.prints("capacity.client = 128: measuring")
        command.process.send_signal(signal.SIGINT)
        assert await command.wait() == 130
    assert re.findall(r"^ +(\d+) .* ([\d.]+|not valid)$", command.out, re.M) == [
        ("64", ANY),
        ("128", "not valid"),
    ]
    assert len(file.read_text().splitlines()) == 3


# ------------------------------------------------------------------------------------ compare


def changed(source: Path, folder: Path, **values: Any) -> str:
    found = json.loads(source.read_bytes())
    for percentile in found["corrected"]["percentiles"]:
        found["corrected"]["percentiles"][percentile] *= values.get("slower", 1.0)
    found["valid"] = values.get("valid", True)
    found["load"] |= values.get("load", {})
    found["stream"] = values.get("stream", False)
    file = folder / "changed.json"
    file.write_text(json.dumps(found))
    return str(file)


def test_compare_reports_changes(result: Path, tmp_path: Path) -> None:
    slower = changed(result, tmp_path, slower=1.2)
    assert bench("compare", str(result), slower).returncode == 0
    assert bench("compare", str(result), slower, "--fail", "p99:30%").returncode == 0
    done = bench("compare", str(result), slower, "--fail", "p99:10%")
    assert done.returncode == 1
    assert re.search(r"^p99 .*\+20.0 % +worse than allowed", done.stdout, re.M)
    assert bench("compare", slower, str(result), "--fail", "p99:10%").returncode == 0


def test_compare_names_other_load(result: Path, tmp_path: Path) -> None:
    other = changed(result, tmp_path, load={"seed": 7, "read": "batches"}, stream=True)
    done = bench("compare", str(result), other)
    assert done.returncode == 0
    assert "note: the loads differ: read events / batches, seed 1 / 7\n" in done.stdout
    assert "note: only one of the runs used a stream\n" in done.stdout


def test_compare_refuses_invalid_runs(result: Path, tmp_path: Path) -> None:
    invalid = changed(result, tmp_path, valid=False)
    done = bench("compare", str(result), invalid, "--fail", "p99:10%")
    assert done.returncode == 3
    assert "is not valid" in done.stderr
