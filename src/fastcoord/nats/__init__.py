"""The connection to NATS (internal): no other package imports nats-py.

``supervisor`` keeps one ``connection`` alive at a time. A connection is nats-py's client for the
handshake, authentication, TLS and control lines, on a ``transport`` of ours that reads and writes
the socket: ``parser`` splits what arrives, ``frames`` composes what is sent, ``sequence_header`` is
the one header of a batch. ``compat`` holds what is used of nats-py beyond its public names.
"""
