"""Nothing of this module is for Python: its functions are reached by cimport."""

from fastcoord.wire.events import EVENT_TYPES as EVENT_TYPES
