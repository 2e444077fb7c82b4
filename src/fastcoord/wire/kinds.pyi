"""Describe the kinds of events. All functions are C functions, which only ``cimport`` can reach."""

from fastcoord.wire.table import FIELD_TYPES as FIELD_TYPES
from fastcoord.wire.table import KINDS as KINDS
from fastcoord.wire.table import MAX_FIELDS as MAX_FIELDS
from fastcoord.wire.table import MAX_KINDS as MAX_KINDS
from fastcoord.wire.table import REQUIRED as REQUIRED
