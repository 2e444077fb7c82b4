"""Try a wheel out as its first user: a fresh environment, another folder, no source in reach."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CONFIGURATION = """
[store."nats"]
type = "nats"
address = ["localhost"]

[cluster]
coordinator = "nats"
"""

# Every module comes from the environment, and the compiled ones are compiled.
IMPORTS = """
import importlib, pkgutil, sys
import fastcoord
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

inside = Path(sys.prefix).resolve()
compiled = 0
for module in pkgutil.walk_packages(fastcoord.__path__, "fastcoord."):
    if module.name.endswith(".__main__") or not WITH_EXTRAS and ".cli." in module.name:
        continue
    found = importlib.import_module(module.name)
    assert Path(found.__file__).resolve().is_relative_to(inside), found.__file__
    compiled += found.__file__.endswith(tuple(EXTENSION_SUFFIXES))
assert Path(fastcoord.__file__).resolve().is_relative_to(inside), fastcoord.__file__
assert compiled >= 7, compiled

event = fastcoord.StateChange(account_id=7, change_id=42, types=1)
payload = fastcoord.encode_batch([event], node_id=5, protocol="stalwart-0.15")
assert list(fastcoord.decode_batch(payload, protocol="stalwart-0.15")) == [event]
print(f"{compiled} compiled modules, imported from {Path(fastcoord.__file__).parent}")
"""

# What a type checker sees of the installed package.
TYPED = """
import fastcoord

async def publish(node: fastcoord.Node) -> tuple[int, ...]:
    await node.publish(fastcoord.StateChange(account_id=7, change_id=42, types=1))
    async with node.subscribe() as events:
        async for event in events:
            if isinstance(event, fastcoord.InvalidateAccessTokens):
                return event.account_ids
    return ()
"""


def smoke(wheel: Path, python: str, folder: Path) -> None:
    """Install a wheel in a fresh environment and run it.

    :param wheel: the file.
    :param python: the interpreter it was built for.
    :param folder: where to do all this.
    :raises SystemExit: something did not work.
    """
    bin = folder / "fresh" / "bin"
    work = folder / "elsewhere"
    work.mkdir()
    (work / "node.toml").write_text(CONFIGURATION, "utf-8")
    (work / "typed.py").write_text(TYPED, "utf-8")
    run(python, "-m", "venv", folder / "fresh", cwd=work)
    run(bin / "pip", "install", "-q", wheel, cwd=work)
    run(bin / "python", "-I", "-W", "error", "-c", with_extras(IMPORTS, False), cwd=work)
    run(bin / "fastcoord", "check", "node.toml", cwd=work)
    run(bin / "pip", "install", "-q", f"fastcoord[server,cli] @ {wheel.as_uri()}", cwd=work)
    run(bin / "python", "-I", "-W", "error", "-c", with_extras(IMPORTS, True), cwd=work)
    run(bin / "fastcoord", "demo", "--seconds", "1", "--plain", cwd=work)
    mypy = (sys.executable, "-m", "mypy", "--strict", "--python-executable", bin / "python")
    run(*mypy, "typed.py", cwd=work)


def with_extras(code: str, installed: bool) -> str:
    return f"WITH_EXTRAS = {installed}\n{code}"


def run(*command: str | Path, cwd: Path) -> None:
    print("+", *(str(word).partition("\n")[0] for word in command), flush=True)
    environment = {name: value for name, value in os.environ.items() if "PYTHON" not in name}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, timeout=300, check=False
    )
    if done.returncode:
        raise SystemExit(f"wheel: this command ended with {done.returncode}")
