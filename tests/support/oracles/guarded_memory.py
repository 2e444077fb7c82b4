"""Payloads that end where the mapped memory ends: reading one byte too far kills the process.

Python's own buffers hide a read past their end: a ``bytes`` has a spare byte behind it, and its
allocator more. Here the byte behind the payload belongs to a page that nobody may touch, so that
such a read is fatal in the ordinary build as well, without any sanitizer.
"""

from __future__ import annotations

import ctypes
import mmap
import os

_PROT_NONE = 0


class GuardedMemory:
    """A stretch of memory with an untouchable page behind it."""

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
        """Copy a payload to the very end; the view is valid until the next one is placed."""
        if len(payload) > self._capacity:
            raise ValueError(f"{len(payload)} bytes do not fit into {self._capacity}")
        start = self._capacity - len(payload)
        self._view[start : self._capacity] = payload
        return self._view[start : self._capacity]
