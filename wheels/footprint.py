"""``make footprint``: measure the cost of an installation, and of nats-py, for docs/install.md.

The wheel of this Python has to be in ``wheels/dist``.
"""

from __future__ import annotations

import json
import re
import sys
import tempfile
from pathlib import Path

from system import DIST, ROOT, clean_environment, problem, run

PAGE = ROOT / "docs" / "install.md"
TABLE = re.compile(r"(?<=<!-- footprint -->\n).*?(?=<!-- /footprint -->)", re.DOTALL)

MEASURE = """
import json, resource, subprocess, sys
from importlib.metadata import distributions
from pathlib import Path

def used():
    # Processor time does not include other processes.
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime

def cpu_of(code):
    times = []
    for _ in range(9):
        before = used()
        subprocess.run([sys.executable, "-I", "-c", code], check=True)
        times.append(used() - before)
    return min(times)

sizes = {}
for each in distributions():
    paths = [Path(each.locate_file(file)) for file in each.files or ()]
    sizes[each.metadata["Name"]] = sum(
        path.stat().st_size for path in paths if path.suffix != ".pyc" and path.is_file()
    )
bare = cpu_of("pass")
times = {code: 1000 * (cpu_of(code) - bare) for code in sys.argv[1:]}
print(json.dumps({"sizes": sizes, "times": times}))
"""
TOOLS = {"pip", "setuptools"}


def measure(python: Path, *imports: str) -> tuple[dict[str, int], dict[str, float]]:
    """Measure an environment.

    :param python: the interpreter of the environment.
    :param imports: statements, each to be run in an interpreter of its own.
    :return: the bytes of each installed distribution without compiled bytecode, and the least
        processor time of each statement in milliseconds, minus that of an interpreter that does
        nothing.
    """
    words = ("-I", "-c", MEASURE, *imports)
    found = json.loads(run(python, *words, cwd=Path("/"), environment=clean_environment()))
    sizes = {name: size for name, size in found["sizes"].items() if name not in TOOLS}
    return sizes, found["times"]


def main() -> int:
    tag = f"cp{sys.version_info[0]}{sys.version_info[1]}"
    wheels = sorted(DIST.glob(f"*-{tag}-{tag}-*.whl"))
    if not wheels:
        raise problem(f"there is no wheel for {tag} in {DIST.relative_to(ROOT)}: make wheels")
    rows = [
        "| | packages | installed | import | processor time |",
        "| --- | ---: | ---: | --- | ---: |",
    ]
    wanted = {
        "nats-py[nkeys]": ("import nats",),
        "fastcoord": ("import fastcoord", "import fastcoord; fastcoord.connect"),
    }
    for name, imports in wanted.items():
        with tempfile.TemporaryDirectory(prefix="footprint-") as scratch:
            python = Path(scratch, "environment", "bin", "python")
            run(sys.executable, "-m", "venv", python.parent.parent, cwd=Path(scratch))
            given = wheels[-1] if name == "fastcoord" else name
            run(python, "-m", "pip", "install", "-q", given, cwd=Path(scratch))
            sizes, times = measure(python, *imports)
        rows += [row(name, sizes, code, time) for code, time in times.items()]
        if name == "fastcoord":
            alone = sizes["fastcoord"] / 1e6
    text = "\n".join(rows) + f"\n\nWithout its dependencies, fastcoord has {alone:.1f} MB.\n"
    print(text)
    PAGE.write_text(TABLE.sub(lambda _: text, PAGE.read_text("utf-8")), "utf-8")
    return 0


def row(name: str, sizes: dict[str, int], code: str, milliseconds: float) -> str:
    size = sum(sizes.values()) / 1e6
    return f"| {name} | {len(sizes)} | {size:.1f} MB | `{code}` | {milliseconds:.0f} ms |"


if __name__ == "__main__":
    sys.exit(main())
