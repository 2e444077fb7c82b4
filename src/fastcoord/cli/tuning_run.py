"""Run a search with progress, keep its runs in a file, and resume it."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fastcoord.cli.measuring import ProgressLine
from fastcoord.tuning.load import NotMeasured, settings_of
from fastcoord.tuning.measured import Measured
from fastcoord.tuning.result import facts, now_text
from fastcoord.tuning.run import Run
from fastcoord.tuning.search import Search, Stopped
from fastcoord.tuning.sizing import size_up
from fastcoord.tuning.tuning_state import TuningState, read_state, write_state

if TYPE_CHECKING:
    from collections.abc import Sequence

    from fastcoord.cli.ending import EndingSignals
    from fastcoord.tuning.advice import Advice
    from fastcoord.tuning.load import Load
    from fastcoord.tuning.result import Result
    from fastcoord.tuning.run import StreamMaker
    from fastcoord.tuning.target import Target
    from fastcoord.tuning.workload import Workload

__all__ = ["TuningRun"]


class TuningRun:
    """One search for the terminal.

    :param workload: the load.
    :param target: the server.
    :param file: the file for finished runs.
    :param budget: seconds for the search.
    :param seconds: the duration of a run without stall and outage.
    :param resume: whether to use the runs in the file.
    :param kept: settings that are not to be varied.
    :param make_stream: makes the stream of each run; ``None`` on plain NATS.
    :raises ValueError: the file cannot be used.
    """

    def __init__(
        self,
        workload: Workload,
        target: Target,
        file: str,
        *,
        budget: float,
        seconds: float,
        resume: bool,
        kept: Sequence[str] = (),
        make_stream: StreamMaker | None = None,
    ) -> None:
        self._workload = workload
        self._target = target
        self._make_stream = make_stream
        self._file = file
        self._present = settings_of(target.config)
        self._started_at = now_text()
        self._machine = facts()
        self._begun = time.monotonic()
        self._budget = budget
        self._step = ""
        self._current: Run | None = None
        self._is_stopped = False
        self._is_unkept = False
        """Whether the file could not be written."""
        self._line = ProgressLine()
        self._finished = self._read() if resume else []
        if not resume:
            self._check_file()
        self._done: list[Measured] = list(self._finished)
        self._advice: Advice | None = None
        self._search = Search(
            workload,
            self._present,
            size_up(workload, self._present, target.config.cluster.max_age),
            self._measure,
            budget=budget,
            seconds=seconds,
            on_step=self._begin_step,
            store=target.config.cluster.coordinator,
            finished=self._finished,
            kept=kept,
        )

    def search(self, ending: EndingSignals) -> TuningState:
        """Search until the end, Ctrl-C or SIGTERM.

        :param ending: ends the search early.
        :return: the state; it has no advice if the search was ended early.
        :raises NotMeasured: a run is not valid.
        """
        print(
            f"fastcoord: a search of up to {self._budget / 60:g} min, then runs that confirm the"
            f" result; finished runs are kept in {self._file}",
            file=sys.stderr,
        )
        self._note_long_runs()
        with self._line:
            try:
                ending.run(self._work, self._stop)
            except NotMeasured as error:
                if not self._search.runs:
                    raise
                self._keep(self._state())
                if self._is_unkept:
                    raise
                count = sum(each.problem is None for each in self._all_runs())
                raise NotMeasured(
                    f"{error}; {count} finished runs are kept, and --resume uses them"
                ) from None
        state = self._state()
        if state.advice is not None:
            self._keep(state)
        elif self._search.runs:  # otherwise the file may have the runs of an earlier search
            self._write(state)
        return state

    def _note_long_runs(self) -> None:
        """Print a note if a single run with a stall or an outage needs most of the budget."""
        workload = self._workload
        for purpose, load in (("stall", workload.with_stall()), ("outage", workload.with_outage())):
            if getattr(workload, purpose) and load.seconds > self._budget / 2:
                print(
                    f"fastcoord: each run with the {purpose} lasts {load.seconds / 60:.1f} min, and"
                    " several are needed",
                    file=sys.stderr,
                )

    def _check_file(self) -> None:
        """Print a note if the file has runs that this search does not use, and will replace.

        :raises ValueError: the file is not of a search, and must not be replaced.
        """
        try:
            if not Path(self._file).stat().st_size:
                return
            state = read_state(self._file)
        except OSError:
            return
        except ValueError as error:
            raise ValueError(f"{error}; choose another file with --state, or remove it") from None
        if state.advice is None and self._is_same(state) and state.runs:
            print(
                f"fastcoord: {self._file} has {len(state.runs)} finished runs of this load, which"
                " are replaced; with --resume they are used",
                file=sys.stderr,
            )

    def _is_same(self, state: TuningState) -> bool:
        of_state = (state.workload, state.present, state.server, _lasting(state.machine))
        return of_state == (
            *(self._workload, self._present, self._target.name),
            _lasting(self._machine),
        )

    async def _work(self) -> None:
        try:
            self._advice = await self._search.run()
        except Stopped:
            self._advice = None

    def _stop(self) -> None:
        self._is_stopped = True
        if self._current is not None:
            self._current.stop()

    def _begin_step(self, step: str) -> None:
        if self._is_stopped:
            raise Stopped
        if len(self._search.runs) > len(self._finished):
            self._keep(self._state())
        self._step = step

    async def _measure(self, load: Load, settings: dict[str, Any]) -> Result:
        if self._is_stopped:
            raise Stopped
        self._current = Run(load, settings, self._target, self._show, self._make_stream)
        try:
            return await self._current.measure()
        finally:
            self._current = None

    def _show(self, state: Any) -> None:
        elapsed = time.monotonic() - self._begun
        limit = f" of {self._budget / 60:g}" if elapsed <= self._budget else ""
        number = len(self._search.runs) + 1
        self._line.text(
            f"run {number}, {elapsed / 60:.1f}{limit} min:"
            f" {self._step}: {state.phase} {state.share:.0%}, missed {state.missed:,}",
            f"{number} {state.phase}",
        )

    def _state(self) -> TuningState:
        return TuningState(
            started_at=self._started_at,
            machine=self._machine,
            server=self._target.name,
            workload=self._workload,
            present=self._present,
            sizing=self._search.sizing,
            runs=self._all_runs(),
            advice=self._advice,
        )

    def _all_runs(self) -> list[Measured]:
        """Return the runs of this search, and those of the file that it has not reached again."""
        reached = {id(each) for each in self._search.runs}
        return [*self._search.runs, *(e for e in self._finished if id(e) not in reached)]

    def _read(self) -> list[Measured]:
        try:
            state = read_state(self._file)
        except FileNotFoundError:
            raise ValueError(f"there is no {self._file} to resume") from None
        except OSError as error:
            raise ValueError(f"{self._file} cannot be read: {error.strerror}") from None
        if not self._is_same(state):
            raise ValueError(
                f"{self._file} is of another load, another server, other settings, another machine"
                " or other versions: repeat the options of that search, or start without --resume"
            )
        return [each for each in state.runs if each.problem is None]

    def _keep(self, state: TuningState) -> None:
        """Write the state; without it the search goes on, but cannot be resumed."""
        try:
            self._write(state)
        except ValueError as error:
            if not self._is_unkept:
                print(f"fastcoord: {error}; the search goes on without it", file=sys.stderr)
            self._is_unkept = True
        else:
            self._is_unkept = False

    def _write(self, state: TuningState) -> None:
        try:
            write_state(self._file, state)
        except OSError as error:
            raise ValueError(f"{self._file} cannot be written: {error.strerror}") from None


def _lasting(machine: dict[str, Any]) -> dict[str, Any]:
    """Return the facts about a machine that do not change from run to run."""
    return {name: value for name, value in machine.items() if name != "load_before"}
