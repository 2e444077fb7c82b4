"""Encode and decode events (internal): integers, fields, event classes, protocols.

Every module is compiled, except ``names`` and ``table``. ``fastcoord._codec`` is the public codec,
which uses this package.
"""
