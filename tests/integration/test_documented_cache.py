"""The examples of docs/cache.md are run."""

import re
import subprocess
import sys
from pathlib import Path

from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml

PAGE = (Path(__file__).parents[2] / "docs" / "cache.md").read_text("utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def run(program: str, server: LocalServer, folder: Path) -> str:
    (folder / "node.toml").write_text(
        node_toml(server, cluster={"node_id": 1, "subject": "documented-cache"})
    )
    (folder / "program.py").write_text(program)
    done = subprocess.run(
        [sys.executable, "-X", "dev", "-W", "error", "program.py"],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_documented_program_prints_new_value(shared_server: LocalServer, tmp_path: Path) -> None:
    lines = run(BLOCKS[0], shared_server, tmp_path).splitlines()
    assert lines[:2] == ["alice", "alice"]
    assert lines[2].startswith("bob CacheStats(hits=1, joined=0, loads=2,")


def test_documented_threads_read(shared_server: LocalServer, tmp_path: Path) -> None:
    setting = "def load_account(key): return 'alice'\ndef keys_of(event): return []\n"
    program = f"{setting}{BLOCKS[1]}    print(account)\n"
    assert run(program, shared_server, tmp_path) == "alice\n"
