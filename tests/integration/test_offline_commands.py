"""``fastcoord decode`` and ``fastcoord init``: captured payloads, and configurations that work."""

import base64
import json
import re
from pathlib import Path

import pytest

import fastcoord
from fastcoord.config import PROTOCOLS, parse_config
from fastcoord.config._settings import CLUSTER, STORE
from fastcoord.server import LocalServer
from support.cluster.nodes import joined
from support.cluster.plain_peer import PlainPeer
from support.processes.forked_command import run_command
from support.processes.in_process import run
from support.wait import until

EVENTS = [
    fastcoord.StateChange(account_id=7, change_id=42, types=9),
    fastcoord.ReloadSettings(),
]


# ------------------------------------------------------------------------------------ decode


async def test_captured_payload_is_decoded(tmp_path: Path, server: LocalServer) -> None:
    async with PlainPeer(server.url) as capture, joined(server, 3) as node:
        await node.publish(*EVENTS)
        await node.flush()
        await until(lambda: any(len(payload) > 1 for payload in capture.payloads))
    (payload,) = [payload for payload in capture.payloads if len(payload) > 1]
    decode = await run_command("decode", payload.hex())
    assert decode.code == 0
    assert decode.err == ""
    lines = decode.out.splitlines()
    assert lines[0].split() == [
        "stalwart-0.15",
        *f"node 3 2 events all {len(payload)} bytes".split(),
    ]
    assert [line.strip() for line in lines[1:3]] == [
        "StateChange account_id=7 change_id=42 types=Email,Mailbox",
        "ReloadSettings",
    ]
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == list(PROTOCOLS)
    assert "stalwart-0.16  node 3  1 event  stopped: malformed RegistryDelete at byte" in decode.out


@pytest.mark.parametrize("form", ["hex", "colons", "0x", "base64", "urlsafe", "lines"])
def test_each_text_form_is_read(form: str) -> None:
    payload = fastcoord.encode_batch(
        [fastcoord.AppEvent(1, b"\xfb\xff\xfe")], node_id=3, protocol="fastcoord-1"
    )
    text = {
        "hex": payload.hex(),
        "colons": payload.hex(":"),
        "0x": "0x" + payload.hex().upper(),
        "base64": base64.b64encode(payload).decode(),
        "urlsafe": base64.urlsafe_b64encode(payload).decode().rstrip("="),
        "lines": payload.hex(" ", 2).replace(" ", "\n") + "\n",
    }[form]
    done = run("decode", "--json", "--protocol", "fastcoord-1", text=text)
    assert done.returncode == 0
    assert ("it was read as base64" in done.stderr) == (form in ("base64", "urlsafe"))
    assert json.loads(done.stdout) == {
        "protocol": "fastcoord-1",
        "node_id": 3,
        "bytes": len(payload),
        "complete": True,
        "offset": None,
        "error": None,
        "events": [{"type": "AppEvent", "kind": 1, "payload": "+//+"}],
    }


def test_ambiguous_text_obeys_its_option() -> None:
    assert (
        json.loads(run("decode", "--json", "--hex", "0307", "--protocol", PROTOCOLS[0]).stdout)[
            "bytes"
        ]
        == 2
    )
    assert (
        json.loads(run("decode", "--json", "--base64", "0307", "--protocol", PROTOCOLS[0]).stdout)[
            "bytes"
        ]
        == 3
    )


def test_assumed_base64_is_reported() -> None:
    notice = "fastcoord: the payload is not hexadecimal: it was read as base64\n"
    assert run("decode", "zz").stderr == notice
    assert run("decode", "--base64", "zz").stderr == ""
    assert run("decode", "0307").stderr == ""


