"""Run many schedules of the judge of caches: ``python tests/coherence/run.py --schedules
1000000``."""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from coherence.world import judge
from fastcoord.cache.coherence import Coherence


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--schedules", type=int, default=1_000_000)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    arguments = parser.parse_args()
    end = arguments.first + arguments.schedules
    for first in range(arguments.first, end, 10_000):
        hits = judge(range(first, min(first + 10_000, end)), Coherence)
        print(f"seeds from {first}: {hits} reads answered from memory, none stale", flush=True)


main()
