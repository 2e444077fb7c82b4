"""Scanning of payloads without decoding: C functions, for ``cimport`` alone."""

from fastcoord.wire.events import EVENT_TYPES as EVENT_TYPES
