# cython: language_level=3, embedsignature=True, binding=False, embedsignature.format=clinic
"""Iterate over a cursor in threads, and wake a waiting thread.

All methods of rings and cursors run under the GIL, and their state is consistent wherever Python
code may run. So a thread may take events while the event loop's thread puts messages into the ring.
Only one thread at a time may decode, and holds a lock meanwhile. Events that are already decoded
are taken without the lock.

A signal handler may raise an exception in the main thread, for example on Ctrl-C. The interpreter
calls the handler at the start of a Python function and behind each call of compiled code, but not
behind a step of a ``for`` loop. So an iterator acquires the lock, takes an item and releases the
lock within one step. In Python code, an exception could lose the item or leave the lock acquired.
"""

cimport cython

from fastcoord.receiving.cursor cimport Cursor


@cython.final
cdef class Bell:
    """Wake a thread that waits for a ring.

    :param lock: an acquired lock. The thread waits by acquiring it.
    """

    cdef object acquire
    cdef object release
    cdef bint is_rung

    def __init__(self, lock):
        self.acquire = lock.acquire
        self.release = lock.release

    # This must run no Python code. Otherwise another thread could wait for the ring again before
    # the ring has forgotten this call, and it would not be woken.
    def __call__(self):
        """Wake the thread that waits, or the next one that does."""
        if not self.is_rung:
            self.is_rung = True
            self.release()

    def wait(self, timeout):
        """Wait until the bell was rung since the last wait.

        :param timeout: the limit in seconds; -1 for no limit.
        :return: whether the bell was rung.
        """
        if not self.acquire(True, timeout):
            return False
        self.is_rung = False
        return True


@cython.final
cdef class ThreadTurns:
    """Let one thread at a time take from a cursor.

    :param lock: held by the thread that takes from the cursor or waits for its ring.
    :param bell: wakes this thread.
    """

    cdef object acquire
    cdef object release
    cdef Bell bell

    def __init__(self, lock, Bell bell not None):
        self.renew(lock, bell)

    def renew(self, lock, Bell bell not None):
        """Use another lock and another bell, because a forked child cannot release the lock."""
        self.acquire = lock.acquire
        self.release = lock.release
        self.bell = bell


@cython.final
cdef class ThreadIterator:
    """Iterate over the items of a cursor; threads may share the iterator.

    :param cursor: the cursor.
    :param turns: shared by all iterators of the cursor.
    :param begin_wait: called without arguments when a step begins to wait. It returns a function
        that returns the seconds until the time limit, -1 for no limit, and raises an exception if
        this has passed. If ``None``, no step waits: the iteration ends if nothing is buffered, or
        another thread waits.
    :param batches: whether to take whole batches instead of events.
    """

    cdef Cursor cursor
    cdef ThreadTurns turns
    cdef object begin_wait
    cdef bint batches

    def __init__(
        self, Cursor cursor not None, ThreadTurns turns not None, begin_wait, *, bint batches=False
    ):
        self.cursor = cursor
        self.turns = turns
        self.begin_wait = begin_wait
        self.batches = batches

    def __iter__(self):
        return self

    def __next__(self):
        cdef Cursor cursor = self.cursor
        if (
            cursor.ahead_at < cursor.ahead_end
            and not cursor.is_decoding
            and not self.batches
            and cursor.until_pause > 0
        ):
            return cursor.next_ahead()
        return self.take_in_turn()

    cdef object take_in_turn(self):
        """Take the next item while no other thread does; wait while nothing is buffered."""
        cdef Cursor cursor = self.cursor
        cdef ThreadTurns turns = self.turns
        acquire, release, bell = turns.acquire, turns.release, turns.bell
        seconds_left = None
        if not acquire(False):
            if self.begin_wait is None:
                raise StopIteration
            seconds_left = self.begin_wait()
            while not acquire(True, seconds_left()):
                pass
        try:
            while True:
                item = cursor.take_batch() if self.batches else cursor.take_event()
                if item is not None:
                    return item
                if self.begin_wait is None:
                    raise StopIteration
                if cursor.ring.is_closed:
                    if cursor.failure is not None:
                        raise cursor.failure.with_traceback(None)
                    raise StopIteration
                if seconds_left is None:
                    seconds_left = self.begin_wait()
                cursor.ring.wait(bell)
                while not bell.wait(seconds_left()):
                    pass
        finally:
            release()
