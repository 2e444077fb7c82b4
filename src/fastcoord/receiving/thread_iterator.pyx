# cython: language_level=3, embedsignature=True, binding=False, embedsignature.format=clinic
"""Iterate over a cursor in threads, and wake a waiting thread.

All methods of rings and cursors run under the GIL, and their state is consistent wherever Python
code may run. So a thread may take events while the event loop's thread puts messages into the ring.
Only one thread at a time may decode: ``take`` of an iterator holds a lock. Events that are already
decoded are taken without the lock.
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
cdef class ThreadIterator:
    """Iterate over the events of a cursor; threads may share the iterator.

    :param cursor: the cursor.
    :param take: called without arguments if no event is decoded. It waits for the next event or
        notice and returns it, or raises ``StopIteration`` at the end.
    """

    cdef Cursor cursor
    cdef object take

    def __init__(self, Cursor cursor not None, take):
        self.cursor = cursor
        self.take = take

    def __iter__(self):
        return self

    def __next__(self):
        cdef Cursor cursor = self.cursor
        if (
            cursor.ahead_at < cursor.ahead_end
            and not cursor.is_decoding
            and cursor.until_pause > 0
        ):
            return cursor.next_ahead()
        return self.take()
