"""Payloads at the end of mapped memory: reading one byte too far kills the process.

Python's buffers hide a read past their end: a ``bytes`` is followed by a spare byte, and its
allocator adds more. Here the byte after the payload is in a protected page, so that such a read is
fatal even in the ordinary build, without a sanitizer.
"""

from __future__ import annotations

import ctypes
import mmap
import os

_PROT_NONE = 0


class GuardedMemory:
    """Memory that is followed by a protected page."""

    def __init__(self, capacity: int) -> None:
        self._capacity = -(-capacity // mmap.PAGESIZE) * mmap.PAGESIZE
        self._map = mmap.mmap(-1, self._capacity + mmap.PAGESIZE)
        self._view = memoryview(self._map)
        start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        libc = ctypes.CDLL(None, use_errno=True)
        guard = ctypes.c_void_p(start + self._capacity)
        if libc.mprotect(guard, ctypes.c_size_t(mmap.PAGESIZE), _PROT_NONE) != 0:
            raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def place(self, payload: bytes) -> memoryview:
        """Copy a payload to the end of the memory.

        :return: a view of it, valid until the next call.
        """
        if len(payload) > self._capacity:
            raise ValueError(f"{len(payload)} bytes do not fit into {self._capacity}")
        start = self._capacity - len(payload)
        self._view[start : self._capacity] = payload
        return self._view[start : self._capacity]
