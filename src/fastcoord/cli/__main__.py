"""``python -m fastcoord.cli`` is the ``fastcoord`` command."""

import sys

from fastcoord.cli import main

sys.exit(main())
