"""Hostile peers, servers and files cannot inject protocol lines or log lines, nor block a node."""

import logging
import re
import time
from pathlib import Path
from typing import Any

import pytest

import fastcoord
from fastcoord import CalendarAlert, ConfigError, ReloadSettings, parse_config
from fastcoord.presence.presence import PRESENCE_SID
from fastcoord.server import LocalServer
from support.cluster.accounting import accounted, collect
from support.cluster.nodes import node_toml
from support.cluster.plain_peer import PlainPeer
from support.inputs.questions import header, hmsg, who
from support.servers.scripted import ScriptedServer
from support.servers.unusable import refused
from support.servers.users import Operator, creds, make_pair, public
from support.wait import until

EXPECTED_LINE = re.compile(
    rb"(CONNECT \{.*\}|PING|PONG|SUB stwt\.agora(\.fastcoord(\.1\.\d+)?)? \d+"
    rb"|HPUB stwt\.agora(\.fastcoord(\.\d+\.\d+)?)?( stwt\.agora\.fastcoord(\.1\.\d+)?)? \d+ \d+"
    rb"|NATS/1\.0|F: ?\S+|Q:[\w.-]+"
    rb"|Nats-Trace-Dest:stwt\.agora\.fastcoord(\.1\.\d+)?|Nats-Trace-Only:true"
    rb"|[\x01\x06]*)\r\n"
)
PRESENCE = b"stwt.agora.fastcoord"
SEQUENCES = ["\x1b[2J\x1b[31m", "\r", "\x00", "\x85", "\u2028", "\u202e", "\x7f"]
"""Each ends a line, moves the cursor or reverses text on some terminal."""


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.DEBUG)
    return caplog


def assert_log_is_printable(log: pytest.LogCaptureFixture) -> None:
    for record in log.records:
        if record.name != "asyncio":
            assert record.getMessage().isprintable(), record
            assert record.exc_info is None, record
            assert len(record.getMessage()) < 1_000


# -------------------------------------------------------------------------------- reply subjects


@pytest.mark.parametrize(
    "reply",
    [
        b"stwt.agora",
        b"attack",
        b"$SYS.REQ.SERVER.PING",
        b"stwt.agora.fastcoord.2.8",
        b"stwt.agora.fastcoord.3.7",
        b"stwt.agora.fastcoord.2.7.more",
        b"stwt.agora.fastcoord.*.>",
        b"stwt.agora.fastcoord.2.7\rPUB",
        b"stwt.agora.fastcoord.2.7\tattack",
        b"stwt.agora.fastcoord.2.7\nPUB attack 0",
        b"stwt.agora.fastcoord.2.7\x00",
        b"\xff\xfe",
        b"stwt.agora.fastcoord.2.7 attack",
        b"x" * 3_000,
        b"stwt.agora.fastcoord.2." + b"9" * 400,
    ],
)
async def test_hostile_reply_subject_is_dropped(reply: bytes) -> None:
    async with ScriptedServer() as server:
        async with accounted(server, 1) as node:
            await until(lambda: server.lines)
            server.send(hmsg(PRESENCE_SID, PRESENCE, reply, *who(1)))
            # A valid question after it is answered, on this connection or on the next.
            answer = b"HPUB stwt.agora.fastcoord.2.7 "

            def is_answered() -> bool:
                server.send(hmsg(PRESENCE_SID, PRESENCE, b"stwt.agora.fastcoord.2.7", *who(1)))
                return any(line.startswith(answer) for line in server.lines)

            await until(is_answered)
            assert node.is_connected
        for line in server.lines:
            assert EXPECTED_LINE.fullmatch(line), line
        assert not any(b"attack" in line or b"$SYS" in line for line in server.lines)


