"""Each example runs as a process of its own, on a real server."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import msgspec
import pytest

from fastcoord import AppEvent, DataType, ReloadBlockedIps, StateChange
from fastcoord.server import LocalServer
from support.cluster.nodes import joined, node_toml
from support.processes.example import EXAMPLES, Program, example
from support.processes.status import exists
from support.wait import until

PAGES = EXAMPLES.parent / "docs" / "examples"
PORT = re.compile(r"http://127\.0\.0\.1:(\d+)")


def needs(*modules: str) -> None:
    """Skip a test whose example needs packages of the dependency group ``examples``."""
    for module in modules:
        pytest.importorskip(module, reason=f"{module}: pip install --group examples")


async def ask(url: str, method: str = "GET") -> Any:
    """Send one HTTP request on a connection of its own."""

    def send() -> Any:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), timeout=60) as got:
            return json.load(got)

    return await asyncio.to_thread(send)


async def port_of(program: Program) -> str:
    found = PORT.search(await program.line("http://127.0.0.1:"))
    assert found is not None
    return found[0]


def test_every_example_has_page() -> None:
    folders = {path.name for path in EXAMPLES.iterdir() if path.is_dir()} - {"cython_consumer"}
    pages = {path: path.read_text("utf-8") for path in PAGES.glob("*.md")}
    shown = {name for name in folders for text in pages.values() if f"examples/{name}" in text}
    assert shown == folders
    assert len(pages) == len(folders)


@pytest.mark.slow
async def test_fastapi_workers_share_writes(server: LocalServer, tmp_path: Path) -> None:
    needs("fastapi", "uvicorn")
    async with example(
        "fastapi_cache",
        *("app:app", "--workers", 4, "--port", 0),
        # uvicorn kills a worker that a busy machine delays for 5 s.
        *("--timeout-worker-healthcheck", 600, "--no-access-log"),
        server=server,
        module="uvicorn",
        PRICES=tmp_path / "prices.sqlite",
    ) as program:
        base = await port_of(program)
        for _ in range(4):
            await program.line("Application startup complete")
        url = f"{base}/prices/tea"
        await ask(f"{url}?price=1.5", "PUT")
        workers = await answers(url)
        assert set(workers.values()) == {1.5}
        writer = (await ask(f"{url}?price=2.5", "PUT"))["worker"]
        # The writer dropped its entry before it answered, and the others follow.
        await until(lambda: all_answer(url, 2.5))
        assert writer in workers
        hits = [(await ask(url))["hits"] for _ in range(20)]
        assert max(hits) > 0
        assert await program.end() == 0


async def answers(url: str) -> dict[int, float]:
    """Return the price that each of the four workers knows."""
    prices: dict[int, float] = {}
    while len(prices) < 4:
        for answer in await asyncio.gather(*(ask(url) for _ in range(8))):
            prices[answer["worker"]] = answer["price"]
    return prices


async def all_answer(url: str, price: float) -> bool:
    return set((await answers(url)).values()) == {price}


@pytest.mark.slow
async def test_django_workers_share_writes(server: LocalServer, tmp_path: Path) -> None:
    needs("django", "gunicorn")
    async with example(
        "django_prefork",
        *("site_app:application", "--bind", "127.0.0.1:0", "--timeout", 600),
        server=server,
        module="gunicorn",
        ACCOUNTS=tmp_path / "accounts.sqlite",
    ) as program:
        url = f"{await port_of(program)}/accounts/7"
        await ask(f"{url}/alice")
        first = await names(url)
        assert set(first.values()) == {"alice"}
        await ask(f"{url}/bob")
        await until(lambda: all_are(url, "bob"))
        killed = worker_pid(program)
        os.kill(killed, signal.SIGKILL)
        # Until it has ended, it may accept a request.
        await until(lambda: not exists(killed))
        # gunicorn starts another worker, which has another node id.
        await until(lambda: some_not_in(url, set(first)))
        await ask(f"{url}/carol")
        await until(lambda: all_are(url, "carol"))
        assert await program.end() == 0


async def names(url: str) -> dict[int, str]:
    """Return the name that each of four workers knows."""
    found: dict[int, str] = {}
    while len(found) < 4:
        answer = await ask(url)
        found[answer["worker"]] = answer["name"]
    return found


async def all_are(url: str, name: str) -> bool:
    return set((await names(url)).values()) == {name}


async def some_not_in(url: str, workers: set[int]) -> bool:
    return (await ask(url))["worker"] not in workers


def worker_pid(program: Program) -> int:
    """Return the process of one worker of gunicorn."""
    pid = program.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return int(children[0])


async def test_aiohttp_instances_reload(server: LocalServer, tmp_path: Path) -> None:
    needs("aiohttp")
    path = tmp_path / "settings.json"
    path.write_text('{"colour": "red"}')
    async with (
        example("aiohttp_reload/app.py", 1, path, 0, server=server) as one,
        example("aiohttp_reload/app.py", 2, path, 0, server=server) as two,
    ):
        first, second = await port_of(one), await port_of(two)
        assert [await ask(first), await ask(second)] == [{"colour": "red"}] * 2
        path.write_text('{"colour": "blue"}')
        assert await ask(second) == {"colour": "red"}
        assert await ask(f"{first}/reload", "POST") == {"informed": 1}
        await until(lambda: answers_with(second, {"colour": "blue"}))
        assert [await one.end(), await two.end()] == [0, 0]


async def answers_with(url: str, expected: Any) -> bool:
    return bool(await ask(url) == expected)


class Settings(BaseHTTPRequestHandler):
    """The part of Stalwart's HTTP API that the sidecar calls; keeps what it receives."""

    received: list[Any]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.received.append((self.path, self.headers["Authorization"], json.loads(body)))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *unused: Any) -> None:
        pass


