"""The report of ``fastcoord tune`` in a browser and on paper."""

import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from support.processes.measured import finished_search

hdrh = pytest.importorskip("hdrh.histogram", reason="the extra bench is not installed")


BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return finished_search(tmp_path_factory)


def test_report_refers_to_nothing(searched: Path) -> None:
    text = (searched / "report.html").read_text()
    links = re.findall(r"(?:src|href)\s*=|@import|url\(", text)
    assert links == []
    assert text.index('id="verdict"') < text.index('id="problems"') < text.index('id="toml"')
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

    kept = json.loads((searched / "fastcoord-tune.json").read_bytes())
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


# ------------------------------------------------------------------------------------ printing


def printed_words(pdf: Path) -> list[str]:
    """Return the words of a PDF; each is inside its page."""
    done = subprocess.run(["pdftotext", "-bbox", pdf, "-"], capture_output=True, check=True)
    words = []
    for page in done.stdout.decode().split("<page ")[1:]:
        size = re.match(r'width="([\d.]+)" height="([\d.]+)"', page)
        assert size is not None
        places = re.findall(r'<word xMin="(.*)" yMin="(.*)" xMax="(.*)" yMax="(.*)">(.*)</w', page)
        for left, top, right, bottom, word in places:
            assert MARGIN <= float(left) < float(right) <= float(size[1]) - MARGIN, word
            assert 0 < float(top) < float(bottom) < float(size[2]), word
            words.append(html.unescape(word))
    return words


MARGIN = 28
"""Points; a little less than the margin of 1 cm."""


Column = list[tuple[int, int, int]]
"""The colours of one column of pixels, from top to bottom."""


def printed_pages(pdf: Path) -> list[list[Column]]:
    """Return the columns of each page, 96 pixels in an inch."""
    subprocess.run(["pdftoppm", "-r", "96", pdf, pdf.with_suffix("")], check=True)
    pages = []
    for file in sorted(pdf.parent.glob(f"{pdf.stem}-*.ppm")):
        data = file.read_bytes()
        match = re.match(rb"P6\n(\d+) \d+\n255\n", data)
        assert match is not None
        width, pixels = int(match[1]), data[match.end() :]
        red, green, blue = (pixels[colour::3] for colour in range(3))
        columns = range(width)
        pages.append(
            [
                list(zip(red[x::width], green[x::width], blue[x::width], strict=True))
                for x in columns
            ]
        )
    return pages


def recommended_lines(columns: list[Column]) -> int:
    """Count the vertical lines in the colour of the recommendation that are as high as a chart."""
    found = 0
    before: list[int] = []
    for column in columns:
        greens = [y for y, (red, green, blue) in enumerate(column) if green - max(red, blue) > 15]
        # Charts are below each other; curves and gridlines interrupt a line.
        tops = [y for last, y in zip([-99, *greens], greens, strict=False) if y - last > 30]
        high = [top for top in tops if sum(top <= y < top + 200 for y in greens) > 90]
        found += sum(all(abs(top - each) > 20 for each in before) for top in high)
        before = high
    return found


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium")
@pytest.mark.skipif(shutil.which("pdftoppm") is None, reason="poppler is not installed")
def test_print_shows_everything(searched: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_bytes((searched / "report.html").read_bytes())
    pdf = tmp_path / "report.pdf"
    dark = "--blink-settings=preferredColorScheme=0"
    browse(page, 1200, f"--print-to-pdf={pdf}", "--no-pdf-header-footer", dark)
    words = printed_words(pdf)
    match = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text())
    assert match is not None
    data = json.loads(match[1])
    titles = [title for _, title in data["columns"]]
    expected = [data["workload"], *data["toml"].split("\n"), *titles]
    expected += [each["reason"] for each in data["findings"]]
    expected += [chart["title"] for chart in data["charts"]]
    expected += [f"{name}: {value:,}" for c in data["charts"] for name, value in c["marks"].items()]
    expected += [value for _, value in data["machine"]]
    for text in expected:
        assert set(text.split()) <= set(words), text
    verdicts = words.count("fails") + words.count("good")
    assert verdicts == len(data["runs"]) + len(data["incidents"])
    pages = printed_pages(pdf)
    assert sum(map(recommended_lines, pages)) == len(data["charts"]) > 0
    for columns in pages:
        edge = round(len(columns) - 96 / 2.54)  # what touches the margin may be cut
        assert {each for column in columns[edge - 4 :] for each in column} == {(255, 255, 255)}
