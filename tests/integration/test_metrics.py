"""The Prometheus collector on real nodes: a scrape over HTTP while the server is killed."""

import asyncio
import json
import re
import urllib.request
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.parser import text_string_to_metric_families

import fastcoord
from fastcoord import ReloadBlockedIps, ReloadSettings, blocking, metrics
from fastcoord.metrics import NodeCollector
from fastcoord.server import LocalServer
from support.cluster.nodes import joined
from support.cluster.stream_crowd import STREAM, SUBJECT, make_stream
from support.wait import until

Cluster = dict[str, Any]
Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]

BOUNDED_LABELS = {"node_id", "cause", "state", "subscription", "protocol", "version"}


class Scraper:
    """Scrape a collector over HTTP, from another thread, as Prometheus does."""

    def __init__(self, *nodes: fastcoord.Node) -> None:
        registry = CollectorRegistry()
        registry.register(NodeCollector(*nodes))
        self.http, self.thread = start_http_server(0, addr="127.0.0.1", registry=registry)
        self.kinds: dict[str, str] = {}

    async def scrape(self) -> Samples:
        url = f"http://127.0.0.1:{self.http.server_port}/metrics"

        def read() -> str:
            with urllib.request.urlopen(url, timeout=20) as answer:
                text: str = answer.read().decode()
                return text

        samples: Samples = {}
        for family in text_string_to_metric_families(await asyncio.to_thread(read)):
            for sample in family.samples:
                self.kinds[sample.name] = family.type
                key = (sample.name, tuple(sorted(sample.labels.items())))
                assert key not in samples, f"{key} is there twice"
                samples[key] = sample.value
        return samples

    def close(self) -> None:
        self.http.shutdown()
        self.http.server_close()
        self.thread.join()


@asynccontextmanager
async def scraping(*nodes: fastcoord.Node) -> AsyncIterator[Scraper]:
    scraper = Scraper(*nodes)
    try:
        yield scraper
    finally:
        await asyncio.to_thread(scraper.close)


def value(samples: Samples, name: str, **labels: str) -> float:
    return samples[f"fastcoord_{name}", tuple(sorted(labels.items()))]


async def test_counters_grow_during_server_kill(server: LocalServer, cluster: Cluster) -> None:
    settings = {"cluster": cluster, "capacity": {"subscription": 4}}
    async with (
        joined(server, 1, **settings) as receiver,
        joined(server, 2, **settings) as sender,
        scraping(receiver, sender) as scraper,
        receiver.subscribe(name="slow"),
        receiver.subscribe(name="cache", kinds=[ReloadSettings]) as events,
    ):
        history: list[Samples] = []

        async def exchange_until(is_connected: bool) -> None:
            before = len(history)
            while True:
                sender.publish_nowait(ReloadSettings(), ReloadBlockedIps())
                history.append(await scraper.scrape())
                connected = value(history[-1], "connected", node_id="1") == 1
                if connected is is_connected and len(history) > before + 3:
                    return

        async def read() -> None:
            async for _ in events:
                pass

        reading = asyncio.create_task(read())
        await exchange_until(True)
        receiver.subscribe(name="cache").close()
        server.kill()
        await exchange_until(False)
        assert value(history[-1], "healthy", node_id="1") == 0
        server.restart()
        await exchange_until(True)
        await sender.flush()
        await until(lambda: receiver.stats().missed.get("overflow", 0) > 0)
        history.append(await scraper.scrape())
        reading.cancel()
    counters = [key for key in history[-1] if scraper.kinds[key[0]] == "counter"]
    assert len(counters) > 30
    for earlier, later in pairwise(history):
        for key in earlier:
            if scraper.kinds[key[0]] == "counter":
                assert later[key] >= earlier[key], key
    last = history[-1]
    stats = sender.stats()
    assert value(last, "accepted_events_total", node_id="2") == stats.accepted > 0
    assert value(last, "reconnects_total", node_id="1") == 1
    assert value(last, "missed_events_total", node_id="1", cause="overflow") > 0
    assert value(last, "subscription_filtered_events_total", node_id="1", subscription="cache") > 0
    for name, kind in scraper.kinds.items():
        assert name.endswith("_total") == (kind == "counter"), name
        assert re.fullmatch(r"fastcoord_[a-z_]+", name)
        assert not re.search(r"_(ms|milliseconds|kb|mb|count)$", name)
    assert {label for _, labels in last for label, _ in labels} <= BOUNDED_LABELS
    series = {key for samples in history for key in samples}
    assert len(series) == len(last), "a label has got new values"


async def test_closed_subscription_keeps_counters(
    shared_server: LocalServer, cluster: Cluster
) -> None:
    async with (
        joined(shared_server, 1, cluster=cluster) as receiver,
        joined(shared_server, 2, cluster=cluster) as sender,
        scraping(receiver) as scraper,
    ):
        for arrived in (1, 2):
            async with receiver.subscribe(name="cache") as events:
                await sender.publish(ReloadSettings())
                await until(lambda events=events: events.stats().arrived == 1)
            samples = await scraper.scrape()
            labels = {"node_id": "1", "subscription": "cache"}
            assert value(samples, "subscription_arrived_events_total", **labels) == arrived
            assert value(samples, "subscription_unread_events_total", **labels) == arrived
            assert value(samples, "open_subscriptions", node_id="1") == 0


