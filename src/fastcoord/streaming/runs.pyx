# cython: language_level=3, embedsignature=True
"""The rules by which a node selects the batches of a stream that it delivers.

A stream stores the messages of all nodes in one order. It may hold a batch twice, and it may hold a
batch before its predecessor, because a server was lost between the two. The sender then stores the
batch again, behind its predecessor. All nodes apply these rules to the same messages, so they
deliver the same events in the same order. A run is one incarnation of one node.

=====================================  =========================================================
a batch of a run                       what is done
=====================================  =========================================================
at the expected offset                 it is delivered
behind the expected offset             it is dropped: it was delivered before
behind the first of its run            it is dropped: ``Missed`` with the cause ``"gap"``
ahead, and the sender discarded the    ``Missed`` with the cause ``"discarded"``, then it is
events in between                      delivered
ahead, and a predecessor is missing    it is dropped: its sender stores it again
ahead, after the stream has dropped    it is delivered: ``Missed`` with the cause ``"retention"``
messages by its limits                 has preceded it
the first of a run                     it is delivered, whatever its offset is
`MAX_BEHIND` batches behind in a row   the expected offset was forged: ``Missed`` with the cause
                                       ``"gap"``, and the run continues with this batch
=====================================  =========================================================

If a run ends, and batches of it were dropped as ahead, nobody stores their predecessor any more. They
are reported as ``Missed`` with the cause ``"gap"``. A run ends when a new run of its node begins, or
when its node is down for a while.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

cdef enum:
    MAX_RUNS = 8192          # runs that are remembered; beyond it the oldest is forgotten
    MAX_BEHIND = 4096        # a sender stores fewer batches again in a row


cdef class Run:
    """What is known about one run of one node."""


cdef class Runs:
    """The runs whose batches one reader of a stream has received."""

    def __init__(self):
        self.runs = {}
        self.current = {}
        self.waiting = set()
        self.ended = []
        self.without_run = {}

    def __len__(self):
        return len(self.runs)

    cdef Run find(self, uint16_t node_id, uint64_t incarnation):
        """Return a run, or None if no batch of it was received."""
        return self.runs.get((node_id, incarnation))

    cdef Run begin(self, uint16_t node_id, uint64_t incarnation, uint64_t offset, uint64_t discarded):
        """Begin a run with its first batch that is received."""
        cdef Run run = Run.__new__(Run)
        cdef Run before = self.current.get(node_id)
        run.node_id = node_id
        run.incarnation = incarnation
        run.expected = run.began_at = offset
        run.discarded = discarded
        run.is_exact = True
        if len(self.runs) >= MAX_RUNS:
            oldest = next(iter(self.runs))
            if self.current.get(oldest[0]) is self.runs[oldest]:
                del self.current[oldest[0]]
            self.count(oldest[0], (<Run>self.runs[oldest]).received)
            del self.runs[oldest]
            self.forgotten += 1
        if before is not None and before.ahead_end > before.expected:
            self.ended.append((node_id, before.ahead_end - before.expected))
            before.expected = before.ahead_end
            before.ahead_end = 0
        self.runs[(node_id, incarnation)] = run
        self.current[node_id] = run
        return run

    cdef int count(self, uint16_t node_id, uint64_t events) except -1:
        """Count delivered events that belong to no run."""
        self.without_run[node_id] = self.without_run.get(node_id, 0) + events
        return 0

    def received_from(self):
        """Return how many events of each node were delivered, by node id."""
        cdef Run run
        received = dict(self.without_run)
        for run in self.runs.values():
            received[run.node_id] = received.get(run.node_id, 0) + run.received
        return received

    def forget(self):
        """Forget all runs: the reader continues at a later place, and begins each run anew."""
        self.without_run = self.received_from()
        self.runs = {}
        self.current = {}
        self.waiting = set()

    def loosen(self):
        """Allow every run to continue at a later offset: the stream has dropped messages."""
        cdef Run run
        for run in self.runs.values():
            run.is_exact = False

    def expire(self, node_id):
        """End the present run of a node.

        :return: how many of its events were dropped as ahead, and those missing before them.
        """
        cdef Run run = self.current.get(node_id)
        cdef uint64_t missing
        self.waiting.discard(node_id)
        if run is None or run.ahead_end <= run.expected:
            return 0
        missing = run.ahead_end - run.expected
        run.expected = run.ahead_end
        run.ahead_end = 0
        return missing

    def ahead_of(self, node_id):
        """Return which batches of the present run of a node were dropped as ahead.

        :return: the incarnation, the expected offset, and the end of the furthest of these batches;
            ``None`` if there are none.
        """
        cdef Run run = self.current.get(node_id)
        if run is None or run.ahead_end <= run.expected:
            return None
        return (run.incarnation, run.expected, run.ahead_end)

    cdef int judge(
        self, Run run, uint64_t offset, uint32_t count, uint64_t discarded, Judgement* judgement
    ) except -1:
        """Judge a batch, and advance the run if the batch is delivered."""
        cdef uint64_t end = offset + count
        cdef uint64_t grown = discarded - run.discarded if discarded > run.discarded else 0
        judgement.is_dropped = judgement.is_gap = False
        judgement.skip = judgement.missing = 0
        judgement.discarded = 0
        if end <= run.expected:
            run.behind += 1
            if run.behind <= MAX_BEHIND:
                judgement.is_dropped = True
                if offset < run.began_at:
                    judgement.missing = <uint32_t>(min(end, run.began_at) - offset)
                    run.gap_end = max(run.gap_end, run.began_at)
                    run.began_at = offset
                return 0
            judgement.is_gap = True
        elif offset < run.expected:
            judgement.skip = <uint32_t>(run.expected - offset)
        elif offset > run.expected and run.is_exact:
            if offset - run.expected > grown:
                if end > run.ahead_end:
                    run.ahead_end = end
                self.ahead += 1
                self.waiting.add(run.node_id)
                judgement.is_dropped = True
                return 0
            judgement.discarded = offset - run.expected
        if offset != run.expected and not judgement.skip:
            run.gap_end = offset
        run.expected = end
        run.discarded = discarded
        run.is_exact = True
        run.behind = 0
        if run.ahead_end <= end:
            run.ahead_end = 0
        return 0
