"""A pytest plugin: the settings that ``conftest.py`` makes elsewhere, for an emulated machine."""

from hypothesis import settings

# An emulated machine is some ten times slower, so that fewer examples have to do.
settings.register_profile(
    "foreign", derandomize=True, database=None, deadline=None, max_examples=25
)
settings.load_profile("foreign")
