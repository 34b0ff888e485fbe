"""A small renderer that does what x[0] says: 0 renders a ramp, the rest is trouble."""

import contextlib
import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import numpy as np

RENDER, RAISE, DIE, STOP, SLEEP, PRINT, SPOIL, MISFIT, LEAK, CHILD, BURN, HOLD, AWAIT = range(13)


class Renderer:
    def __init__(self, settings):
        self.settings = settings
        self.kept = []

    def version(self):
        return "1.2"

    def render(self, x, seed):
        what = int(x[0])
        if "log" in self.settings:  # one line a render that was begun
            with open(self.settings["log"], "a") as log:
                log.write(f"{os.getpid()} {what}\n")
        if "once" in self.settings:  # the second try goes well
            what = RENDER if os.path.exists(self.settings["once"]) else what
            Path(self.settings["once"]).touch()
        if what == RAISE:
            raise ValueError("a negative radius")
        if what == DIE:
            print("about to die")
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGSEGV)
        if what == STOP:
            os.kill(os.getpid(), signal.SIGSTOP)
        if what == SLEEP:
            time.sleep(x[1])
        if what == AWAIT:  # until so many renders were begun, whoever began them
            while len(Path(self.settings["log"]).read_text().splitlines()) < x[1]:
                time.sleep(0.01)
        if what == PRINT:
            print("garbage " * 100_000)
            os.write(1, bytes(range(256)) * 1000)
        if what == SPOIL:
            for descriptor in range(3, 64):
                with contextlib.suppress(OSError):
                    os.write(descriptor, b"garbage " * 10)
        if what == MISFIT:
            return np.zeros(3)
        if what == LEAK:
            self.kept.append(np.ones(int(x[1] * 2**20 / 8)))
        if what == CHILD:
            os.spawnvp(os.P_WAIT, "sleep", ["sleep", "600"])
        if what == BURN:
            end = time.process_time() + x[1]
            while time.process_time() < end:
                pass
        if what == HOLD:
            ctypes.PyDLL(None).sleep(int(x[1]))  # C code that keeps the interpreter's lock
        ramp = np.linspace(0, 1, 3 * 4 * 5).reshape(3, 4, 5)
        return ramp * x[-1] + seed


def load(settings):
    if settings.get("needs"):
        raise RuntimeError(f"needs version {settings['needs']} or later, this is 1.2")
    if settings.get("hang"):
        time.sleep(600)
    return Renderer(settings)
