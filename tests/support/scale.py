"""How often tests repeat: few times in ``make test``, many times in ``make reliability``."""

import os

IS_LONG = bool(os.environ.get("FASTCOORD_LONG"))


def repeats(short: int, *, long: int) -> int:
    """Select a number for this run.

    :param short: for the test command.
    :param long: when ``FASTCOORD_LONG`` is set.
    """
    return long if IS_LONG else short
