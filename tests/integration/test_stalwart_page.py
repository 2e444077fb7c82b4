"""The steps of docs/stalwart.md, beside a client that publishes as a Stalwart node does."""

import asyncio
import contextlib
import os
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import fastcoord
from fastcoord.server import LocalServer
from support.cluster.plain_peer import PlainPeer
from support.wait import until

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "stalwart.md").read_text("utf-8")
(RIGHTS,) = re.findall(
    r"```\n(authorization .*?)```", (DOCS / "permissions.md").read_text("utf-8"), re.DOTALL
)
INSTALL, CHECK, LISTEN, PEERS, PUBLISH = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
(PROGRAM,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
CHANGE = fastcoord.encode_batch(
    [fastcoord.StateChange(7, 42, 9)], node_id=1, protocol="stalwart-0.15"
)


class Shell:
    """Run commands in a folder, with ``fastcoord`` and ``python`` of this environment."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._environment = {**os.environ, "PATH": path, "NATS_PASSWORD": "change-me"}

    async def run(self, command: str) -> tuple[int, str]:
        """Run a command; return its exit status and its output."""
        process = await asyncio.create_subprocess_exec(
            *("bash", "-c", command),
            cwd=self._folder,
            env=self._environment,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        out, _ = await asyncio.wait_for(process.communicate(), 120)
        assert process.returncode is not None
        return process.returncode, out.decode()


@contextlib.asynccontextmanager
async def stalwart(server: LocalServer) -> AsyncIterator[PlainPeer]:
    """Publish a change of an account again and again, with the rights of a Stalwart node."""
    url = f"nats://stalwart:change-me@127.0.0.1:{server.port}"
    async with PlainPeer(url) as peer:

        async def publish() -> None:
            while True:
                await peer.publish(CHANGE)
                await asyncio.sleep(0.1)

        publishing = asyncio.create_task(publish())
        try:
            yield peer
        finally:
            publishing.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await publishing


def received_by(peer: PlainPeer) -> list[fastcoord.Event]:
    """Return the events of every message that the peer has received."""
    batches = [fastcoord.decode_batch(each, protocol="stalwart-0.15") for each in peer.payloads]
    return [event for batch in batches for event in batch]


async def test_stalwart_page_works(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    config = tmp_path / "node.toml"
    with LocalServer(extra_config=RIGHTS) as server:
        _, init = INSTALL.splitlines()
        address = f"127.0.0.1:{server.port}"
        assert (await shell.run(init.replace("nats.example.org:4222", address)))[0] == 0
        text = config.read_text("utf-8")
        for key in ("user", "password"):
            text = re.sub(rf"^# ({key} = )", r"\1", text, flags=re.MULTILINE)
        config.write_text(text, encoding="utf-8")
        code, out = await shell.run(CHECK)
        assert code == 0, out
        async with stalwart(server) as peer:
            _, out = await shell.run(f"{LISTEN.strip()} | head -n 1")
            assert '"type": "StateChange", "account_id": 7, "change_id": 42, "types": 9' in out
            row = re.compile(r"^ +1  Stalwart  unknown +\d+ +0 .* unknown$", re.MULTILINE)
            for seconds in (1, 10, 30):
                code, out = await shell.run(PEERS.replace("--wait 30", f"--wait {seconds}"))
                if row.search(out):  # on a busy machine, its next message may come too late
                    break
            assert row.search(out), out
            code, out = await shell.run(PUBLISH)
            assert code == 0, out
            await until(lambda: fastcoord.ReloadBlockedIps() in received_by(peer))
            (tmp_path / "program.py").write_text(PROGRAM, encoding="utf-8")
            _, out = await shell.run("python -u program.py 2> log | head -n 2")
            assert out == "account 7 has changed\n" * 2, out