async def test_subscriptions_of_one_name_are_added(
    shared_server: LocalServer, cluster: Cluster
) -> None:
    async with (
        joined(shared_server, 1, cluster=cluster) as receiver,
        joined(shared_server, 2, cluster=cluster) as sender,
        scraping(receiver) as scraper,
        receiver.subscribe(),
        receiver.subscribe() as events,
    ):
        await sender.publish(ReloadSettings())
        await until(lambda: events.stats().arrived == 1)
        samples = await scraper.scrape()
        labels = {"node_id": "1", "subscription": "unnamed"}
        assert value(samples, "subscription_arrived_events_total", **labels) == 2
        assert value(samples, "peers", node_id="1", state="up") == 1


async def test_odd_names_are_scraped(shared_server: LocalServer, cluster: Cluster) -> None:
    names = ('a"b', "a\nb", "a\\b", "ž\u2028\x00", "\ud800", " ")
    async with joined(shared_server, 1, cluster=cluster) as node, scraping(node) as scraper:
        subscriptions = [node.subscribe(name=name) for name in names]
        samples = await scraper.scrape()
        for subscription in subscriptions:
            subscription.close()
    name = "fastcoord_subscription_arrived_events_total"
    labels = {dict(labels)["subscription"] for key, labels in samples if key == name}
    assert labels == {*names[:4], r"\ud800", " "}


async def test_nodes_of_collector_have_own_ids(
    shared_server: LocalServer, cluster: Cluster
) -> None:
    async with (
        joined(shared_server, 1, cluster={**cluster, "subject": "first"}) as first,
        joined(shared_server, 1, cluster={**cluster, "subject": "second"}) as second,
    ):
        with pytest.raises(ValueError, match="two of the nodes have node id 1: use a registry"):
            NodeCollector(first, second)


async def test_registry_takes_one_collector(shared_server: LocalServer, cluster: Cluster) -> None:
    registry = CollectorRegistry()
    with pytest.raises(ValueError, match="at least one node"):
        NodeCollector()
    async with (
        joined(shared_server, 1, cluster=cluster) as first,
        joined(shared_server, 2, cluster=cluster) as second,
    ):
        registry.register(NodeCollector(first))
        # Its families would have a second TYPE line in the same scrape.
        with pytest.raises(ValueError, match="Duplicated timeseries"):
            registry.register(NodeCollector(second))


async def test_scrape_of_closed_node_works(shared_server: LocalServer, cluster: Cluster) -> None:
    async with joined(shared_server, 1, cluster=cluster) as node, scraping(node) as scraper:
        await node.close()
        samples = await scraper.scrape()
        assert value(samples, "connected", node_id="1") == 0
        assert value(samples, "healthy", node_id="1") == 0


def test_blocking_node_is_scraped(shared_server: LocalServer, cluster: Cluster) -> None:
    with blocking.connect(shared_server.url, node_id=7, subject=cluster["subject"]) as node:
        registry = CollectorRegistry()
        registry.register(NodeCollector(node))
        assert registry.get_sample_value("fastcoord_connected", {"node_id": "7"}) == 1


async def test_blocked_loop_fails_scrape(
    shared_server: LocalServer, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fastcoord.metrics.READ_TIMEOUT", 0.05)
    async with joined(shared_server, 1, cluster=cluster) as node:
        collector = NodeCollector(node)
        thread = ThreadPoolExecutor(1)
        scrape = thread.submit(lambda: list(collector.collect()))
        # The event loop of the node waits here, so it cannot answer the other thread.
        with pytest.raises(TimeoutError, match="did not answer within"):
            scrape.result()
        thread.shutdown()


async def test_stream_is_scraped(jetstream_server: LocalServer) -> None:
    await make_stream([jetstream_server], subjects=[SUBJECT])
    cluster = {"stream": STREAM, "subject": SUBJECT}
    async with (
        joined(jetstream_server, 1, cluster=cluster, capacity={"subscription": 1}) as node,
        joined(jetstream_server, 2, cluster=cluster) as sender,
        scraping(node) as scraper,
    ):
        for _ in range(3):
            await sender.publish(ReloadSettings())
            await sender.flush()
        # The replay stays behind: its buffer has the first message, and nobody reads it.
        async with node.subscribe(since=0) as events:
            await until(lambda: events.stats().buffered == 1)
            samples = await scraper.scrape()
            assert value(samples, "stream_replays", node_id="1") == 1
            for _ in range(3):
                assert await anext(aiter(events)) == ReloadSettings()
            await until(lambda: stream_of(node).replays == 0)
            samples = await scraper.scrape()
            assert value(samples, "stream_replays", node_id="1") == 0
            assert value(samples, "stream_sequence", node_id="1") == 3
            assert value(samples, "stream_lag_messages", node_id="1") == 0
    assert scraper.kinds["fastcoord_stream_sequence"] == "gauge"


def stream_of(node: fastcoord.Node) -> fastcoord.StreamStats:
    stream = node.stats().stream
    assert stream is not None
    return stream


def test_each_number_has_metric() -> None:
    source = Path(metrics.__file__).read_text("utf-8")
    not_numbers = {"name", "trouble", "connection", "incarnation", "is_receiving"}
    # The fill ratio says how much of a capacity is used.
    of_capacity = {"high_water_messages", "capacity_messages", "capacity_bytes"}
    for kind in (fastcoord.Stats, fastcoord.StreamStats, fastcoord.SubscriptionStats):
        for field in set(kind.__struct_fields__) - not_numbers - of_capacity:
            found = re.search(rf'"{field}": \(\s*"|\.{field}\b', source)
            assert found, f"{kind.__name__}.{field}"


# ------------------------------------------------------------------------------ the documentation

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "monitoring.md").read_text("utf-8")
DASHBOARD = json.loads((DOCS / "grafana-dashboard.json").read_text("utf-8"))
RULES = re.findall(r"expr: (.*)", PAGE)
FUNCTIONS = {"by", "increase", "max", "on", "rate", "sum", "topk"}
QUERIES = [target["expr"] for panel in DASHBOARD["panels"] for target in panel["targets"]]


