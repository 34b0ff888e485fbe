"""Outlives the parent of renderer processes by a moment: ends them, whatever they are in the middle of.

Run by path. Process groups come in on standard input, `+123` to mind one and `-123` to leave it; when that closes, or
the parent is another, those minded are killed and the folder in the first argument is removed. A signal on the
parent's death (PR_SET_PDEATHSIG) would not do: it comes when the *thread* ends that started the process, and not to
what the renderer has started itself.
"""

import contextlib
import os
import select
import shutil
import signal
import sys


def main(folder: str) -> None:
    parent = os.getppid()
    minded: set[int] = set()
    text = b""
    while os.getppid() == parent:
        if select.select([0], [], [], 1.0)[0]:
            part = os.read(0, 4096)
            if not part:
                break
            *lines, text = (text + part).split(b"\n")
            for line in map(int, lines):
                (minded.add if line > 0 else minded.discard)(abs(line))
    for group in minded:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
