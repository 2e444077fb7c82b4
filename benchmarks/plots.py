"""Draw the plots of ``docs/performance.md``; needs matplotlib, from the group ``bench``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.fonttype"] = "none"
matplotlib.rcParams["svg.hashsalt"] = "fastcoord"
matplotlib.rcParams["axes.grid"] = True
matplotlib.rcParams["grid.alpha"] = 0.3

import matplotlib.pyplot as plt  # noqa: E402
from hdrh.histogram import HdrHistogram  # noqa: E402

QUANTILES = (*range(2, 90, 4), *range(90, 100), 99.5, 99.9)
PLAIN: dict[str, Any] = {"Date": None, "Creator": None}


def save(figure: Any, directory: Path, name: str) -> None:
    """Write one plot."""
    directory.mkdir(parents=True, exist_ok=True)
    figure.tight_layout()
    figure.savefig(directory / f"{name}.svg", metadata=PLAIN)
    plt.close(figure)


def draw(results: dict[str, Any], directory: Path) -> None:
    """Draw every plot that a run has figures for."""
    if "end_to_end" in results:
        draw_rates(results["end_to_end"]["figures"]["rate"], directory)
    if "latency" in results:
        draw_latency(results["latency"], directory)
    if "batch_size" in results.get("growth", {}):
        draw_batch_size(results["growth"]["batch_size"], directory)


def draw_rates(figures: list[dict[str, Any]], directory: Path) -> None:
    """Draw events per second, end to end."""
    figure, axes = plt.subplots(figsize=(8, 0.45 * len(figures) + 1))
    rows = sorted(figures, key=lambda each: each["median"])
    medians = [each["median"] for each in rows]
    below = [each["median"] - each["least"] for each in rows]
    above = [each["most"] - each["median"] for each in rows]
    colours = ["tab:blue" if each["name"].startswith("fastcoord") else "tab:gray" for each in rows]
    axes.barh([each["name"] for each in rows], medians, xerr=[below, above], color=colours)
    axes.set_xscale("log")
    axes.set_xlabel("events per second, end to end")
    save(figure, directory, "end-to-end")


def draw_latency(rates: dict[str, Any], directory: Path) -> None:
    """Draw the percentiles of the delays, a panel for each rate."""
    figure, panels = plt.subplots(1, len(rates), figsize=(4 * len(rates), 4), sharey=True)
    each_panel = [panels] if len(rates) == 1 else list(panels)
    for axes, (rate, ways) in zip(each_panel, rates.items(), strict=True):
        for way in ways:
            counted = HdrHistogram.decode(way["histogram"].encode())
            delays = [counted.get_value_at_percentile(each) / 1e3 for each in QUANTILES]
            axes.plot([1 / (1 - each / 100) for each in QUANTILES], delays, label=way["name"])
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_xticks([2, 10, 100, 1000], ["50 %", "90 %", "99 %", "99.9 %"])
        axes.set_title(f"{int(rate):,} events/s")
    each_panel[0].set_ylabel("microseconds")
    axes.legend(fontsize="x-small")
    save(figure, directory, "latency")


def draw_batch_size(rows: list[dict[str, Any]], directory: Path) -> None:
    """Draw the cost of an event by the events in a batch."""
    figure, panels = plt.subplots(1, 2, figsize=(8, 3.5), sharey=True)
    sizes = [row["events"] for row in rows]
    for axes, job in zip(panels, ("encode", "decode"), strict=True):
        for name in rows[0]:
            if name.startswith(job):
                axes.plot(sizes, [row[name] for row in rows], label=name.removeprefix(f"{job} "))
        axes.set_xscale("log")
        axes.set_yscale("log")
        axes.set_title(job)
        axes.set_xlabel("events in a batch")
    panels[0].set_ylabel("ns per event")
    panels[0].legend(fontsize="small")
    save(figure, directory, "batch-size")
