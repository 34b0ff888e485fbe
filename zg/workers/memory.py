"""Shared memory for one image: the renderer process writes it, the parent reads it, and no pipe carries it."""

import math
import mmap
import os
import tempfile
from collections.abc import Sequence

import numpy as np

from zg.errors import SettingError


class SharedImage:
    """An image [*shape] float32 in shared memory.

    pixels: the image as the parent sees it. descriptor: the file descriptor that a renderer process inherits.
    Raises SettingError where shared memory has no room for the image.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        size = 4 * math.prod(shape)
        self.descriptor = allocate(size)
        self.pixels = np.frombuffer(mmap.mmap(self.descriptor, size), dtype=np.float32).reshape(shape)

    def close(self) -> None:
        """Close the descriptor. The memory is freed when `pixels` is deleted too."""
        os.close(self.descriptor)


def allocate(size: int) -> int:
    """A file descriptor of `size` bytes of shared memory. Raises SettingError where there is no room."""
    try:
        try:
            descriptor = os.memfd_create("zg-image")
        except (AttributeError, OSError):
            descriptor, path = tempfile.mkstemp(prefix="zg-image-")
            os.unlink(path)
        try:
            os.ftruncate(descriptor, size)
            if hasattr(os, "posix_fallocate"):
                # Without this, memory that runs out later would end a renderer process by SIGBUS.
                os.posix_fallocate(descriptor, 0, size)
        except BaseException:
            os.close(descriptor)
            raise
    except OSError as error:
        raise SettingError(f"an image of {size} bytes must fit into shared memory: {error.strerror}") from None
    return descriptor
