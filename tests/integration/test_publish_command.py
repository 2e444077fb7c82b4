"""``fastcoord publish``: events by hand and from standard input, on real servers."""

import json
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import fastcoord
from fastcoord.cli.event_text import event_text
from fastcoord.cli.event_words import parse_event
from fastcoord.server import LocalServer
from support.cluster.nodes import joined, node_toml
from support.faults.proxy import Proxy
from support.inputs.samples import samples
from support.processes.command import start
from support.processes.in_process import run
from support.wait import until

STALWART = "stalwart-0.15"


@pytest.fixture
def config(tmp_path: Path, server: LocalServer) -> Path:
    file = tmp_path / "node.toml"
    file.write_text(node_toml(server, cluster={"heartbeat": "200ms"}))
    return file


def publish(config: Path, *words: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fastcoord", "publish", str(config), *words],
        input=text,
        stdin=None if text is not None else subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


async def test_published_event_is_received(
    tmp_path: Path, config: Path, server: LocalServer
) -> None:
    words = ("StateChange", "account_id=7", "change_id=0x2a", "types=Email,Mailbox")
    async with joined(server, 2) as node, node.subscribe() as events:
        async with start("publish", str(config), *words, directory=tmp_path) as command:
            assert await command.wait() == 0, command.err
        batch = await anext(aiter(events.batches()))
        assert list(batch) == [fastcoord.StateChange(7, 42, 9)]
        assert batch.node_id >= 16_384
    assert command.out == ""
    where = "stwt.agora (stalwart-0.15)"
    assert command.err == f"fastcoord: 127.0.0.1:{server.port} has confirmed 1 event on {where}\n"


async def test_peers_confirm_events(tmp_path: Path, config: Path, server: LocalServer) -> None:
    words = (str(config), "ReloadSettings", "--peers")
    async with joined(server, 2), joined(server, 3):
        async with start("publish", *words, directory=tmp_path) as command:
            assert await command.wait() == 0, command.err
        assert command.err.endswith("fastcoord: received by the fastcoord nodes: 2, 3\n")
        async with start("publish", *words, "--json", directory=tmp_path) as command:
            assert await command.wait() == 0, command.err
        assert json.loads(command.out)["peers"] == [2, 3]


def test_event_may_follow_options(config: Path) -> None:
    done = publish(
        config, "--json", "StateChange", "--node-id", "9", "account_id=7", "change_id=1", "types=1"
    )
    assert (done.returncode, json.loads(done.stdout)["published"]) == (0, 1), done.stderr
    wrong = publish(config, "--json", "ReloadSettings", "--pers")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "there is no argument '--pers' here, did you mean --peers?" in wrong.stderr


async def test_unconfirmed_peer_is_named(tmp_path: Path, server: LocalServer) -> None:
    config = tmp_path / "node.toml"
    config.write_text(node_toml(server, timeout={"request": "2s"}))
    async with (
        Proxy(server.host, server.port) as proxy,
        joined(server, 2),
        joined(proxy, 3) as deaf,
    ):
        await until(lambda: deaf.peers())
        proxy.to_client.filter = lambda frame: None if frame.is_message else frame
        words = (str(config), "ReloadSettings", "--peers", "--json")
        async with start("publish", *words, directory=tmp_path) as command:
            assert await command.wait() == 1
    assert json.loads(command.out)["missing"] == [3]
    assert command.err.startswith("fastcoord: ")
    assert "Traceback" not in command.err


def test_json_lines_are_published(config: Path, server: LocalServer, tmp_path: Path) -> None:
    events = [fastcoord.EmailPush(number, 1, 2) for number in range(3000)]
    lines = [
        json.dumps({"received_at": 1.5, "node_id": 3, **fastcoord.to_builtins(event)})
        for event in events
    ]
    lines.insert(5, '{"received_at": 1.5, "node_id": 3, "type": "PeerUp"}')
    lines.insert(9, "")
    done = publish(config, "--json", "--node-id", "12", "-", text="\n".join(lines))
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "published": 3000,
        "server": f"127.0.0.1:{server.port}",
    }


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "line 2: this is not JSON: Expecting property name"),
        ("[1]", "line 2: a JSON object is needed"),
        ('{"account_id": 7}', 'line 2: "type" is missing: the name of the event'),
        ('{"type": "Nonsense"}', "line 2: there is no event type 'Nonsense'"),
        ('{"type": "QueueRefresh"}', "line 2: "),
        ('{"type": []}', "line 2: there is no event type []"),
        ("[" * 100_000, "line 2: the JSON is nested too deeply"),
    ],
)
def test_first_wrong_line_ends_publishing(config: Path, line: str, reason: str) -> None:
    done = publish(
        config, text=f'{{"type": "ReloadSettings"}}\n{line}\n{{"type": "ReloadSettings"}}'
    )
    assert done.returncode == 1
    assert "has confirmed 1 event on " in done.stderr
    assert f"fastcoord: standard input, {reason}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["StateChang"], "there is no event 'StateChang', did you mean StateChange?"),
        (["StateChange", "account_id=7"], "StateChange: missing change_id=…, types=…"),
        (["ReloadSettings", "x=1"], "ReloadSettings: 'x=1' was given; the event takes no fields"),
        (
            ["StateChange", "account_id=x", "change_id=1", "types=1"],
            "StateChange: account_id: 'x' was given; a whole number is needed",
        ),
        (
            ["StateChange", "account_id=1", "change_id=1", "types=Emial"],
            "there is no data type 'Emial', did you mean Email?",
        ),
        (
            ["RegistryReload", "object=blockedip"],
            "there is no object 'blockedip', did you mean BlockedIp?",
        ),
        (["RegistryReload", "object=5x"], "there is no object '5x': choose from Account,"),
        (["StateChange", "account_id=-1", "change_id=1", "types=1"], "account_id"),
        (["StateChange", "account_id=1", "account_id=2"], "account_id was given twice"),
    ],
)
def test_wrong_event_is_wrong_usage(words: list[str], reason: str) -> None:
    # The event is read before the configuration.
    done = run("publish", "node.toml", *words)
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1


def test_publish_to_dead_server_fails(config: Path, server: LocalServer) -> None:
    server.kill()
    done = publish(config, "ReloadSettings")
    assert done.returncode == 1
    assert f"127.0.0.1:{server.port}" in done.stderr


def test_publish_without_right_fails(tmp_path: Path) -> None:
    users = (
        'authorization { users: [{user: "a", password: "b", '
        'permissions: {publish: {deny: ["stwt.>"]}}}] }'
    )
    file = tmp_path / "node.toml"
    with LocalServer(extra_config=users) as server:
        file.write_text(node_toml(server, user="a", password="b"))
        done = publish(file, "ReloadSettings")
    assert done.returncode == 1
    assert "stwt.agora" in done.stderr
    assert "Traceback" not in done.stderr


def test_unsupported_event_is_reported(config: Path) -> None:
    done = publish(config, "AppEvent", "kind=1", "payload=text:hello")
    assert done.returncode == 1
    assert "AppEvent" in done.stderr
    assert STALWART in done.stderr


@pytest.mark.parametrize("event", samples("fastcoord-1"), ids=lambda event: type(event).__name__)
def test_printed_event_can_be_published(event: fastcoord.Event) -> None:
    assert parse_event(shlex.split(event_text(event))) == event
