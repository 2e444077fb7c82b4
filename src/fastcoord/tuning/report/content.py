"""The data of the report: what its tables and charts show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastcoord.tuning.advice import toml_block
from fastcoord.tuning.histograms import curve
from fastcoord.tuning.load import default_settings
from fastcoord.tuning.measured import PLANS
from fastcoord.tuning.result import metrics
from fastcoord.tuning.sizing import memory_text
from fastcoord.tuning.wording import SMALLEST_SUFFICIENT, margin_text, verdict_text, workload_text

if TYPE_CHECKING:
    from fastcoord.tuning.advice import Advice, Finding
    from fastcoord.tuning.measured import Measured
    from fastcoord.tuning.tuning_state import TuningState

__all__ = ["COLUMNS", "report_data"]

COLUMNS = (
    ("number", "run"),
    ("purpose", "kind"),
    ("varied", "tried"),
    ("verdict", "verdict"),
    ("events/s", "events/s"),
    ("messages/s", "messages/s"),
    ("p50", "p50 (ms)"),
    ("p99", "p99 (ms)"),
    ("max", "max (ms)"),
    ("sent", "sent"),
    ("missed", "missed"),
    ("discarded", "discarded"),
    ("high_water", "most waiting messages"),
    ("publisher-memory", "publisher (MB)"),
    ("subscriber-memory", "subscriber (MB)"),
)
"""The columns of the table of runs: key and header."""


def report_data(state: TuningState) -> dict[str, Any]:
    """Return the data of the report.

    :param state: a finished search.
    """
    advice = state.advice
    assert advice is not None
    return {
        "workload": workload_text(state.workload),
        "toml": toml_block(advice),
        "suffices": advice.defaults_suffice,
        "verdict": verdict_text(advice),
        "confirmed": bool(advice.is_confirmed),
        "problems": advice.problems,
        "memory": memory_text(advice.memory),
        "findings": [_finding(each) for each in advice.findings],
        "charts": [chart for each in advice.findings for chart in _charts(each, state.runs)],
        "incidents": _incidents(state.runs),
        "histogram": _histograms(state.runs),
        "smallest": SMALLEST_SUFFICIENT,
        "columns": COLUMNS,
        "runs": [_row(number, run) for number, run in enumerate(state.runs, 1)],
        "machine": _machine(state, advice),
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {
        "key": finding.key,
        "present": finding.present,
        "recommended": finding.recommended,
        "minimum": finding.minimum,
        "margin": margin_text(finding),
        "matters": finding.matters,
        "reason": finding.reason,
    }


def _charts(finding: Finding, runs: list[Measured]) -> list[dict[str, Any]]:
    """Return the charts of one setting: over its values, from the runs that varied it."""
    key = finding.key
    purpose = {plan.key: plan.purpose for plan in PLANS}.get(key, "steady")
    points: dict[int, Measured] = {}
    for run in runs:
        is_varied = run.varied.startswith(f"{key} = ")
        is_base = purpose == "steady" and run.varied == "present settings"
        is_confirmation = run.purpose == purpose and run.varied == "confirm"
        if (is_varied or is_base or is_confirmation) and run.problem is None:
            points[run.settings[key]] = run
    if len(points) < 2:
        return []
    x = sorted(points)
    figures = [metrics(points[value].result) for value in x]
    marks = {"default": default_settings()[key], "recommended": finding.recommended}
    if finding.present != marks["default"]:
        marks["present"] = finding.present
    what = {"steady": "", "stall": ", with the stall", "outage": ", with the outage"}[purpose]
    speed = {
        "id": f"{key}:speed",
        "title": f"{key}: throughput and latency{what}",
        "x": x,
        "marks": marks,
        "series": [
            {"name": "events/s", "side": "left", "y": [each["events/s"] for each in figures]},
            {"name": "p99 (ms)", "side": "right", "y": [each.get("p99") for each in figures]},
        ],
    }
    if purpose == "steady":
        return [speed]
    lost = {
        "id": f"{key}:missed",
        "title": f"{key}: missed events{what}",
        "x": x,
        "marks": marks,
        "series": [{"name": "missed", "side": "left", "y": [each["missed"] for each in figures]}],
    }
    return [speed, lost]


def _incidents(runs: list[Measured]) -> list[dict[str, Any]]:
    """Return the runs with a stall or an outage."""
    return [
        {
            "purpose": run.purpose,
            "varied": run.varied,
            "seconds": run.result.load.stall or run.result.load.outage,
            "missed": run.result.missed,
            "high_water": run.result.high_water_messages,
            "max": metrics(run.result).get("max"),
            "verdict": _verdict(run),
        }
        for run in runs
        if run.purpose != "steady"
    ]


def _histograms(runs: list[Measured]) -> list[dict[str, Any]]:
    """Return the distributions of the confirming runs."""
    found = []
    for run in runs:
        if run.varied != "confirm":
            continue
        for name in ("corrected", "uncorrected"):
            latency = getattr(run.result, name)
            if latency is not None:
                found.append({"name": f"{run.purpose}, {name}", "points": curve(latency)})
    return found


def _row(number: int, run: Measured) -> dict[str, Any]:
    result = run.result
    return {
        **metrics(result),
        "number": number,
        "purpose": run.purpose,
        "varied": run.varied,
        "verdict": _verdict(run),
        "sent": result.sent,
        "discarded": result.discarded,
        "high_water": result.high_water_messages,
    }


def _verdict(run: Measured) -> str:
    if run.problem is not None:
        return f"not measured: {run.problem}"
    return "good" if run.is_good else "fails"


def _machine(state: TuningState, advice: Advice) -> list[tuple[str, str]]:
    facts = state.machine
    versions = ", ".join(f"{name} {version}" for name, version in facts["versions"].items())
    return [
        ("Date", state.started_at),
        ("Server", state.server),
        ("Machine", f"{facts['cores']} cores, {facts['processor']}, {facts['system']}"),
        ("Load before the search", str(facts["load_before"])),
        ("Python", facts["python"]),
        ("Versions", versions),
    ]