@pytest.mark.parametrize(
    "question",
    [b"", b"1", b"1.", b".1", b"1.2", b"1.1.?", b"x" * 20 + b".1", b"1.1" + b".1" * 200],
)
async def test_malformed_question_gets_no_answer(question: bytes) -> None:
    reply = b"stwt.agora.fastcoord.2.7"
    async with ScriptedServer() as server, accounted(server, 1) as node:
        await until(lambda: server.lines)
        server.send(hmsg(PRESENCE_SID, PRESENCE, reply, header("w", question), b"\x02"))
        server.send(hmsg(PRESENCE_SID, PRESENCE, reply, *who(1, token=b"valid")))
        await until(lambda: any(line.startswith(b"Q:valid.") for line in server.lines))
        answers = [line for line in server.lines if line.startswith(b"HPUB " + reply)]
        assert len(answers) == 1
        assert node.stats().unanswered == (question != b"1.2")


# -------------------------------------------------------------------------------------------- logs


@pytest.mark.parametrize("sequence", SEQUENCES)
async def test_event_text_is_never_logged(
    shared_server: LocalServer,
    cluster: dict[str, Any],
    log: pytest.LogCaptureFixture,
    sequence: str,
) -> None:
    text = f"before{sequence}\nERROR forged line"
    async with (
        accounted(shared_server, 1, cluster=cluster) as sender,
        accounted(shared_server, 2, cluster=cluster, capacity={"subscription": 1}) as receiver,
        receiver.subscribe() as events,
        PlainPeer(shared_server.url, cluster["subject"]) as plain,
    ):
        for _ in range(5):
            await sender.publish(CalendarAlert(1, 2, None, text, text))
            await sender.flush()
        # Bytes that contain the text but are no batch, and a malformed header.
        await plain.publish(b"\x03\xff" + text.encode())
        await plain.publish(b"\x03\x00", header={"F": f"1ae1.2.{sequence}.4"})
        await until(lambda: receiver.stats().malformed == 2)
        await collect(events, 1)
    assert_log_is_printable(log)
    assert "forged" not in log.text


@pytest.mark.parametrize("sequence", SEQUENCES)
async def test_refusal_text_is_escaped(log: pytest.LogCaptureFixture, sequence: str) -> None:
    error = f"-ERR 'Authorization Violation {sequence} forged'\r\n".encode()
    async with ScriptedServer(greeting=error) as server:
        text, _, _ = await refused(server, timeout={"connection": "10s"})
    assert text.isprintable()
    assert_log_is_printable(log)


@pytest.mark.parametrize("sequence", SEQUENCES)
async def test_server_text_is_escaped(log: pytest.LogCaptureFixture, sequence: str) -> None:
    sent = sequence.replace("[", "")  # which begins an IPv6 address
    urls = [f"host{sent}x:1", f"host{sent}\nERROR forged:2", "evil\nhost:4222", ""]
    async with (
        ScriptedServer(server_name=f"a{sequence}\nb", connect_urls=urls) as server,
        accounted(server, 1) as node,
    ):
        for error in ("Permissions Violation for Publish to", "Stale", "Maximum Payload"):
            server.send(f"-ERR '{error} {sequence} forged'\r\n".encode())
        await node.flush()
        server.drop()
        await until(lambda: node.stats().reconnects)
        server.send(f"-ERR 'User Authentication Expired {sequence} forged'\r\n".encode())
        server.send(f"NONSENSE {sequence} forged\r\n".encode())
        server.drop()
        await until(lambda: node.stats().reconnects >= 2)
    assert log.records
    assert_log_is_printable(log)


@pytest.mark.parametrize(
    "url",
    ["127.0.0.1:99999", "127.0.0.1:x", "127.0.0.1:-1", "127.0.0.1", "a b:1", "@:1", ""],
)
async def test_malformed_server_urls_are_ignored(url: str) -> None:
    with LocalServer() as other:
        announced = [url, f"127.0.0.1:{other.port}"]
        async with ScriptedServer(connect_urls=announced) as server, accounted(server, 1) as node:
            server.close()
            await until(lambda: node.stats().server == f"127.0.0.1:{other.port}")


