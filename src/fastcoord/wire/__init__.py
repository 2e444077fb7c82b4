"""The bytes of events (internal): integers, fields, event classes, protocols, encode, decode.

Everything here is compiled, except ``names``. ``fastcoord._codec`` is the public codec on top.
"""
