"""Encoding of events: C functions, for ``cimport`` alone."""
