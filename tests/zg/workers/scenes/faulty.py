"""A small renderer with faults on demand: x[0] says what happens, x[1] how much of it, the last number of x scales.

RENDER returns a ramp. All others cause a fault, or wait, before they return the same ramp.
"""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

RENDER, RAISE, DIE, STOP, SLEEP, PRINT, CORRUPT, WRONG_SHAPE, LEAK, CHILD, BURN, HOLD, AWAIT = range(13)
HELPER, NO_FOLDER, NO_TEXT, NO_MESSAGE, REAL_TIME = range(13, 18)
# Leaves the process group, and fills the folder of temporary files again and again.
HELP = """
import contextlib, os, time
while True:
    with contextlib.suppress(OSError):
        os.makedirs(os.environ["TMPDIR"], exist_ok=True)
        open(os.environ["TMPDIR"] + "/help", "w").close()
    time.sleep(0.001)
"""


class Unspeakable(Exception):
    def __str__(self):
        raise AttributeError("no text")


class Renderer:
    """settings: `log`, a file that gets one line for every render that starts; `once`, a file that the first render
    makes, and after which there are no more faults.
    """

    def __init__(self, settings):
        self.settings = settings
        self.kept = []

    def version(self):
        return "1.2"

    def render(self, x, seed):
        what = int(x[0])
        if "log" in self.settings:
            with open(self.settings["log"], "a") as log:
                log.write(f"{os.getpid()} {what}\n")
        if "once" in self.settings:
            what = RENDER if os.path.exists(self.settings["once"]) else what
            Path(self.settings["once"]).touch()
        with tempfile.TemporaryFile():  # as renderers have them
            self.cause(what, x[1])
        if what == WRONG_SHAPE:
            return np.zeros(3)
        ramp = np.linspace(0, 1, 3 * 4 * 5).reshape(3, 4, 5)
        return ramp * x[-1] + seed

    def cause(self, what, amount):
        if what == RAISE:
            raise ValueError("a negative radius")
        if what == DIE:
            print("about to die")
            sys.stdout.flush()
            os.kill(os.getpid(), signal.SIGSEGV)
        if what == STOP:
            os.kill(os.getpid(), signal.SIGSTOP)
        if what == SLEEP:
            time.sleep(amount)
        if what == AWAIT:  # until `amount` renders have started, in whichever process
            while len(Path(self.settings["log"]).read_text().splitlines()) < amount:
                time.sleep(0.01)
        if what == PRINT:
            print("garbage " * 100_000)
            os.write(1, bytes(range(256)) * 1000)
        if what == CORRUPT:  # the reply pipe, whichever descriptor it is
            for descriptor in range(3, 64):
                with contextlib.suppress(OSError):
                    os.write(descriptor, b"garbage " * 10)
        if what == LEAK:  # `amount` megabytes
            self.kept.append(np.ones(int(amount * 2**20 / 8)))
        if what == HELPER:  # that outlives this process
            command = [sys.executable, "-S", "-c", HELP]
            helper = subprocess.Popen(command, start_new_session=True, stdout=subprocess.DEVNULL)
            while not os.path.exists(os.environ["TMPDIR"] + "/help"):
                time.sleep(0.01)
            assert helper.poll() is None
            os.kill(os.getpid(), signal.SIGKILL)
        if what == NO_FOLDER:
            shutil.rmtree(os.environ["TMPDIR"])
        if what == NO_TEXT:
            raise RuntimeError("cannot read \udcff.exr")
        if what == NO_MESSAGE:
            raise Unspeakable
        if what == REAL_TIME:
            os.kill(os.getpid(), signal.SIGRTMIN + 1)
        if what == CHILD:
            os.spawnvp(os.P_WAIT, "sleep", ["sleep", "600"])
        if what == BURN:  # `amount` seconds of one core
            end = time.process_time() + amount
            while time.process_time() < end:
                pass
        if what == HOLD:  # C code that keeps the interpreter's lock for `amount` seconds
            ctypes.PyDLL(None).sleep(int(amount))


def load(settings):
    if settings.get("needs"):
        raise RuntimeError(f"needs version {settings['needs']} or later, this is 1.2")
    if settings.get("hang"):
        time.sleep(600)
    return Renderer(settings)
