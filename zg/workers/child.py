"""The program of a renderer process: it loads a scene file and renders on request, until its parent is gone.

Run by path, also by Blender's own Python, so it imports the standard library and NumPy, and nothing of this package.
A message is a header (magic, kind, number of the render, length of the payload, CRC-32) and a payload. Parameters
arrive in messages; the image is written to shared memory, which grows with it. Standard output and standard error
belong to the renderer.
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
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

# The environment variable with the file descriptors of requests, replies and the shared image.
ENVIRONMENT = "ZG_WORKER"
OLDEST_PYTHON = (3, 10)
HEADER = struct.Struct("<4sIIII")
MAGIC = b"ZGW1"
# Kinds of messages: two requests, then four replies.
LOAD, RENDER, READY, IMAGE, FAILED, WRONG_SHAPE = range(6)
MEGABYTE = 2**20


class BadMessage(Exception):
    """Bytes arrived that are not a message."""


def pack(kind: int, number: int, payload: bytes = b"") -> bytes:
    """A message."""
    return HEADER.pack(MAGIC, kind, number, len(payload), zlib.crc32(payload)) + payload


def unpack(received: bytes | bytearray, longest: int) -> tuple[int, int, bytes] | None:
    """The message (kind, number, payload) at the beginning of `received`; None while it is incomplete.

    longest: bytes of the longest payload. Raises BadMessage for a longer one, and for bytes that are not a message.
    """
    if received[: len(MAGIC)] != MAGIC[: len(received)]:
        raise BadMessage
    if len(received) < HEADER.size:
        return None
    _, kind, number, length, checksum = HEADER.unpack_from(received)
    if length > longest:
        raise BadMessage
    payload = bytes(received[HEADER.size : HEADER.size + length])
    if len(payload) < length:
        return None
    if zlib.crc32(payload) != checksum:
        raise BadMessage
    return kind, number, payload


def main() -> None:
    """Serve the file descriptors that the environment variable names."""
    requests, replies, memory = (int(number) for number in os.environ.pop(ENVIRONMENT).split(","))
    for descriptor in (requests, replies, memory):
        os.set_inheritable(descriptor, False)
    threading.Thread(target=end_with_parent, args=(requests,), daemon=True).start()
    with contextlib.suppress(EOFError, BrokenPipeError):
        serve(requests, replies, memory)
    sys.stdout.flush()
    os._exit(0)  # without the renderer's own clean-up, which may hang


def serve(requests: int, replies: int, memory: int) -> None:
    """Load the scene, then render every request. Raises EOFError when the parent closes its requests."""
    _, _, text = receive(requests)
    order = json.loads(text)
    shape = None if order["shape"] is None else tuple(order["shape"])
    image = Image(memory)
    try:
        if sys.version_info < OLDEST_PYTHON:  # Blender brings a Python of its own
            raise RuntimeError("needs Python {}.{} or later, got {}.{}".format(*OLDEST_PYTHON, *sys.version_info))
        renderer = load(order["scene"], order["settings"])
        version = str(renderer.version()) if hasattr(renderer, "version") else ""
    except BaseException as error:
        send(replies, pack(FAILED, 0, describe(error, order["scene"])))
        return
    code = getattr(renderer, "file", order["scene"])
    send(replies, pack(READY, 0, encoded(version)))
    temporary = os.environ["TMPDIR"]
    while True:
        _, number, payload = receive(requests)
        os.makedirs(temporary, exist_ok=True)  # a render that removed it is not to fail all later ones
        (seed,) = struct.unpack_from("<q", payload)
        x = np.frombuffer(payload, dtype="<f8", offset=8).copy()
        try:
            # A scene has images of one shape; a function returns numbers of any shape and type.
            rendered = np.asarray(renderer.render(x, seed), dtype=np.float32 if shape else None)
            if shape in (None, rendered.shape):
                image.write(rendered)
        except Exception as error:
            reply = pack(FAILED, number, describe(error, code))
        else:
            if shape in (None, rendered.shape):
                reply = pack(IMAGE, number, json.dumps([resident(), rendered.dtype.str, rendered.shape]).encode())
            else:
                reply = pack(WRONG_SHAPE, number, str(list(rendered.shape)).encode())
        send(replies, reply)


class Image:
    """The shared memory of the image, which this process enlarges when an image does not fit."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor, self.size = descriptor, 0

    def write(self, pixels: np.ndarray[Any, Any]) -> None:
        """Write an image. Raises OSError where there is no room, and TypeError for what is not numbers."""
        if pixels.dtype.kind not in "biufc":
            raise TypeError(f"render must return numbers, got an array of {pixels.dtype.name}")
        if pixels.nbytes > self.size:
            if hasattr(os, "posix_fallocate"):  # without it, memory that runs out later would end this process
                os.posix_fallocate(self.descriptor, 0, pixels.nbytes)
            else:
                os.ftruncate(self.descriptor, pixels.nbytes)
            self.memory, self.size = mmap.mmap(self.descriptor, pixels.nbytes), pixels.nbytes
        np.frombuffer(self.memory, pixels.dtype, pixels.size).reshape(pixels.shape)[...] = pixels


def load(path: str, settings: dict[str, Any]) -> Any:
    """The renderer of a scene file."""
    spec = importlib.util.spec_from_file_location("scene", path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} must be a Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["scene"] = module
    spec.loader.exec_module(module)
    return module.load(settings)


def receive(descriptor: int) -> tuple[int, int, bytes]:
    """Wait for the next message. Raises EOFError when the pipe is closed."""
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
    """Write a whole message."""
    rest = memoryview(message)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def describe(error: BaseException, file: str) -> bytes:
    """An exception in one line, with the last line of that file in its traceback; all of it on standard error."""
    traceback.print_exception(type(error), error, error.__traceback__)
    sys.stderr.flush()
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == file]
    place = f" ({os.path.basename(file)}, line {lines[-1]})" if lines else ""
    try:
        text = str(error)
    except Exception:  # of the user's class
        text = "its text cannot be told"
    return encoded(" ".join(f"{type(error).__name__}: {text}".split())[:500] + place)


def encoded(text: str) -> bytes:
    """Text as UTF-8. What cannot be text, such as a byte of a file name, becomes `\\udcff`."""
    return text.encode(errors="backslashreplace")


def resident() -> int:
    """Bytes of memory that this process holds (resident set size)."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * mmap.PAGESIZE
    except OSError:
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def end_with_parent(requests: int) -> None:
    """Wait until the requests are closed or the parent has changed, then kill the process group of this process."""
    parent = os.getppid()
    closed = select.poll()
    closed.register(requests, 0)  # poll reports a closed pipe whatever the mask is
    while not closed.poll(1000) and os.getppid() == parent:
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    main()