async def test_malformed_info_keeps_pongs(log: pytest.LogCaptureFixture) -> None:
    async with ScriptedServer(connect_urls=["[::1"]) as server, accounted(server, 1) as node:
        for field in (b'"connect_urls": ["[::1", "[x]:1"]', b'"max_payload": 1' + b"0" * 400):
            server.send(b"INFO {%s}\r\nPING\r\n" % field)
        await until(lambda: server.lines.count(b"PONG\r\n") == 2)
        assert node.stats().reconnects == 0
    assert_log_is_printable(log)


@pytest.mark.parametrize(
    "data",
    [
        b"MSG stwt.agora 1 99999999999999999999\r\n",
        b"MSG stwt.agora 1 -1\r\n\r\n",
        b"HMSG stwt.agora 1 20 10\r\n" + b"x" * 30,
        b"HMSG stwt.agora 1\r\n",
        b"\x00" * 100_000,
        b"MSG stwt.agora 1 2\r\n\x07\x06XXPING\r\n",
    ],
)
async def test_protocol_violation_causes_reconnect(
    log: pytest.LogCaptureFixture, data: bytes
) -> None:
    async with (
        ScriptedServer() as server,
        # A line without an end is noticed when the next PONG arrives.
        accounted(server, 1, cluster={"heartbeat": "200ms"}) as node,
        node.subscribe(kinds=[ReloadSettings]) as events,
    ):
        server.send(data)
        await until(lambda: node.stats().reconnects)
        server.send(b"MSG stwt.agora 1 2\r\n\x07\x05\r\n")
        received = await collect(events, 1)
        while received[-1] != ReloadSettings():
            assert isinstance(received[-1], fastcoord.Missed)
            received += await collect(events, 1)
    assert_log_is_printable(log)


# ------------------------------------------------------------------------------------- credentials


def damaged_credentials() -> dict[str, str]:
    operator = Operator()
    user, bearer = operator.user(), operator.bearer()
    jwt, seed = user.splitlines()[1], user.splitlines()[5]
    pair = make_pair(0xA0)
    return {
        "only blanks": " \n\t\n",
        "a word": "secret",
        "a path": "/etc/nats/node.creds",
        "a seed alone": seed,
        "a public key alone": public(pair),
        "a JWT of a user": jwt,
        "a JWT of two parts": bearer.rpartition(".")[0],
        "a JWT without a signature": bearer.rpartition(".")[0] + ".",
        "a JWT cut off": bearer.partition(".")[0] + "." + bearer.partition(".")[2][:40] + ".x",
        "dots": "." * 60_000,
        "the JWT block alone": user.partition("-----BEGIN USER")[0],
        "the seed block alone": "-----BEGIN USER" + user.partition("-----BEGIN USER")[2],
        "a seed cut off": user.replace(seed, seed[:-4]),
        "a seed with a wrong character": user.replace(seed, seed[:20] + "1" + seed[21:]),
        "a seed of another user": creds(jwt, pair),
        "only its markers": re.sub(r"^[^-].*$", "", user, flags=re.M),
        "an endless line": "A" * 1_000_000,
        "many lines": "-----BEGIN NATS USER JWT-----\n" * 20_000,
        "deep JSON": f"e30.{'W' * 50_000}.e30",
        "control characters": "\x1b[31m\x07",
    }


DAMAGED = damaged_credentials()


@pytest.mark.parametrize("name", DAMAGED)
def test_malformed_credentials_stay_secret(name: str, tmp_path: Path) -> None:
    text = DAMAGED[name]
    file = tmp_path / "node.creds"
    file.write_text(text, encoding="utf-8")
    config = node_toml([], address="localhost", credentials=f"%{{file:{file}}}%")
    started = time.perf_counter()
    with pytest.raises(ConfigError) as caught:
        parse_config(config)
    assert time.perf_counter() - started < 10
    message = str(caught.value)
    assert 'store."nats".credentials: ' in message
    assert message.isprintable()
    assert len(message) < 500
    assert not any(word in message for word in text.split() if len(word) > 20)
