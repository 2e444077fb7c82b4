"""The commands of docs/start.md, run in an empty folder."""

import asyncio
import os
import re
import signal
import sys
from pathlib import Path

import pytest

from fastcoord.server.process import find_server_binary
from support.servers.unusable import unused_address

PAGE = (Path(__file__).parents[2] / "docs" / "start.md").read_text("utf-8")
INSTALL, *BLOCKS = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)
(PROGRAM,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def other_ports(text: str) -> str:
    """Replace the ports of the page with ports that no server uses."""
    for port in ("4222", "9101", "9102"):
        text = text.replace(port, unused_address().name.rpartition(":")[2])
    return text


@pytest.mark.slow
async def test_start_page_works(tmp_path: Path) -> None:
    assert "pip install" in INSTALL
    (tmp_path / "node.py").write_text(PROGRAM)
    # A reader takes longer to type the next command than the nodes to connect.
    typed = "\nsleep 2\n".join(BLOCKS)
    (tmp_path / "commands.sh").write_text(other_ports(f"set -m\n{typed}"))
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
        out, _ = await asyncio.wait_for(shell.communicate(), 120)
    finally:
        if shell.returncode is None:
            os.killpg(shell.pid, signal.SIGKILL)
            await shell.wait()
    text = out.decode()
    assert re.search(r"^  publish +ok +fastcoord\.agora, as node \d+$", text, re.MULTILINE), text
    for node_id in (1, 2):
        assert re.search(rf"^ +{node_id}  fastcoord  up ", text, re.MULTILINE), text
    assert "events of 2 nodes" in text
    assert "has confirmed 1 event" in text
    assert "StateChange(account_id=8, change_id=1, types=1)" in text
    connected = re.findall(r'^fastcoord_connected{node_id="1"} (.*)$', text, re.MULTILINE)
    healthy = re.findall(r'^fastcoord_healthy{node_id="1"} (.*)$', text, re.MULTILINE)
    assert (connected, healthy) == (["1.0", "0.0", "1.0"], ["1.0", "0.0", "1.0"]), text
    assert "Disconnected(reason=" in text
    assert "Reconnected(server=" in text
    assert "Traceback" not in (tmp_path / "node1.log").read_text()
