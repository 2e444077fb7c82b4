"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const element = (id) => document.getElementById(id);
  const color = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const COLORS = ["--a", "--b", "--c", "--d", "--e", "--f"];
  const number = (value) => {
    if (value === null || value === undefined) return "";
    if (typeof value !== "number") return String(value);
    if (Number.isInteger(value)) return value.toLocaleString("en");
    const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
    return value.toLocaleString("en", { maximumFractionDigits: digits });
  };
  const short = (value) =>
    value >= 1e6 ? number(value / 1e6) + "M" : value >= 1e4 ? number(value / 1e3) + "k" : number(value);

  const cell = (row, value, isNumber, tone) => {
    const made = document.createElement("td");
    const header = row.closest("table").tHead.rows[0].cells[row.cells.length];
    made.dataset.label = header.textContent;
    made.textContent = isNumber ? number(value) : value;
    if (isNumber) made.classList.add("n");
    if (tone) made.classList.add(tone);
    row.append(made);
    return made;
  };

  // ------------------------------------------------------------------ recommendation

  element("workload").textContent = data.workload;
  const verdict = element("verdict");
  if (data.problems.length) {
    verdict.textContent = "The load cannot be carried within the limits:";
    verdict.className = "bad";
    element("problems").hidden = false;
    element("closest").hidden = !data.toml;
    for (const problem of data.problems) {
      const item = document.createElement("li");
      item.textContent = problem;
      element("problems").append(item);
    }
  } else {
    verdict.className = "good";
    verdict.textContent = data.suffices
      ? data.verdict
      : "Put these settings into the configuration. Runs with them have confirmed them:";
  }
  if (data.toml) {
    element("toml").hidden = false;
    element("toml").textContent = data.toml;
  }
  element("smallest").textContent = data.smallest;
  for (const each of data.findings) {
    const row = element("findings").tBodies[0].insertRow();
    cell(row, each.key);
    cell(row, each.present, true);
    cell(row, each.recommended, true, each.matters ? "good" : "");
    cell(row, each.minimum, true);
    cell(row, each.margin).classList.add("n");
    cell(row, each.reason);
  }
  element("memory").textContent =
    `The queues of one node with one subscription use at most ${data.memory}.`;

  // -------------------------------------------------------------------------- charts

  const plots = [];
  const axis = (extra) => ({
    stroke: () => color("--text"),
    grid: { stroke: () => color("--line"), width: 1 },
    ticks: { stroke: () => color("--line"), width: 1 },
    font: "12px system-ui, sans-serif",
    ...extra,
  });
  const draw = (place, title, options, values, source) => {
    const box = document.createElement("div");
    box.className = "chart";
    const head = document.createElement("h3");
    head.textContent = title;
    box.append(head);
    place.append(box);
    const width = () => Math.max(240, Math.floor(box.clientWidth));
    const plot = new uPlot({ width: width(), height: 260, ...options }, values, box);
    plot.root.setAttribute("role", "img");
    plot.root.setAttribute("aria-label", title);
    new ResizeObserver(() => {
      if (plot.width !== width()) plot.setSize({ width: width(), height: 260 });
    }).observe(box);
    plots.push({ id: source.id, plot });
    return box;
  };
  const line = (plot, value, stroke, dash) => {
    const x = Math.round(plot.valToPos(value, "x", true));
    const { ctx } = plot;
    ctx.save();
    ctx.strokeStyle = stroke;
    ctx.lineWidth = 2 * devicePixelRatio;
    ctx.setLineDash(dash.map((each) => each * devicePixelRatio));
    ctx.beginPath();
    ctx.moveTo(x, plot.bbox.top);
    ctx.lineTo(x, plot.bbox.top + plot.bbox.height);
    ctx.stroke();
    ctx.restore();
  };

  const MARKS = {
    default: () => [color("--mark"), [6, 5]],
    recommended: () => [color("--d"), []],
    present: () => [color("--b"), [2, 4]],
  };

  element("no-charts").hidden = data.charts.length > 0;
  for (const chart of data.charts) {
    const low = Math.min(...chart.x, ...Object.values(chart.marks));
    const high = Math.max(...chart.x, ...Object.values(chart.marks));
    const hasRight = chart.series.some((each) => each.side === "right");
    const options = {
      scales: {
        x: { time: false, distr: 3, log: 10, range: [low / 1.3, high * 1.3] },
        left: { range: (plot, min, max) => [0, Math.max(1, max * 1.15)] },
        right: { range: (plot, min, max) => [0, Math.max(1, max * 1.15)] },
      },
      axes: [
        axis({
          splits: () => {
            const places = [];
            const least = Math.log(high / low || 2) / 6;
            // The recommendation has a label in any case, other values where there is space.
            for (const x of [chart.marks.recommended, ...Object.values(chart.marks), ...chart.x])
              if (places.every((each) => Math.abs(Math.log(x / each)) >= least)) places.push(x);
            return places.sort((a, b) => a - b);
          },
          filter: (plot, splits) => splits,
          values: (plot, splits) => splits.map(short),
        }),
        axis({ scale: "left", size: 60, label: chart.series[0].name, labelFont: "12px system-ui, sans-serif",
          values: (plot, splits) => splits.map(short) }),
        ...(hasRight
          ? [axis({ scale: "right", side: 1, size: 60, label: chart.series[1].name,
              labelFont: "12px system-ui, sans-serif", grid: { show: false },
              values: (plot, splits) => splits.map(short) })]
          : []),
      ],
      series: [
        { label: chart.id.split(":")[0], value: (plot, value) => number(value) },
        ...chart.series.map((each, index) => ({
          label: each.name,
          scale: each.side,
          stroke: () => color(COLORS[index]),
          width: 2,
          points: { show: true, size: 7, fill: () => color(COLORS[index]) },
          value: (plot, value) => number(value),
        })),
      ],
      hooks: {
        drawAxes: [
          (plot) => {
            for (const [name, value] of Object.entries(chart.marks)) line(plot, value, ...MARKS[name]());
          },
        ],
      },
    };
    const values = [chart.x, ...chart.series.map((each) => each.y)];
    const box = draw(element("charts"), chart.title, options, values, chart);
    const marks = document.createElement("div");
    marks.className = "marks";
    for (const [name, value] of Object.entries(chart.marks)) {
      const mark = document.createElement("span");
      mark.className = name;
      mark.textContent = `${name}: ${number(value)}`;
      marks.append(mark);
    }
    box.append(marks);
  }

  // ----------------------------------------------------------------------- histogram

  if (data.histogram.length) {
    const nines = (percentile) => 1 / (1 - Math.min(percentile, 99.9999) / 100);
    const tables = data.histogram.map((each) => [
      each.points.map((point) => nines(point[0])),
      each.points.map((point) => point[1]),
    ]);
    const values = uPlot.join(tables);
    const most = Math.max(...values[0]);
    const shown = [1, 2, 10, 100, 1000, 10000, 100000].filter((each) => each <= most);
    const options = {
      scales: {
        x: { time: false, distr: 3, log: 10, range: [1, most] },
        left: { distr: 3, log: 10 },
      },
      axes: [
        axis({
          splits: (plot) => (plot.width < 600 ? shown.filter((each) => each !== 1) : shown),
          filter: (plot, splits) => splits,
          values: (plot, splits) => splits.map((each) => `${+(100 - 100 / each).toFixed(3)}%`),
        }),
        axis({ scale: "left", size: 60, label: "ms", labelFont: "12px system-ui, sans-serif",
          values: (plot, splits) => splits.map((each) => (each === null ? "" : number(each))) }),
      ],
      series: [
        { label: "percentile", value: (plot, value) => (value ? `${+(100 - 100 / value).toFixed(4)}%` : "") },
        ...data.histogram.map((each) => ({
          label: each.name,
          scale: "left",
          stroke: () => color(COLORS[["steady", "stall", "outage"].indexOf(each.name.split(",")[0])]),
          width: 2,
          dash: each.name.endsWith("uncorrected") ? [6, 4] : [],
          spanGaps: true,
          points: { show: false },
          value: (plot, value) => (value ? `${number(value)} ms` : ""),
        })),
      ],
    };
    draw(element("histogram"), "Latency by percentile", options, values, { id: "histogram" });
  }
  const redraw = () => {
    for (const { plot } of plots) {
      plot.redraw(false, true);
      plot.root.querySelectorAll(".u-marker").forEach((marker, index) => {
        if (index) marker.style.borderColor = plot.series[index].stroke(); // the first is that of x
      });
    }
  };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  matchMedia("print").addEventListener("change", redraw);

  // -------------------------------------------------------------------------- tables

  const TONES = { good: "good", fails: "bad" }; // other values were not measured
  element("no-incidents").hidden = data.incidents.length > 0;
  element("incidents").hidden = data.incidents.length === 0;
  for (const each of data.incidents) {
    const row = element("incidents").tBodies[0].insertRow();
    cell(row, each.purpose);
    cell(row, each.seconds, true);
    cell(row, each.varied);
    cell(row, each.missed, true);
    cell(row, each.high_water, true);
    cell(row, each.max, true);
    cell(row, each.verdict, false, TONES[each.verdict]);
  }

  const table = element("runs");
  const head = table.tHead.insertRow();
  const isNumber = (key) => data.runs.every((run) => typeof (run[key] ?? 0) === "number");
  const fill = (runs) => {
    table.tBodies[0].replaceChildren();
    for (const run of runs) {
      const row = table.tBodies[0].insertRow();
      for (const [key] of data.columns) {
        cell(row, run[key], isNumber(key), key === "verdict" && TONES[run[key]]);
      }
    }
  };
  const sort = (header, key) => {
    const ascending = header.getAttribute("aria-sort") !== "ascending";
    for (const each of head.cells) each.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const order = [...data.runs].sort((one, two) => {
      const [a, b] = [one[key] ?? -Infinity, two[key] ?? -Infinity];
      const difference = isNumber(key) ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
      return ascending ? difference : -difference;
    });
    fill(order);
  };
  for (const [key, title] of data.columns) {
    const header = document.createElement("th");
    header.scope = "col";
    if (isNumber(key)) header.classList.add("n");
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = title;
    button.addEventListener("click", () => sort(header, key));
    header.append(button);
    head.append(header);
  }
  fill(data.runs);

  for (const [name, value] of data.machine) {
    const term = document.createElement("dt");
    term.textContent = name;
    const text = document.createElement("dd");
    text.textContent = value;
    element("machine").append(term, text);
  }
  window.reportPlots = plots;
})();