async def test_sidecar_blocks_addresses(server: LocalServer, tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(node_toml(server))
    Settings.received = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Settings) as api:
        thread = Thread(target=api.serve_forever)
        thread.start()
        async with (
            joined(server, 1) as stalwart,
            stalwart.subscribe() as events,
            example(
                *("sidecar/block_addresses.py", config, 2000),
                server=server,
                STALWART_API=f"http://127.0.0.1:{api.server_port}",
                STALWART_TOKEN="secret",
            ) as sidecar,
        ):
            assert sidecar.process.stdin is not None
            failure = "WARN Authentication failed (auth.failed) listenerId = imap, remoteIp = "
            lines = [f"{failure}{address}" for address in ["192.0.2.7", "2001:db8::1"] * 4]
            lines += ["INFO Authenticated (auth.success) remoteIp = 192.0.2.7"] * 9
            lines += [f"{failure}192.0.2.7, accountName = john"]
            sidecar.process.stdin.write("\n".join([*lines, ""]).encode())
            assert await sidecar.line() == "blocked 192.0.2.7"
            assert await anext(aiter(events)) == ReloadBlockedIps()
            sidecar.process.stdin.close()
            assert await sidecar.process.wait() == 0
        api.shutdown()
        thread.join()
    (call,) = Settings.received
    assert call[:2] == ("/api/settings", "Bearer secret")
    assert call[2][0]["prefix"] == "server.blocked-ip"
    assert call[2][0]["values"] == [["192.0.2.7", ""]]


