"""Kills renderer processes whose parent is gone, whatever they are doing, and removes their temporary files.

Run by path, as a process of its own. It reads process groups from standard input, one a line: `+123` to watch a group,
`-123` to release it. When standard input closes, or the parent has changed, it kills the groups that it watches and
removes the folder in its first argument. A signal at the parent's death (PR_SET_PDEATHSIG) cannot replace it: that
signal comes when the *thread* ends that started the process, and it does not reach what the renderer has started.
"""

import contextlib
import os
import select
import shutil
import signal
import sys


def main(folder: str) -> None:
    parent = os.getppid()
    watched: set[int] = set()
    text = b""
    while os.getppid() == parent:
        if select.select([0], [], [], 1.0)[0]:
            part = os.read(0, 4096)
            if not part:
                break
            *lines, text = (text + part).split(b"\n")
            for line in map(int, lines):
                (watched.add if line > 0 else watched.discard)(abs(line))
    for group in watched:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1])
