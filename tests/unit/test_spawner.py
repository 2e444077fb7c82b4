"""How the bundled server's process is started."""

import sys
import threading
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from fastcoord.server.process import _Spawner

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only there a thread starts it")


def test_interrupted_start_leaves_spawner_usable(tmp_path: Path) -> None:
    before = sys.gettrace()
    ended: list[int] = []

    def interrupt_at(number: int) -> Any:
        lines: set[int] = set()

        def trace(frame: FrameType, event: str, argument: object) -> Any:
            if frame.f_code is not _Spawner.run.__code__:
                return None
            # The end of a `with` is a second event of its line. Python handles no signal there.
            if event == "line" and frame.f_lineno not in lines:
                lines.add(frame.f_lineno)
                if len(lines) == number:
                    raise KeyboardInterrupt
            return trace

        return trace

    def start(spawner: _Spawner) -> None:
        process = spawner.run(["/bin/true"], tmp_path / "output", -1)
        ended.append(process.wait())

    for number in range(1, 100):
        spawner = _Spawner()
        sys.settrace(interrupt_at(number))
        try:
            start(spawner)
        except KeyboardInterrupt:
            pass
        else:
            break
        finally:
            sys.settrace(before)
        again = threading.Thread(target=start, args=(spawner,), daemon=True)
        again.start()
        again.join(10)
        assert len(ended) == number, number
    assert 5 < number < 99
