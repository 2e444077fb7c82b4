"""Settings for every test; this file's presence also puts ``tests/`` on the import path."""

import os

from hypothesis import settings

# Every run of the test command tries the same examples, so that it fails for a change and not by
# luck. FASTCOORD_HYPOTHESIS=thorough tries many more, and other ones each time.
settings.register_profile(
    "repeatable", derandomize=True, database=None, deadline=None, max_examples=100
)
settings.register_profile("thorough", deadline=None, max_examples=5_000)
settings.load_profile(os.environ.get("FASTCOORD_HYPOTHESIS", "repeatable"))
