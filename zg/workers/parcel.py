"""A value on its way to other processes: pickled by cloudpickle, its large arrays as they are in memory.

The value travels once, and however many workers load it, its arrays are in memory once: each worker maps the same
pages, and has a copy of its own only of those that it writes to.
"""

import mmap
import os
import pickle
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zg.errors import SettingError, in_words
from zg.workers.memory import allocate

# Where an array begins in the parcel, in bytes: no processor wants more.
ALIGNMENT = 64
NUMBER = struct.Struct("<Q")


class Parcel:
    """parts: the pickled value, then its arrays, as bytes [size] each. name, file: as in `zg.workers.pool.Function`."""

    def __init__(self, parts: Sequence[NDArray[np.uint8]], name: str = "", file: str = "") -> None:
        self.parts, self.name, self.file = parts, name, file

    @classmethod
    def of(cls, value: Any, name: str = "", file: str = "") -> "Parcel":
        """Pickle a value. Raises SettingError where cloudpickle cannot."""
        import cloudpickle

        arrays: list[pickle.PickleBuffer] = []
        try:
            pickled = cloudpickle.dumps(value, protocol=5, buffer_callback=arrays.append)
        except Exception as error:  # objects of the user raise what they like
            raise SettingError(f"{name} must be a function that cloudpickle can send: {in_words(error)}") from error
        parts = (pickled, *(array.raw() for array in arrays))
        return cls([np.frombuffer(part, np.uint8) for part in parts], name, file)

    def places(self) -> list[int]:
        """Where each part begins behind the table of sizes, and where the last one ends, in bytes."""
        places = [NUMBER.size * (len(self.parts) + 1)]
        for part in self.parts:
            places[-1] += -places[-1] % ALIGNMENT
            places.append(places[-1] + part.size)
        return places

    def in_memory(self) -> int:
        """A file descriptor of shared memory that holds the parcel. Raises SettingError where there is no room."""
        places = self.places()
        descriptor = allocate(places[-1])
        table = b"".join(map(NUMBER.pack, (len(self.parts), *(part.size for part in self.parts))))
        with mmap.mmap(descriptor, places[-1]) as shared:
            shared[: len(table)] = table
            for place, part in zip(places, self.parts, strict=False):
                shared[place : place + part.size] = part.data
        return descriptor


def unpack(descriptor: int) -> Any:
    """The value of a parcel in shared memory. Its arrays can be written to; nobody else sees that."""
    shared = mmap.mmap(descriptor, os.fstat(descriptor).st_size, access=mmap.ACCESS_COPY)
    (count,) = NUMBER.unpack_from(shared)
    place, parts = NUMBER.size * (count + 1), []
    for k in range(count):
        (size,) = NUMBER.unpack_from(shared, NUMBER.size * (k + 1))
        place += -place % ALIGNMENT
        parts.append(memoryview(shared)[place : place + size])
        place += size
    return pickle.loads(parts[0], buffers=parts[1:])
