"""The HTML report of a search: one file without references to anything else.

Charts are drawn by uPlot (MIT license, version 1.6.32), whose files are copies of those of its
package. ``page.htm`` is the frame; style, library, data and script are put into it.
"""

from __future__ import annotations

import html
from importlib import resources
from typing import TYPE_CHECKING

import msgspec

from fastcoord.tuning.report.content import report_data

if TYPE_CHECKING:
    from fastcoord.tuning.tuning_state import TuningState

__all__ = ["report_html"]

PARTS = {
    "uplot_css": "uplot.min.css",
    "css": "page.css",
    "license": "uplot.license",
    "uplot_js": "uplot.min.js",
    "js": "page.js",
}


def report_html(state: TuningState) -> str:
    """Return the report of a finished search.

    :param state: the search; it has a recommendation.
    """
    folder = resources.files(__package__)
    data = report_data(state)
    text = folder.joinpath("page.htm").read_text("utf-8")
    title = f"fastcoord: capacities for {data['workload']}"
    text = text.replace("{{title}}", html.escape(title))
    # In a script element, only "<" could end the element early.
    encoded = msgspec.json.encode(data).decode().replace("<", "\\u003c")
    for name, file in PARTS.items():
        text = text.replace("{{" + name + "}}", folder.joinpath(file).read_text("utf-8").strip())
    return text.replace("{{data}}", encoded)
