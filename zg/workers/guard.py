"""Kills renderer processes whose parent is gone, whatever they are doing, and removes their temporary files.

Run by path, as a process of its own that is no child of its parent: Ray kills the children of a process that ends, and
this one still has work to do then. It reads process groups from standard input, one a line: `+123` to watch a group,
`-123` to release it, `0` to end. When standard input closes, or the parent ends, it kills the groups that it watches
and every process of the folder in its first argument, and removes the folder. A signal at the parent's death
(PR_SET_PDEATHSIG) cannot replace it: that signal comes when the *thread* ends that started the process, and it does not
reach what the renderer has started.

What a renderer starts may leave its process group (`setsid`: crash handlers, compilers, licence servers). It keeps the
environment variable `FOLDER`, by which `kill_all_of` finds it.
"""

import contextlib
import os
import select
import shutil
import signal
import sys
import time

# The environment variable with the folder of temporary files. A renderer process passes it on to all that it starts.
FOLDER = "ZG_WORKER_FOLDER"
# Seconds in which killed processes are gone; longer only where one waits for a device.
DEATH_SECONDS = 2.0


def kill_all_of(folder: str) -> None:
    """Kill every process whose environment names this folder or one below it, and wait until they are gone."""
    deadline = time.monotonic() + DEATH_SECONDS
    while (found := _processes_of(folder)) and time.monotonic() < deadline:  # again: one may have started another
        for process in found:
            with contextlib.suppress(OSError):
                os.kill(process, signal.SIGKILL)
        time.sleep(0.001)


def _processes_of(folder: str) -> list[int]:
    """Ids of the processes, by /proc; none on a system without it. One that has ended has no environment any more."""
    mark = os.fsencode(f"{FOLDER}={folder}")
    found = []
    for name in os.listdir("/proc") if os.path.isdir("/proc") else []:
        if name.isdecimal() and int(name) != os.getpid():
            with contextlib.suppress(OSError), open(f"/proc/{name}/environ", "rb") as file:
                variables = file.read().split(b"\0")
                if any(variable == mark or variable.startswith(mark + b"/") for variable in variables):
                    found.append(int(name))
    return found


def main(folder: str, parent: int) -> None:
    """parent: id of the process that is watched."""
    if os.fork():
        os._exit(0)
    watched: set[int] = set()
    sources, text = [0], b""
    try:
        if hasattr(os, "pidfd_open"):  # the pipe may be open in a fork of the parent, too
            sources.append(os.pidfd_open(parent))
    except ProcessLookupError:
        sources.clear()
    while sources and (ready := select.select(sources, [], [])[0]) == [0]:
        part = os.read(ready[0], 4096)
        if not part:
            break
        *lines, text = (text + part).split(b"\n")
        for line in map(int, lines):
            if line == 0:
                return
            (watched.add if line > 0 else watched.discard)(abs(line))
    for group in watched:
        with contextlib.suppress(OSError):
            os.killpg(group, signal.SIGKILL)
    kill_all_of(folder)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
