"""The test helpers themselves, above all the proxy that many tests rely on."""

import asyncio
import random

import pytest

from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml
from support.cluster.plain_peer import PlainPeer
from support.faults.damage import Damage
from support.faults.frames import Frame, FrameParser
from support.faults.proxy import Proxy
from support.wait import until

STREAM = (
    b"CONNECT {}\r\nPUB a.b 2\r\n\r\n\r\nHPUB a.b re 12 15\r\nNATS/1.0\r\n\r\nxyz\r\n"
    b"MSG a 7 0\r\n\r\nHMSG a 7 re 12 12\r\nNATS/1.0\r\n\r\n\r\nPING\r\n"
)


def frames_of(data: bytes, *, chunk: int) -> list[Frame | bytes]:
    parser = FrameParser()
    chunks = [data[start : start + chunk] for start in range(0, len(data), chunk)]
    return [frame for each in chunks for frame in parser.feed(each)]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1000])
def test_frames_are_whole_in_any_chunks(chunk: int) -> None:
    frames = frames_of(STREAM, chunk=chunk)
    assert [frame.verb for frame in frames] == ["CONNECT", "PUB", "HPUB", "MSG", "HMSG", "PING"]
    assert b"".join(frame.raw for frame in frames) == STREAM
    header = b"NATS/1.0\r\n\r\n"
    assert [(f.subject, f.sid, f.reply, f.header, f.payload) for f in frames[1:5]] == [
        ("a.b", "", "", b"", b"\r\n"),
        ("a.b", "", "re", header, b"xyz"),
        ("a", "7", "", b"", b""),
        ("a", "7", "re", header, b""),
    ]


def test_altered_frame_has_fitting_sizes() -> None:
    plain, with_header = frames_of(STREAM, chunk=1000)[1:3]
    assert plain.alter(payload=b"abc").raw == b"PUB a.b 3\r\nabc\r\n"
    assert with_header.alter(payload=b"").raw == b"HPUB a.b re 12 12\r\nNATS/1.0\r\n\r\n\r\n"
    assert with_header.alter(header=b"").raw == b"PUB a.b re 3\r\nxyz\r\n"
    assert with_header.alter().raw == with_header.raw


def test_tls_bytes_pass_unparsed() -> None:
    hello = b"\x16\x03\x01\x00\x05hello"
    assert frames_of(b"PING\r\n" + hello, chunk=1000)[1:] == [hello]


def test_seed_repeats_damage() -> None:
    data = b"".join(b"PUB a 1\r\n%d\r\n" % (number % 10) for number in range(200))
    frames = frames_of(data, chunk=64)
    runs = []
    for _ in range(2):
        damage = Damage(random.Random(7), drop=0.1, duplicate=0.1, swap=0.1, alter=0.1)
        runs.append([out.raw for frame in frames for out in damage(frame)])
        done = (damage.dropped, damage.duplicated, damage.swapped, damage.altered)
        assert all(done)
    assert runs[0] == runs[1]
    assert len(runs[0]) == 200 - len(damage.dropped) + len(damage.duplicated)


async def test_proxy_forwards_both_ways(shared_server: LocalServer) -> None:
    async with (
        Proxy(shared_server.host, shared_server.port) as proxy,
        PlainPeer(proxy.url, "support.both") as one,
        PlainPeer(shared_server.url, "support.both") as other,
    ):
        await one.publish(b"to", header={"K": "v"})
        await other.publish(b"fro", b"")
        await until(lambda: other.payloads == [b"to"])
        await until(lambda: one.payloads == [b"fro", b""])
        assert other.messages[0].header == {"K": "v"}
        assert (proxy.accepted, proxy.connections) == (1, 1)


async def test_filter_drops_repeats_and_alters(shared_server: LocalServer) -> None:
    def meddle(frame: Frame) -> list[Frame]:
        match frame.payload:
            case b"drop":
                return []
            case b"twice":
                return [frame, frame]
            case b"alter":
                return [frame.alter(payload=b"altered")]
        return [frame]

    async with (
        Proxy(shared_server.host, shared_server.port) as proxy,
        PlainPeer(proxy.url, "support.filter") as one,
        PlainPeer(shared_server.url, "support.filter") as other,
    ):
        proxy.to_server.filter = meddle
        await one.publish(b"drop", b"twice", b"alter", b"last")
        await until(lambda: b"last" in other.payloads)
        assert other.payloads == [b"twice", b"twice", b"altered", b"last"]


async def test_failing_filter_fails_test(shared_server: LocalServer) -> None:
    def broken(frame: Frame) -> Frame:
        raise LookupError("the filter's own mistake")

    async def run() -> None:
        async with Proxy(shared_server.host, shared_server.port) as proxy:
            proxy.to_server.filter = broken
            _, writer = await asyncio.open_connection(proxy.host, proxy.port)
            writer.write(b"PING\r\n")
            await until(lambda: proxy.accepted and not proxy.connections)
            writer.close()

    with pytest.raises(LookupError, match="own mistake"):
        await run()


async def test_paused_bytes_arrive_swallowed_never(
    shared_server: LocalServer,
) -> None:
    async with (
        Proxy(shared_server.host, shared_server.port) as proxy,
        PlainPeer(shared_server.url, "support.hold") as one,
        PlainPeer(proxy.url, "support.hold") as other,
    ):
        proxy.to_client.swallow()
        await one.publish(b"swallowed")
        await until(lambda: proxy.to_client.swallowed)
        proxy.to_client.pause()
        proxy.to_client.resume()
        proxy.to_client.pause()
        seen = proxy.to_client.frames
        await one.publish(b"paused")
        await until(lambda: proxy.to_client.frames > seen)
        assert other.payloads == []
        proxy.to_client.resume()
        await until(lambda: other.payloads == [b"paused"])


@pytest.mark.parametrize("reset", [False, True])
async def test_proxy_cuts_and_refuses_connections(shared_server: LocalServer, reset: bool) -> None:
    async with Proxy(shared_server.host, shared_server.port) as proxy:
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        assert (await reader.readline()).startswith(b"INFO")
        proxy.refuse()
        assert proxy.cut(reset=reset) == 1
        if reset:
            with pytest.raises(ConnectionResetError):
                await reader.read()
        else:
            assert await reader.read() == b""
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(proxy.host, proxy.port)
        await proxy.accept()
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        assert (await reader.readline()).startswith(b"INFO")
        writer.close()
        await until(lambda: proxy.connections == 0)


async def test_proxy_cuts_within_frame(
    shared_server: LocalServer,
) -> None:
    async with Proxy(shared_server.host, shared_server.port) as proxy:
        proxy.to_client.cut_after(9)
        reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
        received = await reader.read()
        assert received.startswith(b"INFO {")
        assert len(received) == 9
        writer.close()


def test_node_toml_holds_every_setting(shared_server: LocalServer) -> None:
    text = node_toml(
        shared_server,
        password='p"\\',
        no_echo=False,
        capacity={"read_buffer": 1},
        cluster={"protocol": "fastcoord-1"},
    )
    assert text.splitlines() == [
        '[store."nats"]',
        'type = "nats"',
        f'address = ["{shared_server.url}"]',
        'password = "p\\"\\\\"',
        "no-echo = false",
        "capacity.read-buffer = 1",
        "",
        "[cluster]",
        'coordinator = "nats"',
        'protocol = "fastcoord-1"',
    ]
