"""Receive events (internal).

``receiver`` checks and counts each message and puts it into the ``ring`` of each ``subscription``.
``cursor`` decodes the events when the consumer takes them. ``gaps`` judges every message that does
not continue its sender's sequence. ``peers`` holds the data of ``gaps`` about each peer.
"""
