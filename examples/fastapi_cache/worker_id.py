"""A node id for each worker of one machine: the first free one, by a lock on a file."""

import fcntl
import itertools
import os
import tempfile
from typing import IO

_held: list[IO[str]] = []


def worker_id(first: int = 1024) -> int:
    """Claim the first free number from ``first`` on, until this process ends.

    :param first: Stalwart nodes have small ids, so that ids above 1,023 do not collide with theirs.
    """
    folder = os.environ.get("WORKER_IDS", os.path.join(tempfile.gettempdir(), "price-workers"))
    os.makedirs(folder, exist_ok=True)
    for number in itertools.count(first):
        file = open(os.path.join(folder, str(number)), "w")  # noqa: SIM115  held until the end
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            continue
        _held.append(file)
        return number
    raise AssertionError("unreachable")
