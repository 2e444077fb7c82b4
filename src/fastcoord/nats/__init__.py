"""The connection to NATS (internal): no other package imports nats-py.

``supervisor`` keeps one ``connection`` open at a time. In the ``handshake`` of a connection,
nats-py's client authenticates, with TLS if it is used; afterwards it answers PINGs. The client runs
on fastcoord's ``transport``. ``socket_protocol`` reads from and writes to the socket. ``parser``
finds the messages in the received bytes, ``frames`` composes the messages to send, and
``sequence_header`` reads and writes the header of a batch. ``compat`` uses the private attributes
of nats-py.
"""
