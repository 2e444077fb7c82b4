"""Modules can be imported where POSIX modules and functions are lacking, as on Windows."""

import subprocess
import sys

PROGRAM = """
import asyncio, ctypes, importlib, multiprocessing, os, pkgutil, signal, subprocess, sys
import argparse, concurrent.futures, http.client, logging.handlers, nats, pathlib, tempfile

for name in ("fcntl", "termios", "resource", "pwd", "grp", "tty", "pty"):
    sys.modules[name] = None
for name in ("register_at_fork", "geteuid", "getuid", "waitid", "getloadavg", "O_CLOEXEC"):
    delattr(os, name)
for name in ("SIGHUP", "SIGKILL", "SIGSTOP", "SIGCONT", "SIGUSR2"):
    delattr(signal, name)
sys.platform = "win32"

import fastcoord

LACKING = ("rich", "plotext", "hdrh", "prometheus_client", "cachetools", "pytest", "uvloop")
for each in pkgutil.walk_packages(fastcoord.__path__, "fastcoord."):
    if not each.name.endswith("__main__"):
        try:
            importlib.import_module(each.name)
        except ModuleNotFoundError as error:
            assert error.name.split(".")[0] in LACKING, error
"""


def test_every_module_is_imported_without_posix() -> None:
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=120, check=False
    )
    assert (run.returncode, run.stderr) == (0, "")
