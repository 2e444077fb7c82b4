"""Receive events (internal).

``receiver`` checks and counts each message and puts it into the ``ring`` of each ``subscription``.
``cursor`` decodes the events when the consumer takes them. ``rules`` judges every message that does
not continue its sender's run, ``runs`` changes the current run of a peer, ``verification`` asks a
peer for its own word, and ``peers`` holds the data of these three about each peer.
"""