def test_unreadable_payload_exits_with_one() -> None:
    done = run("decode", "03ff")
    assert done.returncode == 1
    assert done.stdout.count("stopped: ") == len(PROTOCOLS)
    assert "unknown tag 255 at byte 1" in done.stdout
    line = json.loads(run("decode", "03ff", "--json", "--protocol", "stalwart-0.15").stdout)
    assert (line["complete"], line["offset"], line["events"]) == (False, 1, [])


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("zz!",), "the payload is not hexadecimal or base64: "),
        (("--hex", "0g"), "the payload is not hexadecimal: "),
        (("--base64", "a!"), "the payload is not base64: "),
        ((), "there is no payload"),
    ],
)
def test_wrong_text_is_reported(words: tuple[str, ...], reason: str) -> None:
    done = run("decode", *words)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"fastcoord: {reason}")
    assert done.stderr.count("\n") == 1


# -------------------------------------------------------------------------------------- init


@pytest.mark.parametrize("cluster", ["own", "stalwart"])
async def test_initial_configuration_connects(
    cluster: str, tmp_path: Path, server: LocalServer
) -> None:
    words = ("init", cluster, "--address", server.url, "--node-id", "90")
    init = await run_command(*words)
    assert init.code == 0
    config = tmp_path / "node.toml"
    config.write_text(init.out)
    check = await run_command("check", "--connect", str(config))
    assert check.code == 0, check.err
    loaded = fastcoord.load_config(config)
    assert loaded.cluster.node_id == 90
    assert loaded.cluster.protocol == {"own": "fastcoord-1", "stalwart": "stalwart-0.15"}[cluster]


@pytest.mark.parametrize("cluster", ["own", "stalwart"])
async def test_two_initial_configurations_differ(cluster: str, shared_server: LocalServer) -> None:
    # Two people prepare a node each, and neither has read about node ids.
    texts = [run("init", cluster, "--address", shared_server.url).stdout for _ in range(2)]
    subject = f'[cluster]\nsubject = "init.{cluster}"'
    first, second = (parse_config(text.replace("[cluster]", subject)) for text in texts)
    async with (
        fastcoord.connect(first) as one,
        fastcoord.connect(second) as other,
        one.subscribe() as events,
    ):
        assert one.node_id != other.node_id
        await other.publish(fastcoord.ReloadSettings())
        assert await anext(aiter(events)) == fastcoord.ReloadSettings()


def test_initial_node_id_is_checked() -> None:
    assert parse_config(run("init", "--node-id", "90").stdout).cluster.node_id == 90
    wrong = run("init", "--node-id", "other")
    assert (wrong.returncode, wrong.stdout) == (2, "")
    assert "'other' is not a whole number from 0 to 65,535" in wrong.stderr


def test_initial_configuration_has_each_setting() -> None:
    text = run("init").stdout
    keys = re.findall(r"^(?:# )?([a-z.-]+) = ", text, re.MULTILINE)
    assert keys == ["type", *STORE, *CLUSTER]


@pytest.mark.parametrize("cluster", ["own", "stalwart"])
def test_commented_defaults_change_nothing(cluster: str) -> None:
    text = run("init", cluster).stdout
    no_default = "user|password|credentials|stream|stream-domain|tls.[a-z]+-file"
    uncommented = re.sub(rf"^# (?!(?:{no_default}) )([a-z.-]+ = )", r"\1", text, flags=re.MULTILINE)
    assert uncommented != text
    assert parse_config(uncommented) == parse_config(text)


@pytest.mark.parametrize(
    "words",
    [
        ("--address", "tls://x:1,y:2"),
        ("--address", "tls://x:1", "--address", "tls://y:2"),
    ],
)
def test_several_initial_addresses_are_kept(words: tuple[str, ...]) -> None:
    nats = parse_config(run("init", *words).stdout).nats
    assert [(each.host, each.port, each.tls) for each in nats.address] == [
        ("x", 1, True),
        ("y", 2, True),
    ]


def test_initial_address_has_no_login() -> None:
    done = run("init", "--address", "nats://user:hunter2@x")
    assert (done.returncode, done.stdout) == (2, "")
    assert "cannot contain a user name or password" in done.stderr
    assert "hunter2" not in done.stderr


def test_wrong_initial_address_is_reported() -> None:
    done = run("init", "--address", "a:b:c")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith('fastcoord: --address: "a:b:c" was given;')
