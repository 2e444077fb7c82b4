"""Without the seams of nats-py that the fast lane stands on, everything still holds."""

import logging

import pytest
from nats.aio.client import Client

import fastcoord
from fastcoord import Missed, ReloadBlockedIps, StateChange, TlsError
from fastcoord.transport import seams, supervisor
from support.accounting import assert_accounts
from support.nodes import joined, node_toml
from support.wait import until


@pytest.fixture
def no_fast_lane(monkeypatch):
    monkeypatch.setattr(supervisor, "fast_lane_is_usable", lambda: False)


class ClientWithoutSeam:
    pass


def test_the_installed_nats_py_has_all_that_the_fast_lane_needs():
    assert seams.missing_seams() == []
    assert seams.missing_seams(Client) == []


def test_a_missing_seam_is_named_once_in_one_warning(monkeypatch, caplog):
    monkeypatch.setattr(seams, "Client", ClientWithoutSeam)
    monkeypatch.setattr(seams.missing_seams, "__defaults__", (ClientWithoutSeam,))
    seams.fast_lane_is_usable.cache_clear()
    try:
        with caplog.at_level(logging.WARNING, "fastcoord"):
            assert not seams.fast_lane_is_usable()
            assert not seams.fast_lane_is_usable()
    finally:
        seams.fast_lane_is_usable.cache_clear()
    assert len(caplog.records) == 1
    assert "Client._transport" in caplog.text


async def test_events_arrive_in_order_and_confirmed(server, no_fast_lane):
    async with joined(server, 1) as sender, joined(server, 2) as receiver:
        async with receiver.subscribe() as events:
            wanted = [StateChange(number, number, 1) for number in range(5000)]
            for event in wanted:
                await sender.publish(event)
            await sender.flush()
            assert [await anext(events) for _ in wanted] == wanted
            assert await receiver.ping(1) > 0
        assert sender.stats().confirmed == len(wanted)
        assert_accounts(sender)
        assert_accounts(receiver)


async def test_a_killed_server_loses_nothing_here_either(server, no_fast_lane):
    settings = {"cluster": {"heartbeat": "300ms"}}
    async with (
        joined(server, 1, **settings) as sender,
        joined(server, 2, **settings) as receiver,
        receiver.subscribe() as events,
    ):
        await until(lambda: sender.peers() and receiver.peers())
        server.kill()
        for number in range(100):
            await sender.publish(StateChange(number, number, 1))
        server.restart()
        heard = 0
        while heard < 100:
            event = await anext(events)
            assert not isinstance(event, Missed)
            assert event.change_id == heard
            heard += 1


async def test_both_lanes_meet_on_one_bus(server, monkeypatch):
    async with joined(server, 1) as fast:
        monkeypatch.setattr(supervisor, "fast_lane_is_usable", lambda: False)
        async with joined(server, 2) as slow, fast.subscribe() as events:
            await slow.publish(ReloadBlockedIps())
            assert await anext(events) == ReloadBlockedIps()


async def test_tls_is_refused_where_it_could_not_be_insisted_on(server, no_fast_lane, tmp_path):
    path = tmp_path / "node.toml"
    path.write_text(node_toml(server, tls={"enable": True}))
    with pytest.raises(TlsError, match="handshake-first"):
        await fastcoord.connect(path)
