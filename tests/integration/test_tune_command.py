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
from support.servers.certificates import Certificates
from support.servers.unusable import unused_address

hdrh = pytest.importorskip("hdrh.histogram", reason="the extra bench is not installed")

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
    """The folder of a search whose present capacity is too small: state, report and output.

    The search was interrupted in its third run, and resumed.
    """
    folder = tmp_path_factory.mktemp("tune")
    words = ("node.toml", *LOAD, *QUICK, "--report", "report.html")
    with LocalServer() as server:
        text = node_toml(server, capacity={"subscription": 20})
        (folder / "node.toml").write_text(text)
        interrupted = subprocess.Popen(
            [sys.executable, "-m", "fastcoord", "tune", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=folder,
        )
        assert interrupted.stderr is not None
        for line in interrupted.stderr:
            if line.startswith("run 3,"):
                break
        interrupted.send_signal(signal.SIGINT)
        output, errors = interrupted.communicate(timeout=60)
        assert (interrupted.returncode, output) == (130, "")
        assert "interrupted after 2 runs; continue with the same options and --resume" in errors
        assert not (folder / "report.html").exists()
        (folder / "kept.json").write_bytes((folder / "fastcoord-tune.json").read_bytes())
        other = tune(*words, "--resume", "--burst", "5", cwd=folder)
        assert (other.returncode, "is of another load" in other.stderr) == (2, True)
        done = tune(*words, "--resume", cwd=folder)
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
    assert re.search(r"a stall of \S+ s needs [\d,]+; the present value suffices", output)
    assert "capacity.client" in output.partition("These settings can stay as they are:")[2]
    row = re.search(r"^capacity\.subscription +20 .* ([\d.]+) x ", output, re.M)
    found = next(e for e in state(searched)["advice"]["findings"] if e["matters"])
    assert row is not None
    assert float(row[1]) == round(found["recommended"] / found["failing"], 1) > 1.5
    assert re.search(r"^Memory of the queues of one node .* at most 9\d MB\.$", output, re.M)


@LONG
def test_small_load_needs_no_change(tmp_path: Path) -> None:
    done = tune("--rate", "100", "--lone", "--stall", "0.3", *QUICK, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "The defaults suffice. There is nothing to change." in done.stdout
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
        (["a.toml", "--rate", "5", "b.toml"], "one configuration is enough"),
        (["--rate", "5", "--state", "/dev/zero"], "/dev/zero is no regular file"),
        (["--rate", "5", "--seconds", "0"], "--seconds must be above zero"),
        (["--rate", "5", "--report", "nowhere/a.html"], "there is no directory nowhere"),
    ],
)
def test_wrong_usage_exits_with_2(words: list[str], said: str, tmp_path: Path) -> None:
    done = tune(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_large_events_get_larger_batches(tmp_path: Path, shared_server: LocalServer) -> None:
    (tmp_path / "node.toml").write_text(
        node_toml(shared_server, cluster={"protocol": "fastcoord-1"})
    )
    words = ("node.toml", "--rate", "20", "--mix", "AppEvent", "--payload", "100000")
    kept = ("--keep", "capacity.read-buffer")
    done = tune(*words, *kept, "--seconds", "0.5", "--minutes", "0.1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert '\n[store."nats"]\ncapacity.batch-bytes = "128KB"\n\n' in done.stdout
    assert "the largest event does not fit into the present value" in done.stdout
    confirming = state(tmp_path)["runs"][-1]
    assert confirming["settings"]["capacity.batch-bytes"] == 131_072
    assert confirming["result"]["received"] == confirming["result"]["sent"] > 0
    refused = tune(*words, "--keep", "capacity.batch-bytes", cwd=tmp_path)
    assert refused.returncode == 2
    assert "an event takes 100,006 bytes, and does not fit into capacity" in refused.stderr


@pytest.mark.parametrize(
    ("mix", "kinds"),
    [
        ("EmailPush", "EmailPush"),
        ("AppEvent", "AppEvent of 40 bytes"),
        ("AppEvent=2,StateChange", "AppEvent of 40 bytes (2) and StateChange (1)"),
    ],
)
def test_answer_names_kinds_of_events(mix: str, kinds: str, tmp_path: Path) -> None:
    output = tune("--arithmetic", "--rate", "9", "--mix", mix, cwd=tmp_path).stdout
    assert f"For 9 events/s of 1 node, one call an event, {kinds}:\n" in output


def test_impossible_memory_exits_with_1(tmp_path: Path) -> None:
    words = ("--arithmetic", "--rate", "30000", "--lone", "--outage", "10", "--memory", "1MB")
    done = tune(*words, cwd=tmp_path)
    assert done.returncode == 1
    assert "allow more memory" in done.stdout
    assert (
        "An event larger than 1,024 bytes is then refused (capacity.batch-bytes).\n" in done.stdout
    )


def test_dead_server_exits_with_3(tmp_path: Path) -> None:
    (tmp_path / "node.toml").write_text(node_toml(unused_address()))
    done = tune("node.toml", *LOAD, cwd=tmp_path)
    assert done.returncode == 3
    assert "ConnectError" in done.stderr
    assert "--resume" not in done.stderr
    assert not (tmp_path / "fastcoord-tune.json").exists()


def test_wrong_certificate_exits_with_3(tmp_path: Path, certificates: Certificates) -> None:
    with LocalServer(tls=certificates.server.tls()) as server:
        (tmp_path / "node.toml").write_text(node_toml(server, tls={"enable": True}))
        done = tune("node.toml", *LOAD, cwd=tmp_path)
    assert done.returncode == 3
    assert "TlsError" in done.stderr


def test_outage_with_tls_exits_with_3(tmp_path: Path, certificates: Certificates) -> None:
    with LocalServer(tls=certificates.server.tls()) as server:
        tls = {"enable": True, "ca_file": str(certificates.ca)}
        (tmp_path / "node.toml").write_text(node_toml(server, tls=tls))
        done = tune("node.toml", "--rate", "100", "--outage", "1", cwd=tmp_path)
    assert done.returncode == 3
    assert "an outage cannot be made on a TLS connection" in done.stderr


def test_missing_right_exits_with_3(tmp_path: Path) -> None:
    rights = """
    authorization { users: [{
        user: node, password: secret, permissions: { publish: { deny: ["fastcoord.bench.>"] } }
    }] }
    """
    with LocalServer(extra_config=rights) as server:
        text = node_toml(server, user="node", password="secret")
        (tmp_path / "node.toml").write_text(text)
        done = tune("node.toml", *LOAD, cwd=tmp_path)
    assert done.returncode == 3
    assert "PermissionDenied" in done.stderr
    assert 'publish: { allow: ["fastcoord.bench.>"] }' in done.stderr


async def test_killed_server_keeps_runs(tmp_path: Path, server: LocalServer) -> None:
    (tmp_path / "node.toml").write_text(node_toml(server, max_reconnects=0))
    file = tmp_path / "state.json"
    words = ("tune", str(tmp_path / "node.toml"), *LOAD, *QUICK, "--state", str(file))
    async with start(*words, directory=tmp_path) as command:
        await command.prints("run 2,")
        server.kill()
        assert await command.wait() == 3
    assert "1 finished runs are kept, and --resume uses them" in command.err
    kept = file.read_bytes()
    assert len(json.loads(kept)["runs"]) == 1
    async with start(*words, directory=tmp_path) as command:
        assert await command.wait() == 3
    assert "has 1 finished runs of this load, which are replaced; with --resume" in command.err
    assert file.read_bytes() == kept


async def test_early_interrupt_keeps_earlier_runs(tmp_path: Path, server: LocalServer) -> None:
    (tmp_path / "node.toml").write_text(node_toml(server))
    file = tmp_path / "state.json"
    words = ("tune", str(tmp_path / "node.toml"), *LOAD, *QUICK, "--state", str(file))
    for run, number, seen in (
        ("run 2,", signal.SIGTERM, "fastcoord: interrupted after 1 runs"),
        ("run 1,", signal.SIGINT, "which are replaced"),
    ):
        async with start(*words, directory=tmp_path) as command:
            await command.prints(run)
            command.process.send_signal(number)
            assert await command.wait() == 128 + number
        assert seen in command.err
        assert len(json.loads(file.read_bytes())["runs"]) == 1
    assert command.err.endswith("fastcoord: interrupted within the first run\n")
    with LocalServer() as other:
        (tmp_path / "node.toml").write_text(node_toml(other))
        async with start(*words, "--resume", directory=tmp_path) as command:
            assert await command.wait() == 2
    assert "is of another load, another server or other settings" in command.err


async def test_unwritable_state_costs_no_recommendation(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "state.json"
    file.parent.mkdir()
    words = ("tune", "--rate", "100", "--lone", *QUICK, "--state", str(file))
    async with start(*words, directory=tmp_path) as command:
        await command.prints("run 1,")
        file.parent.rmdir()
        assert await command.wait() == 0, command.err
    assert "The defaults suffice. There is nothing to change." in command.out
    assert command.err.count("state.json cannot be written: No such file or directory") == 1


WITHOUT_EXTRAS = """
import sys
for name in ("hdrh", "nats_server", "rich", "uvloop"):
    sys.modules[name] = None
from fastcoord.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["tune", "--arithmetic", "--rate", "30000", "--lone", "--stall", "3"], 0, "140000"),
        (["tune", "--rate", "10"], 3, "pip install 'fastcoord[bench]'"),
        (["bench", "--rate", "10"], 3, "pip install 'fastcoord[bench]'"),
        (["bench", "--loop", "uvloop"], 2, "pip install 'fastcoord[uvloop]'"),
    ],
)
def test_only_runs_need_extras(words: list[str], code: int, said: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_EXTRAS, *words],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == code, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_resumed_search_keeps_runs(searched: Path) -> None:
    kept = json.loads((searched / "kept.json").read_bytes())["runs"]
    runs = state(searched)["runs"]
    assert len(kept) == 2
    assert [run for run in runs if run in kept] == kept
    assert len(runs) > 5


# ------------------------------------------------------------------------------------- report


def test_report_refers_to_nothing(searched: Path) -> None:
    text = (searched / "report.html").read_text()
    links = re.findall(r"(?:src|href)\s*=|@import|url\(", text)
    assert links == []
    assert "{{" not in text.partition('id="data"')[0]


CHECKS = r"""
<script>
const found = {errors: window.foundErrors};
found.charts = Object.fromEntries(window.reportPlots.map(({id, plot}) => [id, plot.data]));
const asPixel = (name) => {
  const {style} = document.body.appendChild(document.createElement("i"));
  style.color = `var(${name})`;
  return getComputedStyle(document.body.lastChild).color.match(/\d+/g).join();
};
const recommended = asPixel("--d");
const {charts} = JSON.parse(document.getElementById("data").textContent);
found.drawn = true;
found.marked = [];
for (const {id, plot} of window.reportPlots) {
  const {ctx, bbox} = plot, {width, height} = ctx.canvas;
  const {data} = ctx.getImageData(0, 0, width, height);
  found.drawn &&= data.some((each) => each !== 0);
  const chart = charts.find((each) => each.id === id);
  if (!chart) continue;
  const at = Math.round(plot.valToPos(chart.marks.recommended, "x", true));
  const colorAt = (x, y) => data.slice(4 * (y * width + x), 4 * (y * width + x) + 3).join();
  let hits = 0;
  for (let y = bbox.top; y < bbox.top + bbox.height; y++)
    hits += [at - 1, at].some((x) => colorAt(x, y) === recommended);
  found.marked.push(hits / bbox.height);
}
const column = (index) =>
  [...document.querySelectorAll("#runs tbody tr")].map((row) => row.cells[index].textContent);
const headers = [...document.querySelectorAll("#runs th button")];
found.headers = headers.map((each) => each.textContent);
headers[9].click();
found.ascending = column(9);
headers[9].click();
found.descending = column(9);
found.sorted = headers[9].parentElement.getAttribute("aria-sort");
headers[2].click();
found.texts = column(2);
found.wide = document.documentElement.scrollWidth > document.documentElement.clientWidth;
found.marks = [...document.querySelectorAll(".marks")].map((each) =>
  [...each.children].map((mark) => mark.textContent));
found.background = getComputedStyle(document.body).backgroundColor;
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


VARIED = {"capacity.subscription": "stall"}


def points_of(runs: list[Any], key: str, purpose: str) -> dict[int, Any]:
    """Return the results of the runs that varied a setting, by its value."""
    return {
        run["settings"][key]: run["result"]
        for run in runs
        if run["varied"].startswith(f"{key} = ")
        or (run["purpose"] == purpose and run["varied"] == "confirm")
    }


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
@pytest.mark.parametrize(
    ("width", "option", "background"),
    [
        (500, "--blink-settings=preferredColorScheme=1", "rgb(255, 255, 255)"),
        (1200, "--blink-settings=preferredColorScheme=0", "rgb(20, 24, 29)"),
    ],
    ids=["narrow and light", "wide and dark"],
)
def test_report_works_in_browser(
    searched: Path, tmp_path: Path, width: int, option: str, background: str
) -> None:
    text = (searched / "report.html").read_text()
    page = tmp_path / "report.html"
    page.write_text(
        text.replace("<head>", f"<head>{LISTEN}").replace("</body>", f"{CHECKS}</body>")
    )
    done = browse(page, width, "--dump-dom", option)
    assert "CONSOLE" not in done.stderr
    match = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.S)
    assert match is not None, done.stdout[-2000:]
    found = json.loads(html.unescape(match[1]))
    assert found["errors"] == []
    assert found["drawn"] is True
    assert found["wide"] is False
    assert found["toml"].startswith('[store."nats"]\ncapacity.subscription = ')

    assert found["background"] == background

    kept = state(searched)
    runs = kept["runs"]
    charts = found["charts"]
    for key, purpose in VARIED.items():
        points = points_of(runs, key, purpose)
        x, events, latency = charts.pop(f"{key}:speed")
        assert x == sorted(points)
        assert events == [points[value]["events_per_second"] for value in x]
        assert latency == [points[value]["corrected"]["percentiles"]["99"] for value in x]
        if purpose == "stall":
            x, missed = charts.pop(f"{key}:missed")
            assert x == sorted(points)
            assert missed == [points[value]["missed"] for value in x]
            assert missed[0] > 0 == missed[-1]
    curves = charts.pop("histogram")
    assert charts == {}
    for run, drawn in zip([r for r in runs if r["varied"] == "confirm"], curves[1::2], strict=True):
        histogram = hdrh.HdrHistogram.decode(run["result"]["corrected"]["histogram"])
        highest = max(value for value in drawn if value is not None)
        assert highest == histogram.get_max_value() / 1e6

    # The colour of the recommendation has a line in each chart, and the legend has its value.
    assert min(found["marked"]) > 0.7
    advised = next(e for e in kept["advice"]["findings"] if e["matters"])["recommended"]
    assert ["default: 65,536", f"recommended: {advised:,}", "present: 20"] in found["marks"]

    assert found["headers"][9] == "sent"
    numbers = [int(each.replace(",", "")) for each in found["ascending"]]
    assert numbers == sorted(run["result"]["sent"] for run in runs)
    assert found["descending"] == found["ascending"][::-1]
    assert found["sorted"] == "descending"
    tried = [each for each in found["texts"] if each.startswith("capacity.subscription = ")]
    values = [int(each.partition(" = ")[2].replace(",", "")) for each in tried]
    assert values == sorted(values)
    assert sorted(found["texts"]) == sorted(run["varied"] for run in runs)