FOUND: dict[str, set[str]] = {}


@pytest.fixture
async def labels_of(shared_server: LocalServer, cluster: Cluster) -> dict[str, set[str]]:
    """The labels of each sample name that the collector yields."""
    if FOUND:
        return FOUND
    with LocalServer(jetstream=True) as stored:
        await make_stream([stored], subjects=[SUBJECT])
        stream = {"stream": STREAM, "subject": SUBJECT}
        async with (
            joined(shared_server, 1, cluster=cluster) as node,
            joined(stored, 2, cluster=stream) as with_stream,
            node.subscribe(),
            scraping(node, with_stream) as scraper,
        ):
            await until(lambda: stream_of(with_stream).is_receiving)
            for (name, labels), number in (await scraper.scrape()).items():
                FOUND.setdefault(name, set()).update(label for label, _ in labels)
                assert name != "fastcoord_stream_working" or number == 1
    return FOUND


def test_page_has_rules_and_dashboard_has_queries() -> None:
    assert len(RULES) >= 10
    assert len(QUERIES) >= 15


@pytest.mark.parametrize("query", [*RULES, *QUERIES])
async def test_query_matches_collector(query: str, labels_of: dict[str, set[str]]) -> None:
    names = re.findall(r"fastcoord_[a-z_]+", query)
    assert names
    assert set(names) <= set(labels_of), "the collector has no such metric"
    known = {"instance"} | set.union(*(labels_of[name] for name in names))
    grouped = {
        label
        for group in re.findall(r"(?:by|on) \(([^)]*)\)", query)
        for label in group.split(", ")
    }
    matched = set(re.findall(r"[{,] ?([a-z_]+)=", query))
    assert grouped | matched <= known
    for name in names:
        windowed = re.search(rf"(rate|increase)\({name}({{[^}}]*}})?\[", query) is not None
        assert windowed == name.endswith("_total"), f"{name}: rate() is for counters"
    assert set(re.findall(r"([a-z]+) ?\(", query)) <= FUNCTIONS
    assert query.count("(") == query.count(")")
    if len(names) > 1 and " on (" not in query:
        # Prometheus combines only series that have the same labels.
        assert " by (" not in query
        assert len({frozenset(labels_of[name]) for name in names}) == 1


async def test_every_metric_is_documented(labels_of: dict[str, set[str]]) -> None:
    rows = set(re.findall(r"^\| `(fastcoord_[a-z_]+)` \|", PAGE, re.MULTILINE))
    assert rows == set(labels_of)


async def test_documented_asgi_application_serves(server: LocalServer, cluster: Cluster) -> None:
    (source,) = re.findall(r"```python\n(from prometheus_client.*?)```", PAGE, re.DOTALL)
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    async with joined(server, 1, cluster=cluster) as node:
        app = namespace["monitoring"](node)

        async def get(path: str) -> tuple[int, str]:
            sent: list[dict[str, Any]] = []

            async def receive() -> dict[str, Any]:
                return {"type": "http.request", "body": b"", "more_body": False}

            async def send(message: dict[str, Any]) -> None:
                sent.append(message)

            scope = {"type": "http", "method": "GET", "path": path, "headers": []}
            await app({**scope, "query_string": b""}, receive, send)
            return sent[0]["status"], sent[1]["body"].decode()

        assert await get("/health") == (200, "healthy")
        status, text = await get("/metrics")
        assert status == 200
        assert 'fastcoord_connected{node_id="1"} 1.0' in text
        server.kill()
        await until(lambda: not node.health())
        status, text = await get("/health")
        assert status == 503
        assert text.startswith("not connected to a server: ")
        await node.close(timeout=0.1)  # the server does not come back
