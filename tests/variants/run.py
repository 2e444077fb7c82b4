"""``make variants``: the tests of the codec with every implementation of the byte primitives.

``wire/primitives.pxd`` reads and writes integers in one of four ways, which the processor and the
compiler determine. A machine runs one of them; here each of the others is compiled in turn, by
hiding the features that better ones need. Arguments are passed to pytest; without any, the golden
and property tests run.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from support.builds import ROOT, build_extensions, environment_for

VARIANTS = {
    "without-bmi2": ["-D__builtin_cpu_supports(feature)=0"],
    "without-sse2": ["-U__SSE2__"],
    "bytes-only": ["-U__BYTE_ORDER__"],
}
"""The flags that hide the features, as on processors before 2013, on others than x86, and on other
byte orders. The ordinary build is the fourth variant."""
INSTRUCTIONS = {"without-sse2": ["pmovmskb", "pdep"], "bytes-only": ["pmovmskb", "pdep"]}
"""Instructions that the compiled modules of a variant must not contain."""
TESTS = ("tests/golden", "tests/property")


def main() -> int:
    """Build and test every variant; stop at the first that fails."""
    arguments = sys.argv[1:] or list(TESTS)
    for name, flags in VARIANTS.items():
        library = build_extensions(name, sanitize=False, flags=flags)
        _prove(library, INSTRUCTIONS.get(name, []))
        print(f"{name}: {' '.join(flags)}", flush=True)
        status = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", *arguments],
            cwd=ROOT,
            env=environment_for(library, sanitize=False),
            check=False,
        ).returncode
        if status != 0:
            return status
    return 0


def _prove(library: Path, forbidden: list[str]) -> None:
    for built in library.glob("**/*.so"):
        code = subprocess.run(
            ["objdump", "--disassemble", str(built)], check=True, capture_output=True, text=True
        ).stdout
        for instruction in forbidden:
            if instruction in code:
                raise SystemExit(f"{built} contains {instruction}: the flags do not hide it")


if __name__ == "__main__":
    sys.exit(main())
