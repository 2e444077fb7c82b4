# cython: language_level=3, embedsignature=True
"""The receiver of a node with a stream: events come from feeds, all else from plain subscriptions."""

from libc.stdint cimport uint8_t, uint64_t

from fastcoord.nats.sequence_header cimport HEADER_PRESENT, SequenceHeader
from fastcoord.receiving.receiver cimport Receiver
from fastcoord.streaming.feed cimport Feed


cdef class StreamReceiver(Receiver):
    """Receive the messages of one node's connection.

    :ivar live: the feed of new events.
    :ivar acknowledgements: receives the messages of ``acknowledgements_sid``.
    :ivar feeds: the feeds of replays, by the subscription id of their present consumer.
    """

    def __init__(self, **options):
        Receiver.__init__(self, **options)
        self.feeds = {}

    cdef int message(
        self,
        uint64_t sid,
        const uint8_t* reply,
        Py_ssize_t reply_size,
        SequenceHeader* header,
        const uint8_t* payload,
        Py_ssize_t size,
    ) except -1:
        cdef Feed feed
        if sid == self.acknowledgements_sid:
            return self.acknowledgements.take(
                self.subject, self.subject_size, header, payload, size
            )
        feed = self.live
        if feed is not None and sid == feed.sid:
            return feed.take(
                self.subject, self.subject_size, reply, reply_size, header, payload, size
            )
        if self.feeds:
            feed = self.feeds.get(sid)
            if feed is not None:
                if sid != feed.sid:
                    return 0  # the consumer has ended, and its last messages still arrive
                return feed.take(
                    self.subject, self.subject_size, reply, reply_size, header, payload, size
                )
        if sid == self.events_sid and (header.state != HEADER_PRESENT or header.count):
            # Events are received from the stream. Only heartbeats are received here.
            return 0
        return Receiver.message(self, sid, reply, reply_size, header, payload, size)
