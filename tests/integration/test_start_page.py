"""The commands of docs/start.md, run in an empty folder."""

import asyncio
import os
import re
import shutil
import signal
import sys
from pathlib import Path

import pytest

from fastcoord.server.process import find_server_binary
from support.servers.unusable import unused_address

PAGE = (Path(__file__).parents[2] / "docs" / "start.md").read_text("utf-8")
INSTALL, *BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
(PROGRAM,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


SERVER_RUNS = "until (exec 3<>/dev/tcp/127.0.0.1/4222) 2>/dev/null; do sleep 0.1; done"
NODES_ARE_CONNECTED, NODES_ARE_NOT_CONNECTED = (
    "\n".join(
        f"until curl -s http://127.0.0.1:{port}/metrics | grep -q '^fastcoord_connected.* {value}';"
        " do sleep 0.1; done"
        for port in (9101, 9102)
    )
    for value in (1, 0)
)

LISTEN_TO_BOTH = """
fastcoord listen node.toml > listen.log 2>&1 &
until [ $(grep StateChange listen.log | grep -o '"node_id": [12],' | sort -u | wc -l) = 2 ]
do sleep 0.1; done
kill $!; wait $!; cat listen.log
"""
EVENT_IS_LOGGED = "until grep -q account_id=8 node1.log; do sleep 0.1; done"


def script() -> str:
    """Return the commands of the page; facts replace the time that a reader waits or types."""
    server, check, nodes, watch, metrics, failure, end = BLOCKS
    failure, downs = re.subn(r"\bsleep 3$", NODES_ARE_NOT_CONNECTED, failure, flags=re.M)
    failure, ups = re.subn(r"\bsleep 4$", f"\n{NODES_ARE_CONNECTED}", failure, flags=re.M)
    watch, listens = re.subn(
        r"^timeout 5 fastcoord listen node\.toml\n", LISTEN_TO_BOTH, watch, flags=re.M
    )
    watch, tails = re.subn(r"^(?=tail )", f"{EVENT_IS_LOGGED}\n", watch, flags=re.M)
    assert (downs, ups, listens, tails) == (1, 1, 1, 1)
    blocks = (server, SERVER_RUNS, check, nodes, NODES_ARE_CONNECTED, watch, metrics, failure, end)
    return "\n".join(("set -m", *blocks, ""))


def other_ports(text: str) -> str:
    """Replace the ports of the page with ports that no server uses."""
    for port in ("4222", "9101", "9102"):
        text = text.replace(port, unused_address().name.rpartition(":")[2])
    return text


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("curl") is None, reason="the page uses curl")
async def test_start_page_works(tmp_path: Path) -> None:
    assert "pip install --find-links /path/to/fastcoord/wheels/dist " in INSTALL
    (tmp_path / "node.py").write_text(PROGRAM)
    (tmp_path / "commands.sh").write_text(other_ports(script()))
    folders = [str(Path(sys.executable).parent), str(find_server_binary().parent)]
    shell = await asyncio.create_subprocess_exec(
        *("bash", "commands.sh"),
        cwd=tmp_path,
        env={**os.environ, "PATH": ":".join([*folders, os.environ["PATH"]])},
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        out, _ = await asyncio.wait_for(shell.communicate(), 240)
    finally:
        if shell.returncode is None:
            os.killpg(shell.pid, signal.SIGKILL)
            await shell.wait()
    text = out.decode()
    assert re.search(r"^  join +ok +as node \d+, on fastcoord\.agora$", text, re.MULTILINE), text
    for node_id in (1, 2):
        assert re.search(rf"^ +{node_id}  fastcoord  up ", text, re.MULTILINE), text
    assert "events of 2 nodes" in text
    assert "has confirmed 1 event" in text
    assert "StateChange(account_id=8, change_id=1, types=1)" in text
    connected = re.findall(r'^fastcoord_connected{node_id="1"} (.*)$', text, re.MULTILINE)
    healthy = re.findall(r'^fastcoord_healthy{node_id="1"} (.*)$', text, re.MULTILINE)
    assert (connected, healthy) == (["1.0", "0.0", "1.0"], ["1.0", "0.0", "1.0"]), text
    notices = re.findall(r"^(Disconnected|Missed|Reconnected)\(", text, re.MULTILINE)
    assert notices == ["Disconnected", "Missed", "Reconnected"], text
    explained = PAGE.partition("## 6. ")[2]
    places = [explained.index(f"`{notice}`") for notice in notices]
    assert places == sorted(places)
    assert "Traceback" not in (tmp_path / "node1.log").read_text()
