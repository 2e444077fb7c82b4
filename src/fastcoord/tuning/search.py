"""Search capacities by measured runs: coarse first, then closer, then a run that confirms.

A capacity that has to ride something out (``capacity.subscription`` and its bytes a stall,
``capacity.client`` an outage) has a smallest value that succeeds. The search tries the
present value, then one that is likely to suffice, and narrows the interval between a value that
fails and one that succeeds. The other
capacities are tried at a smaller and a larger value. They matter only if a run is clearly better;
then values around it are tried as well.

A value whose run is not valid, even the second time, is skipped. The search ends without an answer
if this happens to several values in succession, or to the recommendation.
"""

from __future__ import annotations

import functools
import math
import time
from typing import TYPE_CHECKING, Any

import msgspec

from fastcoord.config._settings import LARGEST_BATCH
from fastcoord.tuning.advice import TOO_LARGE_EVENT, Advice, Finding
from fastcoord.tuning.load import NotMeasured
from fastcoord.tuning.measured import (
    PLANS,
    Measured,
    Plan,
    Purpose,
    failure,
    run_key,
)
from fastcoord.tuning.objectives import judge, parse_objectives
from fastcoord.tuning.result import Result
from fastcoord.tuning.sizing import (
    MARGIN,
    SMALLEST,
    SMALLEST_BATCH_BYTES,
    Sizing,
    fits,
    keep_memory_limit,
    memory_bound,
    rounded_up,
    smallest_batch,
    smallest_settings,
)
from fastcoord.tuning.sweep import sweep
from fastcoord.tuning.threshold import NoneSuffices, find_bracket
from fastcoord.tuning.wording import skipped_text
from fastcoord.tuning.workload import SHORTEST_RUN

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from fastcoord.tuning.load import Load
    from fastcoord.tuning.workload import Workload

__all__ = ["SWEPT", "Search", "Stopped"]

SWEPT = ("capacity.read-buffer", "capacity.batch-bytes")
SMALLEST_READ_BUFFER = 1024
LARGEST_READ_BUFFER = 1 << 26
ATTEMPTS = 2
MOST_INVALID = 3
"""The search ends when so many values in succession were not measured."""


class Stopped(Exception):
    """The search was interrupted; the finished runs are kept."""


