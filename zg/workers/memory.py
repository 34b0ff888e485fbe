"""Shared memory: for an image, which a renderer process writes and its parent reads, and for what all processes get."""

import math
import mmap
import os
import tempfile
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zg.errors import SettingError


class SharedImage:
    """Shared memory of `size` bytes, for one image. A renderer process may enlarge it.

    descriptor: the file descriptor that a renderer process inherits.
    Raises SettingError where shared memory has no room for the image.
    """

    def __init__(self, size: int) -> None:
        self.descriptor = allocate(size)
        self.memory: mmap.mmap | None = None

    def read(self, dtype: str, shape: Sequence[int]) -> NDArray[Any]:
        """A copy of the image of this type and shape that is in it."""
        size = np.dtype(dtype).itemsize * math.prod(shape)
        if size and (self.memory is None or len(self.memory) < size):
            self.memory = mmap.mmap(self.descriptor, size)
        return np.frombuffer(self.memory or b"", dtype, math.prod(shape)).reshape(shape).copy()

    def close(self) -> None:
        """Free the memory."""
        self.memory = None
        os.close(self.descriptor)


def allocate(size: int) -> int:
    """A file descriptor of `size` bytes of shared memory. Raises SettingError where there is no room for them."""
    try:
        try:
            descriptor = os.memfd_create("zg-image")
        except (AttributeError, OSError):
            descriptor, path = tempfile.mkstemp(prefix="zg-image-")
            os.unlink(path)
        try:
            os.ftruncate(descriptor, size)
            if size and hasattr(os, "posix_fallocate"):
                # Without this, memory that runs out later would end a renderer process by SIGBUS.
                os.posix_fallocate(descriptor, 0, size)
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise SettingError(f"{size} bytes must fit into shared memory: {error.strerror}") from None
    return descriptor
