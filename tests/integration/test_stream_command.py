"""``fastcoord stream``, on real servers that are fit and unfit for it."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from fastcoord.server import LocalCluster, LocalServer
from support.cluster.nodes import node_toml
from support.cluster.plain_peer import PlainPeer
from support.processes.command import start
from support.processes.forked_command import run_command
from support.servers.unusable import unused_address
from support.wait import until

ACCOUNTS = """
jetstream { store_dir: "%s" }
accounts {
  WITH { jetstream: enabled, users: [ { user: a, password: b } ] }
  WITHOUT { users: [ { user: c, password: d } ] }
}
"""
LIMITED = """
authorization { users: [
  { user: a, password: b, permissions: {
      publish: ["$JS.API.STREAM.INFO.>", "x"], subscribe: "_INBOX.>" } }
] }
"""


async def run(action: str, config: Path, *words: str) -> tuple[int, str, str]:
    """Run ``fastcoord stream``; return its exit status, standard output and standard error."""
    return await run_command("stream", action, str(config), *words)


def write(folder: Path, servers: Any, name: str = "AGORA", **settings: Any) -> Path:
    cluster = {"stream": name, "subject": f"events.{name}", **settings.pop("cluster", {})}
    file = folder / f"{name}.toml"
    file.write_text(node_toml(servers, cluster=cluster, **settings))
    return file


async def add(server: LocalServer, name: str, **settings: Any) -> None:
    """Create a stream by another client."""
    async with PlainPeer(server.url) as peer:
        settings = {"subjects": [f"events.{name}"], "duplicate_window": 120, **settings}
        await peer.client.jetstream().add_stream(name=name, **settings)


async def test_created_stream_can_be_used(
    tmp_path: Path, shared_jetstream_server: LocalServer
) -> None:
    file = write(tmp_path, shared_jetstream_server, "MADE")
    words = ("--storage", "memory", "--max-age", "6h", "--max-bytes", "64MB")
    code, out, err = await run("create", file, *words, "--duplicate-window", "5m", "--json")
    assert (code, err) == (0, "")
    made = json.loads(out)
    assert made["subjects"] == ["events.MADE"]
    assert (made["storage"], made["num_replicas"], made["discard"]) == ("memory", 1, "old")
    assert (made["max_age"], made["max_bytes"], made["duplicate_window"]) == (21600, 1 << 26, 300)
    async with PlainPeer(shared_jetstream_server.url) as peer:
        kept = (await peer.client.jetstream().stream_info("MADE")).config
        assert (kept.retention, kept.no_ack, kept.allow_direct) == ("limits", False, True)
    code, out, _ = await run("check", file)
    assert code == 0
    assert "the stream MADE at 127.0.0.1:" in out
    assert "advice: the stream is stored in the memory of one server" in out


async def test_url_names_stream(
    tmp_path: Path, shared_jetstream_server: LocalServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = shared_jetstream_server.url
    monkeypatch.setenv("FASTCOORD_STREAM", "BY_URL")
    monkeypatch.setenv("FASTCOORD_SUBJECT", "events.by_url")
    for action in ("create", "info", "check"):
        async with start("stream", action, url, directory=tmp_path) as command:
            assert await command.wait() == 0, command.err
        assert "BY_URL" in command.out


async def test_second_creation_compares_settings(
    tmp_path: Path, shared_jetstream_server: LocalServer
) -> None:
    file = write(tmp_path, shared_jetstream_server, "TWICE")
    assert (await run("create", file))[0] == 0
    assert (await run("create", file))[0] == 0
    code, out, err = await run("create", file, "--max-age", "2h", "--max-bytes", "0")
    assert (code, out) == (1, "")
    assert "exists with other settings (max age 1h, not 2h; max bytes 1073741824, not unl" in err
    assert err.count("\n") == 1


async def test_info_shows_messages(tmp_path: Path, shared_jetstream_server: LocalServer) -> None:
    file = write(tmp_path, shared_jetstream_server, "SHOWN")
    await add(shared_jetstream_server, "SHOWN", max_msgs=2)
    async with PlainPeer(shared_jetstream_server.url) as peer:
        for _ in range(5):
            await peer.client.jetstream().publish("events.SHOWN", b"12345")
        await peer.client.jetstream().subscribe("events.SHOWN")
        code, out, _ = await run("info", file)
        shown = json.loads((await run("info", file, "--json"))[1])
    assert code == 0
    rows = dict(line.split(None, 1) for line in out.replace(" sequence", "_seq").splitlines())
    assert rows["messages"] == "2"
    assert rows["first_seq"].startswith("4 at 20")
    assert (shown["messages"], shown["first_sequence"], shown["last_sequence"]) == (2, 4, 5)
    assert (shown["consumers"], shown["max_messages"], shown["max_age"]) == (1, 2, None)
    assert shown["bytes"] > 10


async def test_check_reports_each_problem(
    tmp_path: Path, shared_jetstream_server: LocalServer
) -> None:
    file = write(tmp_path, shared_jetstream_server, "UNFIT")
    await add(
        shared_jetstream_server,
        "UNFIT",
        subjects=["events.UNFIT", "events.UNFIT.>"],
        retention="interest",
        discard="new",
        no_ack=True,
        duplicate_window=1,
        max_msg_size=1000,
        max_consumers=3,
    )
    code, out, err = await run("check", file)
    assert (code, err) == (1, "")
    lines = out.splitlines()
    problems = [line for line in lines if line.startswith("problem: ")]
    assert len(problems) == out.count("  remedy: ") - out.count("advice: ") == 7
    for word in ("heartbeats", "interest", "discard new", "no_ack", "duplicate window of 1s"):
        assert word in out
    assert "  remedy: nats stream edit UNFIT --dupe-window=1m" in lines
    found = json.loads((await run("check", file, "--json"))[1])
    assert [f"problem: {each['what']}" for each in found["problems"]] == problems


async def test_advised_edit_solves_problem(
    tmp_path: Path, shared_jetstream_server: LocalServer
) -> None:
    file = write(tmp_path, shared_jetstream_server, "MENDED", cluster={"max_age": "10m"})
    await add(shared_jetstream_server, "MENDED")
    assert "--dupe-window=10m" in (await run("check", file))[1]
    async with PlainPeer(shared_jetstream_server.url) as peer:
        jetstream = peer.client.jetstream()
        config = (await jetstream.stream_info("MENDED")).config
        await jetstream.update_stream(config.evolve(duplicate_window=600))
    assert (await run("check", file))[0] == 0


async def test_connected_check_reports_stream(
    tmp_path: Path, shared_jetstream_server: LocalServer
) -> None:
    file = write(tmp_path, shared_jetstream_server, "TRIED")
    words = ("check", "--connect", str(file))
    code, out, err = await run_command(*words)
    assert code == 1
    assert out.splitlines()[-1].startswith("  stream          failed   JetStream: stream not f")
    assert "make it with 'fastcoord stream create FILE'" in err
    assert (await run("create", file))[0] == 0
    code, out, err = await run_command(*words)
    assert code == 0, err
    assert "  stream          ok       TRIED stores the events" in out.splitlines()


async def test_missing_stream_names_command(
    tmp_path: Path, shared_jetstream_server: LocalServer
) -> None:
    file = write(tmp_path, shared_jetstream_server, "NOWHERE")
    for action in ("info", "check"):
        code, out, err = await run(action, file)
        assert (code, out) == (1, "")
        assert err == (
            "fastcoord: JetStream: stream not found (error 10059): make it with"
            " 'fastcoord stream create FILE'\n"
        )


async def test_unset_stream_is_reported(tmp_path: Path, shared_server: LocalServer) -> None:
    file = tmp_path / "node.toml"
    file.write_text(node_toml(shared_server))
    code, _, err = await run("info", file)
    assert code == 1
    assert "cluster.stream is not set" in err


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (("--replicas", "9"), "choose from"),
        (("--max-age", "2x"), "'2x' is not a duration such as"),
        (("--max-bytes", "x"), "'x' was given; allowed is a size"),
        (("--max-age", "1m", "--duplicate-window", "2m"), "cannot be longer than --max-age"),
        (("--max-age", "59s"), "--max-age cannot be shorter than cluster.max-age (60 s), for"),
        (("--duplicate-window", "5s"), "--duplicate-window cannot be shorter than cluster.max-age"),
        (("--storag", "file"), "no argument '--storag' here, did you mean --storage?"),
    ],
)
async def test_wrong_option_is_named(
    tmp_path: Path, shared_server: LocalServer, words: tuple[str, ...], expected: str
) -> None:
    code, out, err = await run("create", write(tmp_path, shared_server), *words)
    assert (code, out) == (2, "")
    assert expected in err
    assert err.count("\n") == 1


# ------------------------------------------------------------------------- unfit servers


async def test_server_without_jetstream_is_named(
    tmp_path: Path, shared_server: LocalServer
) -> None:
    file = write(tmp_path, shared_server)
    for code, _, err in await asyncio.gather(
        *(run(action, file) for action in ("create", "info", "check"))
    ):
        assert code == 1
        assert err.startswith("fastcoord: the server has no JetStream: enable it")


async def test_account_without_jetstream_is_named(tmp_path: Path) -> None:
    with LocalServer(extra_config=ACCOUNTS % (tmp_path / "storage")) as server:
        assert (await run("create", write(tmp_path, server, user="a", password="b")))[0] == 0
        code, _, err = await run("info", write(tmp_path, server, user="c", password="d"))
        assert code == 1
        assert "not enabled for account (error 10039): enable JetStream for the account" in err


async def test_missing_right_is_named(tmp_path: Path) -> None:
    with LocalServer(jetstream=True, extra_config=LIMITED) as server:
        file = write(tmp_path, server, user="a", password="b")
        code, _, err = await run("create", file)
        assert code == 1
        assert 'publish: { allow: ["$JS.API.STREAM.CREATE.AGORA"] }' in err
        assert "stream not found" in (await run("info", file))[2]


async def test_small_storage_is_named(tmp_path: Path) -> None:
    with LocalServer(jetstream=True, max_file_storage=1 << 20) as server:
        file = write(tmp_path, server)
        code, _, err = await run("create", file)
        assert code == 1
        assert "(error 10047): the server has less storage than the stream reserves" in err
        assert (await run("create", file, "--max-bytes", "512KB"))[0] == 0


async def test_taken_subject_is_named(tmp_path: Path, shared_jetstream_server: LocalServer) -> None:
    await add(shared_jetstream_server, "OTHER", subjects=["events.TAKEN"])
    code, _, err = await run("create", write(tmp_path, shared_jetstream_server, "TAKEN"))
    assert code == 1
    assert "(error 10065): another stream stores this subject" in err


async def test_dead_server_is_named(tmp_path: Path) -> None:
    code, _, err = await run("check", write(tmp_path, unused_address()))
    assert code == 1
    assert "no NATS server could be joined" in err


async def test_single_server_stores_one_replica(
    tmp_path: Path, shared_jetstream_server: LocalServer
) -> None:
    file = write(tmp_path, shared_jetstream_server, "SINGLE")
    code, _, err = await run("create", file, "--replicas", "3")
    assert code == 1
    assert "(error 10074): a single server stores one replica only" in err


# ------------------------------------------------------------------------------ clusters


async def test_cluster_stores_three_replicas(
    tmp_path: Path, shared_jetstream_cluster: LocalCluster
) -> None:
    file = write(tmp_path, shared_jetstream_cluster.servers)
    code, out, _ = await run("create", file, "--json")
    assert code == 0
    made = json.loads(out)
    names = {made["leader"], *(replica["name"] for replica in made["replicas"])}
    assert names == {"local-1", "local-2", "local-3"}

    async def is_current() -> bool:
        return "replicas that" not in (await run("check", file))[1]

    await until(is_current)
    assert (await run("check", file))[0] == 0


async def test_pair_of_servers_stores_one_replica(tmp_path: Path) -> None:
    with LocalCluster(2, jetstream=True) as pair:
        code, out, err = await run("create", write(tmp_path, pair.servers), "--json")
        assert (code, json.loads(out)["num_replicas"]) == (0, 1), err
        assert "one server stores the stream" in (await run("check", tmp_path / "AGORA.toml"))[1]


async def test_missing_leader_is_named(tmp_path: Path) -> None:
    with LocalCluster(3, jetstream=True) as cluster:
        file = write(tmp_path, cluster.servers, timeout={"request": "1s"})
        assert (await run("create", file))[0] == 0
        leader = json.loads((await run("info", file, "--json"))[1])["leader"]
        # The leader would answer for ten seconds more, so it is not the one that is left.
        others = [each for each in cluster.servers if each.settings.name != leader]
        for server in cluster.servers:
            if server is not others[0]:
                server.kill()

        async def is_leaderless() -> bool:
            code, out, err = await run("check", file)
            return code == 1 and "leader" in out + err

        await until(is_leaderless)
