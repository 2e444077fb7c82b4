"""What docs/streams.md says, on real servers."""

import json
import re
from pathlib import Path

import pytest
from nats.js.api import AckPolicy, ConsumerConfig

import fastcoord
from fastcoord.nats.jetstream import REMEDIES
from fastcoord.server import LocalServer
from support.cluster.plain_peer import PlainPeer
from support.cluster.stalwart_player import StalwartPlayer
from support.inputs.vectors import VECTORS
from support.processes.forked_command import run_command

PAGE = (Path(__file__).parents[2] / "docs" / "streams.md").read_text("utf-8")


def config_file(folder: Path, server: LocalServer, settings: str = "") -> Path:
    (toml,) = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    file = folder / "node.toml"
    store = f'[store."nats"]\ntype = "nats"\naddress = "{server.url}"\n{settings}\n'
    file.write_text(store + toml)
    return file


async def run(action: str, file: Path, *words: str) -> tuple[int, str]:
    code, out, err = await run_command("stream", action, str(file), *words)
    return code, out + err


async def test_documented_rights_suffice(tmp_path: Path) -> None:
    (accounts,) = re.findall(r"```\n(accounts \{.*?)```", PAGE, re.DOTALL)
    with LocalServer(jetstream=True, extra_config=accounts) as server:
        file = config_file(tmp_path, server, 'user = "operator"\npassword = "change-me"')
        for action in ("create", "check", "info"):
            code, text = await run(action, file)
            assert code == 0, text
        with pytest.raises(fastcoord.PermissionDenied):
            await fastcoord.connect(fastcoord.load_config(file))
        file = config_file(tmp_path, server, 'user = "node"\npassword = "change-me"')
        config = fastcoord.load_config(file)
        async with (
            fastcoord.connect(config, node_id=1) as one,
            fastcoord.connect(config, node_id=2) as two,
            two.subscribe() as events,
        ):
            await one.publish(fastcoord.ReloadSettings())
            await one.flush()
            assert await anext(events) == fastcoord.ReloadSettings()
            async with two.subscribe(since=0) as replayed:
                assert await anext(replayed) == fastcoord.ReloadSettings()
            stats = two.stats().stream
            assert stats is not None
            assert (stats.is_receiving, stats.trouble) == (True, None)
        code, text = await run("create", file, "--max-age", "2h")
        assert code == 1
        assert "permit this user to publish on $JS.API.STREAM.CREATE.AGORA" in text
    refused = [line for line in server.log.splitlines() if "Violation" in line]
    assert [line for line in refused if "user:node" in line and "STREAM.CREATE" not in line] == []
    assert refused


async def test_documented_defaults_are_used(tmp_path: Path, jetstream_server: LocalServer) -> None:
    rows = dict(re.findall(r"^\| ([a-z ]+) \| `?([^`|]*?)`?[ ,|]", PAGE, re.MULTILINE))
    _, text = await run("create", config_file(tmp_path, jetstream_server), "--json")
    made = json.loads(text)
    assert rows["retention"] == made["retention"]
    assert rows["discard"] == made["discard"]
    assert rows["storage"] == made["storage"]
    assert (rows["max age"], made["max_age"]) == ("1h", 3600)
    assert (rows["max bytes"], made["max_bytes"]) == ("1GB", 1024**3)
    assert (rows["duplicate window"], made["duplicate_window"]) == ("2m", 120)
    assert (made["max_message_size"], made["num_replicas"]) == (None, 1)


async def test_documented_size_is_right(jetstream_server: LocalServer) -> None:
    (in_file, in_memory) = re.search(
        r"subject and (\d+) bytes \((\d+) bytes in memory", PAGE
    ).groups()
    async with PlainPeer(jetstream_server.url) as peer:
        for storage, more in (("file", in_file), ("memory", in_memory)):
            jetstream = peer.client.jetstream()
            await jetstream.add_stream(name=storage, subjects=[storage], storage=storage)
            await jetstream.publish(storage, bytes(1000))
            state = (await jetstream.stream_info(storage)).state
            assert state.bytes == 1000 + len(storage) + int(more)


async def test_stream_stores_stalwart_messages(
    tmp_path: Path, jetstream_server: LocalServer
) -> None:
    vectors = [vector for vector in VECTORS if vector.name.startswith("stalwart-0.15")][:300]
    await run("create", config_file(tmp_path, jetstream_server))
    async with (
        StalwartPlayer(jetstream_server.url) as stalwart,
        PlainPeer(jetstream_server.url) as peer,
    ):
        await stalwart.publish(*(vector.payload for vector in vectors))
        jetstream = peer.client.jetstream()
        unacknowledged = ConsumerConfig(ack_policy=AckPolicy.NONE)
        reader = await jetstream.subscribe("stwt.agora", config=unacknowledged, manual_ack=True)
        stored = [(await reader.next_msg(timeout=60)).data for _ in vectors]
    assert stored == [vector.payload for vector in vectors]


def test_documented_errors_exist() -> None:
    documented = {int(code) for code in re.findall(r"\(error (\d+)\)", PAGE)}
    assert documented
    assert documented <= set(REMEDIES)
