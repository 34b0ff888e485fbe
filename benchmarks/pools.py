"""What a pool of renderer processes costs, and what more of them bring: python -m benchmarks.workers

Medians over pairs timed in turn, so that neighbours on the machine count little:
- a render in one worker against the same in a bare loop in this process: Mitsuba's, or that of any scene file;
- renders a second of w workers against one, for 100 ms of work by one core a render; and what w processes that know
  nothing of each other gain over one, which is what the machine's cores have to give.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np

from tests.tasks import cornell_scene
from tests.zg.workers.scenes import faulty
from zg.workers import child
from zg.workers.pool import PYTHON, Workers

LOOP = """
import sys
from tests.zg.workers.scenes.faulty import BURN, Renderer
renderer = Renderer({})
print(flush=True)
sys.stdin.read()
for _ in range(int(sys.argv[1])):
    renderer.render([BURN, 0.1, 1.0], 0)
"""


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def overhead(scene: Path, settings: Mapping[str, Any], x: np.ndarray, pairs: int) -> tuple[float, float]:
    """Seconds a render of x [B, n] in a bare loop in this process, and the ratio of those in a worker to it."""
    bare = child.load(str(scene), dict(settings))

    def loop() -> np.ndarray:
        return np.stack([bare.render(one, k) for k, one in enumerate(x)])

    shape = loop().shape[1:]
    with Workers(PYTHON, scene, settings, shape) as pool:
        pool.render(x)
        timed = [(seconds(loop), seconds(lambda: pool.render(x, range(len(x))))) for _ in range(pairs)]
    return statistics.median(a for a, _ in timed) / len(x), statistics.median(b / a for a, b in timed)


def round_trip(batch: int = 500) -> float:
    """Seconds a render of nearly nothing, with a tiny image."""
    scene = Path(faulty.__file__)
    with Workers(PYTHON, scene, {}, (3, 4, 5)) as pool:
        x = np.zeros((batch, 3))
        return min(seconds(lambda: pool.render(x)) for _ in range(5)) / batch


def speedup(workers: int, pairs: int, each: int = 10) -> float:
    """Throughput of `workers` over that of one, both busy in turn."""
    x = np.array([[faulty.BURN, 0.1, 1.0]])
    scene = Path(faulty.__file__)
    with (
        Workers(PYTHON, scene, {}, (3, 4, 5)) as one,
        Workers(PYTHON, scene, {}, (3, 4, 5), workers=workers) as many,
    ):
        one.render(x), many.render(x.repeat(workers, 0))
        timed = [
            (seconds(lambda: one.render(x.repeat(each, 0))), seconds(lambda: many.render(x.repeat(each * workers, 0))))
            for _ in range(pairs)
        ]
    return statistics.median(workers * alone / together for alone, together in timed)


def ceiling(processes: int, pairs: int, each: int = 10) -> float:
    """Throughput of that number of processes without a pool, over the throughput of one."""

    def burn(count: int) -> float:
        started = [
            subprocess.Popen([sys.executable, "-c", LOOP, str(each)], stdin=PIPE, stdout=PIPE) for _ in range(count)
        ]
        for process in started:
            assert process.stdout is not None
            process.stdout.readline()

        def go() -> None:
            for process in started:
                assert process.stdin is not None
                process.stdin.close()
            for process in started:
                process.wait()

        return seconds(go)

    return statistics.median(processes * burn(1) / burn(processes) for _ in range(pairs))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=15)
    parser.add_argument("--batch", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--scene", type=Path, help="a scene file to measure instead of Mitsuba's Cornell box")
    parser.add_argument("--settings", type=json.loads, default={}, help="for its load, as JSON")
    parser.add_argument("--x", type=float, nargs="+", help="what it renders")
    options = parser.parse_args()
    print(f"round trip of nearly nothing: {1e6 * round_trip():.0f} µs")
    if options.scene:
        scene, settings, x = options.scene, options.settings, np.tile(options.x, (options.batch, 1))
    else:
        x = np.linspace(-0.3, 0.3, options.batch)[:, None]
        scene, settings = Path(cornell_scene.__file__), {"size": 64, "samples": 16}
    bare, ratio = overhead(scene, settings, x, options.pairs)
    print(f"{scene.name} {settings}: {1e3 * bare:.0f} ms a render in a bare loop, in a worker {ratio:.3f} of it")
    gain = speedup(options.workers, options.pairs)
    free = ceiling(options.workers, options.pairs)
    print(f"{options.workers} workers, 100 ms of work a render: {gain:.2f} times one; without a pool {free:.2f} times")


if __name__ == "__main__":
    main()
