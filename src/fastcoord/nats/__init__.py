"""The connection to NATS (internal): no other package imports nats-py.

``supervisor`` keeps one ``connection`` open at a time. Each connection uses nats-py's client for
the handshake, authentication, TLS and control lines. The client runs on fastcoord's ``transport``,
which reads from and writes to the socket. ``parser`` finds the messages in the received bytes,
``frames`` composes the messages to send, and ``sequence_header`` reads and writes the header of a
batch. ``compat`` uses the private attributes of nats-py.
"""