class Search:
    """Search the capacities for a workload.

    :param workload: the load and what it has to withstand.
    :param present: the present capacities.
    :param sizing: the computed capacities.
    :param measure: measures one load with settings.
    :param budget: seconds after which only the runs that confirm the result still take place.
    :param on_step: called with a description before each run.
    :param seconds: the duration of a run without stall and outage; others are at least as long.
    :param store: the name of the store in the configuration.
    :param finished: the runs of an interrupted search.
    :param kept: the keys of :data:`SWEPT` that are not to be varied.

    :ivar ends_at: when the budget is used up, on the clock of ``time.monotonic``.
    """

    def __init__(
        self,
        workload: Workload,
        present: dict[str, Any],
        sizing: Sizing,
        measure: Callable[[Load, dict[str, Any]], Awaitable[Result]],
        *,
        budget: float,
        on_step: Callable[[str], None],
        seconds: float = SHORTEST_RUN,
        store: str = "nats",
        finished: list[Measured] | None = None,
        kept: Sequence[str] = (),
    ) -> None:
        self.runs: list[Measured] = []
        self.sizing = sizing
        self._workload = workload
        self._present = present
        self._measure = measure
        self.ends_at = time.monotonic() + budget
        self._on_step = on_step
        self._seconds = seconds
        self._store = store
        self._kept = kept
        # A run that was not valid is repeated.
        self._finished = {run_key(each): each for each in finished or [] if not each.problem}
        self._findings: dict[str, Finding] = {}
        self._needs: dict[str, int] = {}
        self._smallest: dict[str, int] = {}
        self._settings = dict(present)
        # A publisher refuses an event that is larger than a batch.
        if not fits(workload, present):
            self._settings["capacity.batch-bytes"] = sizing.settings["capacity.batch-bytes"]
        if self.sizing.max_age is not None:
            self._settings["max-age"] = self.sizing.max_age

    async def run(self) -> Advice:
        """Search.

        :return: the recommendation.
        :raises NotMeasured: the recommendation, or several values in succession, were not measured.
        :raises Stopped: the search was interrupted.
        """
        for plan in PLANS:
            await self._ride_out(plan)
        await self._sweep()
        problems = [*self._reduce(), *await self._confirm()]
        findings = [self._findings[key] for key in self._present if key in self._findings]
        return Advice(
            findings=findings,
            max_age=self.sizing.max_age,
            memory=memory_bound({each.key: each.recommended for each in findings}),
            is_confirmed=not problems,
            problems=problems,
            store=self._store,
        )

    # ------------------------------------------------------------------ stalls and outages

    async def _ride_out(self, plan: Plan) -> None:
        key, present = plan.key, self._present[plan.key]
        if not getattr(self._workload, plan.purpose):
            self._keep(key, f"the load has no {plan.purpose} to ride out")
            return
        if self._workload.stream_keeps_stall and plan.purpose == "stall":
            self._keep(key, "the stream keeps what a stalled consumer has not read")
            return
        what = f"{plan.what} of {getattr(self._workload, plan.purpose):g} s"
        not_measured: dict[int, str] = {}
        present_run = await self._run_of_present(plan)
        if present_run is not None and present_run.problem is not None:
            not_measured[present] = present_run.problem
        is_good = True if present_run is None else present_run.suffices
        start = self._start_of(plan, is_good)

        async def suffices(value: int) -> bool | None:
            run = await self._try(plan.purpose, key, value)
            if run.problem is not None:
                not_measured[value] = run.problem
            return run.suffices

        try:
            failing, minimum, is_close = await find_bracket(
                suffices, self._has_time, present=present, is_present_good=is_good, start=start
            )
        except NoneSuffices as error:
            raise NotMeasured(
                f"{what} is not ridden out with {key} = {error.value:,}: another bound is reached"
                " first"
            ) from None
        # Without time for a smaller value, the need is the one with which the search would begin.
        is_measured = not is_good or minimum < present or failing > 0
        need = minimum if is_measured else min(start, present)
        wanted = need * MARGIN
        if is_measured and not is_close and minimum == present and failing * MARGIN <= present:
            # The need is anywhere between the two: this is no reason for more than what sufficed.
            wanted = present
        # The backoff is random: the measured runs may have reconnected sooner than others will.
        is_longer = plan.purpose == "outage" and self.sizing.needs.client > wanted
        if is_longer:
            wanted = self.sizing.needs.client
        matters = is_good is False or wanted > present
        recommended = rounded_up(wanted) if matters else present
        reason = f"{what} needs {need:,}"
        if is_measured and not is_close:
            reason = f"{what} needs at most {need:,} (the search ended before a closer value)"
        if not matters:
            reason += "; the present value suffices"
        elif is_longer:
            reason += ", and more with the longest wait to reconnect"
        else:
            reason += f"; {MARGIN:g} times as much is recommended"
        if not is_measured:
            reason += " (computed: no time was left)"
        reason += skipped_text(not_measured)
        self._needs[key] = need
        self._smallest[key] = max(SMALLEST[key], rounded_up(wanted))
        self._findings[key] = Finding(
            key=key,
            present=present,
            recommended=recommended,
            minimum=minimum if is_measured else None,
            failing=failing,
            is_close=is_close or not is_measured,
            not_measured=not_measured,
            matters=matters,
            reason=reason,
        )
        self._settings[key] = recommended

    async def _run_of_present(self, plan: Plan) -> Measured | None:
        """Return the run with the present value, which may have taken place already.

        :return: ``None`` if the value suffices by arithmetic, and no time is left.
        """
        settings = {**self._settings, plan.key: self._present[plan.key]}
        for run in self.runs:
            if run.purpose == plan.purpose and run.settings == settings:
                return run
        present = self._present[plan.key]
        is_computed = plan.key == "capacity.subscription-bytes" and not self._has_time()
        if is_computed and self._start_of(plan, True) * MARGIN <= present:
            return None
        return await self._try(plan.purpose, plan.key, present)

    def _start_of(self, plan: Plan, is_present_good: bool | None) -> int:
        """Return the value at which the search starts: measured, if it can be, or computed."""
        stalls = [e.result for e in self.runs if e.purpose == "stall" and e.problem is None]
        if plan.key == "capacity.subscription-bytes":
            size = max(each.bytes_per_message for each in stalls)
            return math.ceil(self._needs["capacity.subscription"] * size)
        if plan.purpose == "stall" and is_present_good:
            return max(1, *(each.high_water_messages for each in stalls))
        need = self.sizing.needs
        return rounded_up(need.subscription if plan.purpose == "stall" else need.client)

    # ------------------------------------------------------------------------ other bounds

    async def _sweep(self) -> None:
        base = await self._needed("steady", "")
        for key in SWEPT:
            if key in self._kept:
                self._keep(key, "not to be varied")
                continue
            present, begin = self._present[key], self._settings[key]
            measure = functools.partial(self._try, "steady", key)
            best, others, not_measured = await sweep(
                measure, self._has_time, begin, base, self._range_of(key)
            )
            tried = " and ".join(f"{value:,}" for value in others)
            reason = f"no clear difference with {tried}" if tried else "not tried: no time was left"
            if not_measured and not tried:
                reason = "no other value could be measured"
            if best != begin:
                reason = f"{best:,} was clearly better than {begin:,}"
            if begin != present:
                reason = f"{TOO_LARGE_EVENT}; {reason}"
            reason += skipped_text(not_measured)
            self._findings[key] = Finding(
                key=key,
                present=present,
                recommended=best,
                not_measured=not_measured,
                matters=best != present,
                reason=reason,
            )
            self._settings[key] = best

    def _range_of(self, key: str) -> tuple[int, int]:
        """Return the smallest and the largest value of a setting to try."""
        if key == "capacity.batch-bytes":
            return max(SMALLEST_BATCH_BYTES, smallest_batch(self._workload)), LARGEST_BATCH
        return SMALLEST_READ_BUFFER, LARGEST_READ_BUFFER

    def _reduce(self) -> list[str]:
        """Reduce capacities to what the runs have needed until the memory limit is kept.

        :return: why it cannot be kept.
        """
        settings = {key: each.recommended for key, each in self._findings.items()}
        smallest = {**smallest_settings(self.sizing.needs), **self._smallest}
        smallest = {key: value for key, value in smallest.items() if key not in self._kept}
        problems = keep_memory_limit(self._workload.memory, settings, smallest)
        for key, value in settings.items():
            finding = self._findings[key]
            if value < finding.recommended:
                self._findings[key] = msgspec.structs.replace(
                    finding,
                    recommended=value,
                    matters=value != finding.present,
                    reason=f"{finding.reason}; smaller, because of the memory limit",
                )
                self._settings[key] = value
        return problems

    def _keep(self, key: str, reason: str) -> None:
        present = self._present[key]
        self._findings[key] = Finding(
            key=key, present=present, recommended=present, matters=False, reason=reason
        )

    # ------------------------------------------------------------------------- confirming

    async def _confirm(self) -> list[str]:
        """Run everything once more with the recommended settings.

        :return: what is not reached.
        """
        problems = []
        objectives = (
            parse_objectives(self._workload.objectives) if self._workload.objectives else ()
        )
        purposes: list[Purpose] = ["steady"]
        purposes += [plan.purpose for plan in PLANS if getattr(self._workload, plan.purpose)]
        purposes = list(dict.fromkeys(purposes))
        for purpose in purposes:
            run = await self._needed(purpose, "confirm")
            if not run.is_good:
                problems.append(f"in the {purpose} run, {failure(run.result)}")
            for each in judge(run.result, objectives) if purpose == "steady" else []:
                if not each.is_met:
                    problems.append(
                        f"the objective {each.objective.text} is missed: {each.measured_text}"
                        if each.measured is not None
                        else f"the objective {each.objective.text} has no figure"
                    )
        return problems

    # ----------------------------------------------------------------------------- running

    def _has_time(self) -> bool:
        return time.monotonic() < self.ends_at

    async def _try(
        self,
        purpose: Purpose,
        varied: str,
        value: int | None,
        repeat: int = 0,
        attempts: int = ATTEMPTS,
    ) -> Measured:
        """Measure one point, or return it from the interrupted search.

        :param attempts: how often the run takes place at most until it is valid.
        :raises NotMeasured: the points before were not measured either.
        """
        settings = dict(self._settings)
        if value is not None:
            settings[varied] = value
            if varied == "capacity.subscription":  # the other bound must not be reached first
                settings["capacity.subscription-bytes"] = max(
                    settings["capacity.subscription-bytes"],
                    self.sizing.settings["capacity.subscription-bytes"],
                )
        name = f"{varied} = {value:,}" if value is not None else varied or "present settings"
        name += f" (repeated {repeat})" if repeat else ""
        known = self._finished.get((purpose, name, tuple(sorted(settings.items()))))
        if known is None:
            self._on_step(f"{purpose} run, {name}")
            known = await self._measured(purpose, name, settings, attempts)
        self.runs.append(known)
        last = self.runs[-MOST_INVALID:]
        if len(last) == MOST_INVALID and all(each.problem for each in last):
            raise NotMeasured(f"{purpose} run, {name}: {known.problem}")
        return known

    async def _needed(self, purpose: Purpose, name: str) -> Measured:
        """Measure the point that the search chose.

        :raises NotMeasured: its run is not valid.
        """
        run = await self._try(purpose, name, None, attempts=ATTEMPTS + 1)
        if run.problem is not None:
            raise NotMeasured(f"{purpose} run, {run.varied}: {run.problem}")
        return run

    async def _measured(
        self, purpose: Purpose, name: str, settings: dict[str, Any], attempts: int
    ) -> Measured:
        workload = self._workload
        load = {
            "steady": workload.steady,
            "stall": workload.with_stall,
            "outage": workload.with_outage,
        }[purpose](self._seconds)
        for _ in range(attempts):
            result = await self._measure(load, settings)
            if result.interrupted:
                raise Stopped
            if result.valid:
                break
        return Measured(
            purpose=purpose,
            varied=name,
            settings=settings,
            is_good=result.valid and failure(result) is None,
            result=result,
            problem=None if result.valid else "; ".join(result.problems),
        )
