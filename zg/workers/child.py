"""The renderer's side of `zg.workers`: loads a scene file and renders what is asked, until its parent is gone.

Run by path, also by Blender's own Python: nothing but the standard library and NumPy, and nothing of this package.
A message is a header (magic, kind, number of the render, length, CRC-32) and a payload. Parameters come in messages;
images go into memory that both sides have mapped. Standard output and error belong to the renderer.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
import math
import mmap
import os
import select
import signal
import struct
import sys
import threading
import traceback
import zlib
from typing import Any

import numpy as np

# Descriptors of requests, replies and image memory.
ENVIRONMENT = "ZG_WORKER"
OLDEST = (3, 10)
HEADER = struct.Struct("<4sIIII")
MAGIC = b"ZGW1"
LOAD, RENDER, READY, IMAGE, FAILED, MISFIT = range(6)
MEGABYTE = 2**20


class Garbage(Exception):
    """What arrived is no message."""


def pack(kind: int, number: int, payload: bytes = b"") -> bytes:
    """A message."""
    return HEADER.pack(MAGIC, kind, number, len(payload), zlib.crc32(payload)) + payload


def unpack(received: bytes | bytearray, longest: int) -> tuple[int, int, bytes] | None:
    """The message (kind, number, payload) at the beginning of `received`; None while it is not all there.

    Raises Garbage for what is none, or is longer than `longest`.
    """
    if received[: len(MAGIC)] != MAGIC[: len(received)]:
        raise Garbage
    if len(received) < HEADER.size:
        return None
    _, kind, number, length, checksum = HEADER.unpack_from(received)
    if length > longest:
        raise Garbage
    payload = bytes(received[HEADER.size : HEADER.size + length])
    if len(payload) < length:
        return None
    if zlib.crc32(payload) != checksum:
        raise Garbage
    return kind, number, payload


def main() -> None:
    """Serve the descriptors that the environment names."""
    requests, replies, memory = (int(number) for number in os.environ.pop(ENVIRONMENT).split(","))
    for descriptor in (requests, replies, memory):
        os.set_inheritable(descriptor, False)
    threading.Thread(target=end_with_parent, args=(requests,), daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError):
        serve(requests, replies, memory)
    sys.stdout.flush()
    os._exit(0)  # a renderer's own clean-up may hang


def serve(requests: int, replies: int, memory: int) -> None:
    """Load, then render until there is no more to read. Raises EOFError then."""
    _, _, text = receive(requests)
    order = json.loads(text)
    shape = tuple(order["shape"])
    image = np.frombuffer(mmap.mmap(memory, 4 * math.prod(shape)), dtype=np.float32).reshape(shape)
    try:
        if sys.version_info < OLDEST:  # Blender brings its own
            raise RuntimeError("needs Python {}.{} or later, this is {}.{}".format(*OLDEST, *sys.version_info))
        renderer = load(order["scene"], order["settings"])
        version = str(renderer.version()) if hasattr(renderer, "version") else ""
    except BaseException as error:
        send(replies, pack(FAILED, 0, describe(error, order["scene"])))
        return
    send(replies, pack(READY, 0, version.encode()))
    while True:
        _, number, payload = receive(requests)
        (seed,) = struct.unpack_from("<q", payload)
        x = np.frombuffer(payload, dtype="<f8", offset=8).copy()
        try:
            rendered = np.asarray(renderer.render(x, seed), dtype=np.float32)
        except Exception as error:
            reply = pack(FAILED, number, describe(error, order["scene"]))
        else:
            if rendered.shape == shape:
                image[...] = rendered
                reply = pack(IMAGE, number, struct.pack("<Q", resident()))
            else:
                reply = pack(MISFIT, number, str(list(rendered.shape)).encode())
        send(replies, reply)


def load(path: str, settings: dict[str, Any]) -> Any:
    """The renderer of a scene file."""
    spec = importlib.util.spec_from_file_location("scene", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["scene"] = module
    spec.loader.exec_module(module)
    return module.load(settings)


def receive(descriptor: int) -> tuple[int, int, bytes]:
    """The next message. Raises EOFError when there is no more."""
    received = bytearray()
    while True:
        wanted = HEADER.size - len(received)
        if wanted <= 0:
            wanted += HEADER.unpack_from(received)[3]
        if wanted <= 0:
            message = unpack(received, sys.maxsize)
            assert message is not None
            return message
        part = os.read(descriptor, min(wanted, MEGABYTE))
        if not part:
            raise EOFError
        received += part


def send(descriptor: int, message: bytes) -> None:
    """Write all of a message."""
    rest = memoryview(message)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def describe(error: BaseException, scene: str) -> bytes:
    """An exception in one line, with the last line of the scene file that it passed; in full on standard error."""
    traceback.print_exception(type(error), error, error.__traceback__)
    sys.stderr.flush()
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == scene]
    place = f" ({os.path.basename(scene)}, line {lines[-1]})" if lines else ""
    return (" ".join(f"{type(error).__name__}: {error}".split())[:500] + place).encode()


def resident() -> int:
    """Bytes of memory that this process holds."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * mmap.PAGESIZE
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def end_with_parent(requests: int) -> None:
    """Wait until nobody can write requests any more, or the parent is another; then kill the process group."""
    parent = os.getppid()
    closed = select.poll()
    closed.register(requests, 0)  # hang-ups are always told
    while not closed.poll(1000) and os.getppid() == parent:
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
