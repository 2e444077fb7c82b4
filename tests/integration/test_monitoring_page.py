"""The programs of docs/monitoring.md: the one that serves /health and /metrics with uvicorn."""

import asyncio
import re
import signal
import urllib.request
from pathlib import Path

import pytest

import fastcoord
from fastcoord.server import LocalServer
from support.cluster.nodes import joined, node_toml
from support.processes.example import program
from support.servers.unusable import unused_address

PAGE = (Path(__file__).parents[2] / "docs" / "monitoring.md").read_text("utf-8")
APPLICATION, PROGRAM, *_ = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


async def get(port: str, path: str) -> str:
    def read() -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=20) as answer:
            text: str = answer.read().decode()
            return text

    return await asyncio.to_thread(read)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_documented_program_serves_and_leaves(
    tmp_path: Path, server: LocalServer, number: int
) -> None:
    pytest.importorskip("uvicorn", reason="pip install --group examples")
    port = unused_address().name.rpartition(":")[2]
    assert PROGRAM.count("port=9100") == 1
    (tmp_path / "program.py").write_text(APPLICATION + PROGRAM.replace("9100", port))
    (tmp_path / "node.toml").write_text(node_toml(server))
    async with (
        joined(server, 2) as node,
        node.subscribe(kinds=[fastcoord.PeerUp, fastcoord.PeerDown]) as notices,
        program(tmp_path / "program.py") as running,
    ):
        await running.line("Uvicorn running on")
        assert await get(port, "/health") == "healthy"
        await node.publish(fastcoord.ReloadSettings())
        await running.line("ReloadSettings()")
        assert re.search(
            r"^fastcoord_received_events_total\S+ 1\.0$", await get(port, "/metrics"), re.M
        )
        assert await running.end(number) == 0
        up, down = await anext(aiter(notices)), await anext(aiter(notices))
    assert (type(up), down) == (fastcoord.PeerUp, fastcoord.PeerDown(1, goodbye=True))
    assert running.printed.count("the program ends") == 1
    assert not any("lifespan" in line for line in running.printed)
    assert not any("Traceback" in line for line in running.printed)
