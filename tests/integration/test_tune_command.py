"""``fastcoord tune`` as a process: search, Ctrl-C, resuming, and its report in a browser."""

import html
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from fastcoord.server import LocalServer
from support.cluster.nodes import node_toml
from support.processes.command import start
from support.servers.unusable import unused_address

pytest.importorskip("hdrh", reason="the extra bench is not installed")

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
LOAD = ("--rate", "400", "--lone", "--stall", "0.5")
QUICK = ("--seconds", "1", "--minutes", "0.1")


def tune(*words: str, timeout: float = 240, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "fastcoord", "tune", *words],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        cwd=cwd,
    )


LONG = pytest.mark.skipif(
    not os.environ.get("FASTCOORD_LONG"), reason="a longer search: make tune-proof"
)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a search whose present capacity is too small: state, report and output."""
    folder = tmp_path_factory.mktemp("tune")
    with LocalServer() as server:
        text = node_toml(server, capacity={"subscription": 20})
        (folder / "node.toml").write_text(text)
        done = tune("node.toml", *LOAD, *QUICK, "--report", "report.html", cwd=folder)
    assert done.returncode == 0, done.stderr
    (folder / "output.txt").write_text(done.stdout)
    return folder


def state(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "fastcoord-tune.json").read_bytes())
    return found


def test_search_recommends_enough(searched: Path) -> None:
    output = (searched / "output.txt").read_text()
    block = re.search(r'^\[store\."nats"\]\ncapacity\.subscription = (\d+)$', output, re.M)
    assert block is not None
    # 200 messages arrive during the stall.
    assert 200 <= int(block[1]) <= 1200
    assert "Confirmed by runs with these settings." in output
    assert "capacity.client" in output.partition("These settings did not matter:")[2]


@LONG
def test_small_load_needs_no_change(tmp_path: Path) -> None:
    done = tune("--rate", "100", "--lone", "--stall", "0.3", *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "The present settings suffice. There is nothing to change." in done.stdout
    assert "Confirmed" in done.stdout


def test_missed_objective_exits_with_1(tmp_path: Path) -> None:
    words = ("--rate", "100", "--objective", "p50<1us", "--seconds", "1", "--minutes", "0.1")
    done = tune(*words, cwd=tmp_path)
    assert done.returncode == 1, done.stderr
    assert "Not reached: the objective p50<1us is missed" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "the following arguments are required: --rate"),
        (["--rate", "5", "--memory", "lots"], "allowed is a size"),
        (["--rate", "5", "--resume"], "there is no fastcoord-tune.json to resume"),
        (["--rate", "5", "--arithmetic", "--report", "a.html"], "leave out --arithmetic"),
        (["missing.toml", "--rate", "5"], "there is no such file"),
    ],
)
def test_wrong_usage_exits_with_2(words: list[str], said: str, tmp_path: Path) -> None:
    done = tune(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_impossible_memory_exits_with_1(tmp_path: Path) -> None:
    words = ("--arithmetic", "--rate", "30000", "--lone", "--outage", "10", "--memory", "1MB")
    done = tune(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert "allow more memory" in done.stdout


def test_dead_server_exits_with_3(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(node_toml(unused_address()))
    done = tune("node.toml", *LOAD, cwd=tmp_path)
    assert done.returncode == 3
    assert "ConnectError" in done.stderr


def runs_in(file: str) -> list[Any]:
    return list(json.loads(Path(file).read_bytes())["runs"])


@LONG
async def test_interrupted_search_resumes(tmp_path: Path) -> None:
    file = str(tmp_path / "state.json")
    words = ("tune", *LOAD, *QUICK, "--state", file)
    async with start(*words, directory=tmp_path) as command:
        await command.prints("run 3,")
        command.process.send_signal(signal.SIGINT)
        assert await command.wait() == 130
    assert "--resume" in command.err
    kept = runs_in(file)
    assert len(kept) == 2
    async with start(*words, "--resume", directory=tmp_path) as command:
        assert await command.wait() == 0, command.err
    runs = runs_in(file)
    assert [run for run in runs if run in kept] == kept
    assert len(runs) > 2
    async with start(*words, "--resume", "--burst", "5", directory=tmp_path) as command:
        assert await command.wait() == 2
    assert "is of another load" in command.err


# ------------------------------------------------------------------------------------- report


def test_report_refers_to_nothing(searched: Path) -> None:
    text = (searched / "report.html").read_text()
    links = re.findall(r"(?:src|href)\s*=|@import|url\(", text)
    assert links == []
    assert "{{" not in text.partition('id="data"')[0]


CHECKS = """
<script>
const found = {errors: window.foundErrors};
found.charts = Object.fromEntries(window.reportPlots.map(({id, plot}) => [id, plot.data]));
found.drawn = window.reportPlots.every(({plot}) => {
  const {ctx} = plot, {width, height} = ctx.canvas;
  return ctx.getImageData(0, 0, width, height).data.some((each) => each !== 0);
});
const column = (index) =>
  [...document.querySelectorAll("#runs tbody tr")].map((row) => row.cells[index].textContent);
