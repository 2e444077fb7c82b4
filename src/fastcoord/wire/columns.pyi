"""Copy numbers to columns. All functions are C functions, which only ``cimport`` can reach."""

from fastcoord.wire.events import EVENT_TYPES as EVENT_TYPES
