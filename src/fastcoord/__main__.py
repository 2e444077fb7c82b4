"""``python -m fastcoord`` is the ``fastcoord`` command."""

import sys

from fastcoord.cli import main

sys.exit(main())