async def test_gateway_pushes_changes(server: LocalServer) -> None:
    async with (
        joined(server, 1) as stalwart,
        example("push_gateway/gateway.py", 3000, 0, server=server) as gateway,
    ):
        port = int((await gateway.line("listening on ")).split()[-1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"7\n")
        assert await reader.readline() == b"following 7\n"
        await stalwart.publish(
            StateChange(8, 1, DataType.EMAIL),
            StateChange(7, 2, DataType.EMAIL | DataType.THREAD),
        )
        assert await reader.readline() == b"changed 7 Email,Thread\n"
        server.kill()
        await server.start_async()
        await until(lambda: stalwart.is_connected)
        await gateway.line("connected to")
        await stalwart.publish(StateChange(7, 3, DataType.EMAIL))
        lines = []
        while not lines or lines[-1] != b"changed 7 Email\n":
            lines.append(await asyncio.wait_for(reader.readline(), 120))
        assert set(lines[:-1]) <= {b"refresh\n"}
        writer.close()
        await writer.wait_closed()


async def test_anyio_tasks_end_in_time(server: LocalServer) -> None:
    needs("anyio")
    for seconds in (3, 12, 48):
        async with (
            example("anyio_tasks/workers.py", 1, seconds, server=server) as one,
            example("anyio_tasks/workers.py", 2, seconds, server=server) as two,
        ):
            seen = [await one.line("seen:"), await two.line("seen:")]
            assert [await one.process.wait(), await two.process.wait()] == [0, 0]
        # On a busy machine, one may end before the other has started.
        if seen == ["seen: 2", "seen: 1"]:
            break
    assert seen == ["seen: 2", "seen: 1"]


async def test_jobs_report_results(server: LocalServer) -> None:
    async with example("sync_jobs/jobs.py", "watch", 2, 20, server=server) as watcher:
        await watcher.line("watching")
        async with example("sync_jobs/jobs.py", "work", 1, 20, server=server) as worker:
            assert await worker.line() == "20 results confirmed"
            assert await worker.process.wait() == 0
        assert await watcher.line() == "worker 1 has ended"
        assert await watcher.line() == "20 of 20 jobs done"
        assert await watcher.process.wait() == 0


async def test_interrupted_jobs_are_reported(server: LocalServer) -> None:
    async with example("sync_jobs/jobs.py", "watch", 2, 100_000, server=server) as watcher:
        await watcher.line("watching")
        async with (
            joined(server, 3, cluster={"protocol": "fastcoord-1"}) as peer,
            peer.subscribe(kinds=[AppEvent]) as events,
            example("sync_jobs/jobs.py", "work", 1, 100_000, server=server) as worker,
        ):
            # All threads work: none is being started.
            working = set()
            while len(working) < 4:
                event = await anext(events)
                if isinstance(event, AppEvent):
                    working.add(int(event.payload) % 4)
            assert await worker.end(signal.SIGINT) != 0
        assert await watcher.line("worker 1") == "worker 1 has ended"
        found = re.match(r"(\d+) of 100000 jobs done", await watcher.line())
        assert found is not None
        assert 0 < int(found[1]) <= 100_000


async def test_shop_events_reach_warehouse(server: LocalServer) -> None:
    page = (PAGES / "typed-events.md").read_text("utf-8")
    shown = page.split("```text\n")[1].split("```")[0].splitlines()
    async with example("typed_events/warehouse.py", 2, server=server) as warehouse:
        assert await warehouse.line() == shown[0] == "ready"
        async with example("typed_events/shop.py", 1, server=server) as shop:
            assert await shop.process.wait() == 0
        lines = [await warehouse.line() for _ in range(len(shown))]
        logged = [line for line in lines if "does not fit" in line]
        assert [line for line in lines if line not in logged] == shown[1:]
        assert len(logged) == 1
        assert await warehouse.process.wait() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_ends_service_cleanly(server: LocalServer, number: int) -> None:
    async with (
        joined(server, 1, cluster={"protocol": "fastcoord-1"}) as peer,
        peer.subscribe(peers=True) as events,
        example("clean_end/service.py", 2, server=server) as service,
    ):
        await service.line("working")
        items = aiter(events)
        numbers = []
        while len(numbers) < 100:
            item = await anext(items)
            if isinstance(item, AppEvent):
                numbers.append(msgspec.msgpack.decode(item.payload)["number"])
        assert await service.end(number) == 0
        found = re.fullmatch(r"accepted (\d+), unconfirmed 0", service.printed[-1])
        assert found is not None, service.printed
        while len(numbers) < int(found[1]):
            item = await anext(items)
            if isinstance(item, AppEvent):
                numbers.append(msgspec.msgpack.decode(item.payload)["number"])
        assert numbers == list(range(int(found[1])))


def test_price_service_passes_on_both() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-m", "pytest", "-q", "-p", "no:cacheprovider"],
        cwd=EXAMPLES / "price_service",
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert "13 passed" in done.stdout, done.stdout + done.stderr
    shown = (PAGES / "price-service.md").read_text("utf-8")
    assert "13 passed" in shown


async def test_price_service_prints_prices(server: LocalServer) -> None:
    async with example("price_service/prices.py", server=server) as program:
        assert await program.process.wait() == 0
        assert await program.end() == 0
        assert program.printed == ["tea: 1.5", "tea: 2.5"]
