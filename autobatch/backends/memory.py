"""Memory that kernels read and write: arrays of NumPy that begin where vector registers like it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._cpu import ffi

# The widest vector registers, and a cache line: kernels read parameters from its start.
ALIGNMENT = 64


def address_of(array: np.ndarray | bytearray) -> int:
    """The address of a contiguous array's numbers."""
    # By way of `ctypes` it takes three times as long.
    return int(ffi.cast("intptr_t", ffi.from_buffer(array)))


def aligned_zeros(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """Zeros, contiguous, beginning at a multiple of 64 bytes.

    The memory comes from the system zeroed and costs nothing until it is touched.

    >>> aligned_zeros((3, 5), np.float32).ctypes.data % 64
    0
    """
    dtype = np.dtype(dtype)
    room = np.zeros(math.prod(shape) * dtype.itemsize + ALIGNMENT, np.uint8)
    return np.ndarray(shape, dtype, room, -address_of(room) % ALIGNMENT)


def zeroed_memory(size: int) -> tuple[np.ndarray, int]:
    """So many bytes as of `aligned_zeros`, and their address."""
    room = aligned_zeros((size,), np.uint8)
    return room, address_of(room)
