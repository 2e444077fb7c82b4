"""The way out (internal): ``publisher`` takes events, ``batcher`` encodes them into batches, and
``sender`` hands the batches to the connection and keeps them until the server has confirmed them.
"""