const headers = [...document.querySelectorAll("#runs th button")];
found.headers = headers.map((each) => each.textContent);
headers[9].click();
found.ascending = column(9);
headers[9].click();
found.descending = column(9);
found.sorted = headers[9].parentElement.getAttribute("aria-sort");
found.wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
found.toml = document.getElementById("toml").textContent;
const made = document.createElement("pre");
made.id = "found";
made.textContent = JSON.stringify(found);
document.body.append(made);
</script>
"""
LISTEN = """
<script>
window.foundErrors = [];
addEventListener("error", (event) => foundErrors.push(String(event.message)));
addEventListener("unhandledrejection", (event) => foundErrors.push(String(event.reason)));
for (const name of ["error", "warn"]) {
  console[name] = (...words) => foundErrors.push(words.join(" "));
}
</script>
"""


def browse(page: Path, width: int, *words: str) -> subprocess.CompletedProcess[str]:
    assert BROWSER is not None
    return subprocess.run(
        [
            *(
                BROWSER,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--enable-logging=stderr",
            ),
            *(f"--user-data-dir={page.parent / 'profile'}", f"--window-size={width},900"),
            *(*words, page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
@pytest.mark.parametrize("width", [500, 1200])
def test_report_works_in_browser(searched: Path, tmp_path: Path, width: int) -> None:
    text = (searched / "report.html").read_text()
    page = tmp_path / "report.html"
    page.write_text(
        text.replace("<head>", f"<head>{LISTEN}").replace("</body>", f"{CHECKS}</body>")
    )
    done = browse(page, width, "--dump-dom")
    assert "CONSOLE" not in done.stderr
    match = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)
    assert match is not None, done.stdout[-2000:]
    found = json.loads(html.unescape(match[1]))
    assert found["errors"] == []
    assert found["drawn"] is True
    assert found["wide"] is False
    assert found["toml"].startswith('[store."nats"]\ncapacity.subscription = ')

    runs = state(searched)["runs"]
    stalls = [
        run
        for run in runs
        if run["varied"].startswith("capacity.subscription = ")
        or (run["purpose"] == "stall" and run["varied"] == "confirm")
    ]
    points = {run["settings"]["capacity.subscription"]: run["result"] for run in stalls}
    x, missed = found["charts"]["capacity.subscription:missed"]
    assert x == sorted(points)
    assert missed == [points[value]["missed"] for value in x]
    assert missed[0] > 0 == missed[-1]
    x, events, latency = found["charts"]["capacity.subscription:speed"]
    assert events == [points[value]["events_per_second"] for value in x]
    assert latency == [points[value]["corrected"]["percentiles"]["99"] for value in x]
    assert len(found["charts"]["histogram"]) >= 3

    assert found["headers"][9] == "sent"
    numbers = [int(each.replace(",", "")) for each in found["ascending"]]
    assert numbers == sorted(run["result"]["sent"] for run in runs)
    assert found["descending"] == found["ascending"][::-1]
    assert found["sorted"] == "descending"
