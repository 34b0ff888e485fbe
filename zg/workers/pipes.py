"""The three pipes between the parent and one renderer process: requests, replies and printed output.

No method here waits for the process. A request that does not fit into its pipe is sent part by part, and a reply is
returned when all of its bytes have arrived.
"""

import contextlib
import os
import selectors

from zg.workers import child
from zg.workers.child import BadMessage, unpack

#: Kind, number of the render, payload.
Message = tuple[int, int, bytes]
# Bytes of printed output that are kept for error messages: the last ones.
KEPT_OUTPUT = 8192
# The longest reply in bytes. Replies carry text and numbers; images are in shared memory.
LONGEST_REPLY = 2**20


class Lost(Exception):
    """A renderer process ended, hung, or sent bytes that are not a message; the text is the reason, if it is known."""


class Pipes:
    """The parent's ends of the pipes, and the ends that the child inherits until `close_child_ends`.

    requests, replies, printed: the parent's file descriptors. unsent: the rest of the request that is being sent.
    received: the beginning of a reply. output: the last bytes that the process printed.
    selector: each pipe is registered in it while there is something to wait for. Its data are `owner` and the method
    that must be called when the pipe is ready; that method returns the replies that are complete.
    """

    def __init__(self, selector: selectors.BaseSelector, owner: object) -> None:
        self.selector, self.owner = selector, owner
        request_end, self.requests = os.pipe()
        self.replies, reply_end = os.pipe()
        self.printed, print_end = os.pipe()
        self.child_ends = (request_end, reply_end, print_end)
        self.unsent, self.received, self.output = memoryview(b""), bytearray(), b""
        for descriptor in (self.requests, self.replies, self.printed):
            os.set_blocking(descriptor, False)
        selector.register(self.replies, selectors.EVENT_READ, (owner, self.read_replies))
        selector.register(self.printed, selectors.EVENT_READ, (owner, self.read_printed))

    def close_child_ends(self) -> None:
        """Close the child's ends in the parent, so that the end of the child closes its pipes."""
        for descriptor in self.child_ends:
            os.close(descriptor)

    def send(self, message: bytes) -> None:
        """Start to send a message; the selector asks for the rest of it."""
        self.unsent = memoryview(message)
        self.selector.register(self.requests, selectors.EVENT_WRITE, (self.owner, self.flush))
        self.flush()

    def flush(self) -> list[Message]:
        """Write as many bytes of the request as fit into the pipe."""
        try:
            while self.unsent:
                self.unsent = self.unsent[os.write(self.requests, self.unsent) :]
        except BlockingIOError:
            return []
        except BrokenPipeError:  # the process is gone; the end of its replies says so, too
            self.unsent = memoryview(b"")
        self.selector.unregister(self.requests)
        return []

    def read_replies(self) -> list[Message]:
        """The replies that are complete. Raises Lost at the end of the pipe, or for bytes that are not a message."""
        try:
            part = os.read(self.replies, LONGEST_REPLY)
        except BlockingIOError:
            return []
        if not part:
            raise Lost
        self.received += part
        messages = []
        try:
            while self.received and (message := unpack(self.received, LONGEST_REPLY)) is not None:
                messages.append(message)
                del self.received[: child.HEADER.size + len(message[2])]
        except BadMessage:
            raise Lost("sent bytes that are not a message") from None
        return messages

    def read_printed(self) -> list[Message]:
        """Keep the last bytes of what the process printed."""
        with contextlib.suppress(BlockingIOError):
            part = os.read(self.printed, LONGEST_REPLY)
            self.output = (self.output + part)[-KEPT_OUTPUT:]
            if not part:
                self._unregister(self.printed)
        return []

    def last_lines(self) -> str:
        """The last three lines of the printed output in one line, at most 300 characters."""
        lines = (" ".join(line.split()) for line in self.output.decode(errors="replace").splitlines())
        return " | ".join([line for line in lines if line][-3:])[-300:]

    def close(self) -> None:
        """Read the output that is left, then close the parent's ends."""
        self.read_printed()
        for descriptor in (self.requests, self.replies, self.printed):
            self._unregister(descriptor)
            os.close(descriptor)

    def _unregister(self, descriptor: int) -> None:
        with contextlib.suppress(KeyError):  # it is not registered now
            self.selector.unregister(descriptor)
