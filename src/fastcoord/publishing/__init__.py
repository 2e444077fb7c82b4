"""Publish events (internal).

``publisher`` accepts events. ``batcher`` encodes them into batches. ``sender`` writes the batches
to the connection and keeps each batch until the server has confirmed it.
"""
