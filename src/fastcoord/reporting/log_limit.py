"""Log lines of one kind: a few at once, then the number of those that were left out."""

from __future__ import annotations

import logging

__all__ = ["LINES_PER_MINUTE", "LogLimit"]

LINES_PER_MINUTE = 10

logger = logging.getLogger("fastcoord")


class LogLimit:
    """Log at most ``LINES_PER_MINUTE`` lines of each kind in a minute.

    :param name: the start of each line, for example ``"node 1"``.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._minutes: dict[str, tuple[float, int]] = {}

    def log(self, level: int, kind: str, now: float, text: str, *arguments: object) -> None:
        """Log a line unless its kind has used up its number in this minute.

        :param level: one of ``logging``.
        :param kind: what the line is about; it appears in the line about those left out.
        :param now: the time in seconds.
        :param text: the line, with one ``%`` format for each argument.
        """
        began, lines = self._minutes.get(kind, (now, 0))
        if now - began >= 60:
            self._end(level, kind, lines)
            began, lines = now, 0
        self._minutes[kind] = (began, lines + 1)
        if lines < LINES_PER_MINUTE:
            logger.log(level, f"%s: {text}", self.name, *arguments)

    def tick(self, now: float) -> None:
        """Log how many lines were left out in each minute that is over."""
        ended = [kind for kind, (began, _) in self._minutes.items() if now - began >= 60]
        for kind in ended:
            self._end(logging.WARNING, kind, self._minutes.pop(kind)[1])

    def _end(self, level: int, kind: str, lines: int) -> None:
        if lines > LINES_PER_MINUTE:
            logger.log(
                level,
                "%s: %d more lines about %s were left out",
                self.name,
                lines - LINES_PER_MINUTE,
                kind,
            )
