"""Publish events (internal).

``publisher`` accepts events. ``batcher`` encodes them into batches. ``batch_writer`` writes
the batches to the connection and confirms them. ``sender`` sends unconfirmed ones again.
"""
