"""What the pools cost and what they bring: python -m benchmarks.pools overhead work sleep quickstart wait scene table

- overhead: a render of a function that only fills a picture, against a call of it, for each pool; and the time of a
  core that a render costs this process, which bounds how many workers it can keep busy.
- work: renders a second of 2 workers over those of 1, for 100 ms of one core a render; for threads in code that
  releases the interpreter's lock; and of 2 processes that know nothing of each other, which is what the cores have.
- sleep: renders a second of 8 and 32 workers (or `--workers`) for a renderer that waits 200 ms, as a share of what they
  would be without overhead, and the memory of a worker that it shares with nobody. On Ray 8 by default: its own
  processes beside 32 workers need gigabytes.
- quickstart: a function of two parameters with 50 ms of pure Python a call, time of 2 workers in processes over 1.
- wait: the time of a core that Ray takes to find one result among 1, 100 and 1,000 that are not there yet.
- scene: a render in a process against the same in a bare loop here: Mitsuba's, or that of any scene file; only printed.
- table: the tables of docs/results/scale.md, from the last row of each measurement.

Ratios are medians over pairs timed in turn, so that neighbours on the machine count little. Ray is a real one on this
machine, started once and not timed. Rows are appended to results/pools.csv.
"""

import argparse
import csv
import hashlib
import json
import shlex
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from subprocess import PIPE
from typing import Any

import numpy as np

import zg
from benchmarks.rows import append
from tests.zg.workers.scenes.faulty import BURN
from zg.run.provenance import machine, revision
from zg.workers import child
from zg.workers.cluster import connected
from zg.workers.pool import PYTHON, Function, PoolSettings, Scene, open_pool

ROWS = Path(__file__).parents[1] / "results" / "pools.csv"
COLUMNS = "what pool workers side call_ms render_ms own_ms ratio memory_mb pairs revision command machine".split()
NO_POOL = "no pool"
SIDES = (128, 1024)
WORK_SECONDS, SLEEP_SECONDS, PYTHON_SECONDS = 0.1, 0.2, 0.05
LOOP = f"""
import sys
from tests.zg.workers.scenes.faulty import Renderer
renderer = Renderer({{}})
print(flush=True)
sys.stdin.read()
for _ in range(int(sys.argv[1])):
    renderer.render([{BURN}, {WORK_SECONDS}, 1.0], 0)
print(flush=True)
"""
Row = Mapping[str, Any]


def seconds(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def filled(side: int) -> Callable[[Any, int], np.ndarray]:
    """A renderer that only makes a picture."""
    return lambda x, seed: np.full((3, side, side), x[0], dtype=np.float32)


def burn(x: Any, seed: int) -> float:
    """100 ms of one core in Python."""
    end = time.process_time() + WORK_SECONDS
    while time.process_time() < end:
        pass
    return 0.0


def burn_unlocked(x: Any, seed: int) -> float:
    """100 ms of one core in code that releases the interpreter's lock."""
    end = time.thread_time() + WORK_SECONDS
    block = bytes(2**20)
    while time.thread_time() < end:
        hashlib.sha256(block)
    return 0.0


def sleep(x: Any, seed: int) -> float:
    """Waits, as for a program or a machine elsewhere. Returns its megabytes of memory that no other process shares."""
    time.sleep(SLEEP_SECONDS)
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private")) / 1024


def paired(first: Callable[[], object], second: Callable[[], object], pairs: int) -> tuple[float, float, float]:
    """Median seconds of two actions timed in turn, and the median of the ratios of the second to the first."""
    timed = [(seconds(first), seconds(second)) for _ in range(pairs)]
    ratio = statistics.median(b / a for a, b in timed)
    return statistics.median(a for a, _ in timed), statistics.median(b for _, b in timed), ratio


def measure_overhead(name: str, side: int, pairs: int, batch: int = 20) -> Row:
    call, x = filled(side), np.zeros((batch, 2))
    with open_pool(Function(call), PoolSettings(1, name)) as pool:
        pool.run(x)
        bare, pooled, ratio = paired(lambda: [call(one, 0) for one in x], lambda: pool.run(x), pairs)
        start = time.process_time()
        for _ in range(pairs):
            pool.run(x)
        own = (time.process_time() - start) / pairs
    call_ms, render_ms, own_ms = (f"{1e3 * took / batch:.3g}" for took in (bare, pooled, own))
    times = {"call_ms": call_ms, "render_ms": render_ms, "own_ms": own_ms}
    return {"what": "overhead", "pool": name, "workers": 1, "side": side, **times, "ratio": f"{ratio:.3g}"}


def measure_work(name: str, pairs: int, each: int = 10) -> Row:
    call, x = burn_unlocked if name == "threads" else burn, np.zeros((each, 2))
    with (
        open_pool(Function(call), PoolSettings(1, name)) as one,
        open_pool(Function(call), PoolSettings(2, name)) as two,
    ):
        one.run(x[:1]), two.run(x[:2])
        _, _, ratio = paired(lambda: one.run(x), lambda: two.run(x.repeat(2, 0)), pairs)
    return {"what": "work", "pool": name, "workers": 2, "ratio": f"{2 / ratio:.3g}"}


def measure_cores(pairs: int, processes: int = 2, each: int = 10) -> Row:
    """Renders a second of that number of processes without a pool, over those of one."""

    def run(count: int) -> float:
        started = [
            subprocess.Popen([sys.executable, "-c", LOOP, str(each)], stdin=PIPE, stdout=PIPE) for _ in range(count)
        ]

        def await_line() -> None:
            for process in started:
                assert process.stdout is not None
                process.stdout.readline()

        def go() -> None:
            for process in started:
                assert process.stdin is not None
                process.stdin.close()
            await_line()

        await_line()
        took = seconds(go)
        for process in started:
            process.wait()
        return took

    gain = statistics.median(processes * run(1) / run(processes) for _ in range(pairs))
    return {"what": "work", "pool": NO_POOL, "workers": processes, "ratio": f"{gain:.3g}"}


def measure_sleep(name: str, workers: int, pairs: int, rounds: int = 5) -> Row:
    x = np.zeros((workers * rounds, 2))
    with open_pool(Function(sleep), PoolSettings(workers, name)) as pool:
        pool.run(x)
        took = statistics.median(seconds(lambda: pool.run(x)) for _ in range(pairs))
        most = max(float(result.image) for result in pool.run(x[:workers]) if result.image is not None)
    share = SLEEP_SECONDS * rounds / took
    memory = {} if name == "threads" else {"memory_mb": round(most)}
    return {"what": "sleep", "pool": name, "workers": workers, "ratio": f"{share:.3g}", **memory}


def measure_quickstart(pairs: int) -> Row:
    def f(x: Any) -> float:
        end = time.process_time() + PYTHON_SECONDS
        while time.process_time() < end:
            pass
        return float((x[0] - 3) ** 2 + (x[1] + 1) ** 2)

    def run(workers: int) -> None:
        zg.minimize(f, x0=[0.0, 0.0], max_renders=200, curve_points=0, workers=workers, pool="processes")

    _, _, ratio = paired(lambda: run(1), lambda: run(2), pairs)
    return {"what": "quickstart", "pool": "processes", "workers": 2, "ratio": f"{ratio:.3g}"}


def measure_wait(looks: int = 60) -> Iterator[Row]:
    with connected(None, 2) as ray:
        quick, never = ray.remote(num_cpus=1)(lambda: None), ray.remote(num_cpus=9)(lambda: None)
        ray.get(quick.remote())
        for count in (1, 100, 1000):
            waiting = [never.remote() for _ in range(count)]
            took = []
            for _ in range(looks):
                result = quick.remote()
                start = time.process_time()
                ray.wait([*waiting, result], num_returns=1)
                took.append(time.process_time() - start)
            own = f"{1e3 * statistics.median(took):.3g}"
            yield {"what": "wait", "pool": "ray", "workers": count, "own_ms": own}


def measure_scene(scene: Path, settings: Mapping[str, Any], x: np.ndarray, pairs: int) -> None:
    bare = child.load(str(scene), dict(settings))

    def loop() -> np.ndarray:
        return np.stack([bare.render(one, k) for k, one in enumerate(x)])

    with open_pool(Scene(PYTHON, scene, settings, loop().shape[1:]), PoolSettings()) as pool:
        pool.render(x)
        alone, _, ratio = paired(loop, lambda: pool.render(x, range(len(x))), pairs)
    milliseconds = 1e3 * alone / len(x)
    print(
        f"{scene.name} {dict(settings)}: {milliseconds:.0f} ms a render in a bare loop, in a worker {ratio:.3f} of it"
    )


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """The rows of what is asked for, each as soon as it is there."""
    with ExitStack() as stack:
        if "ray" in options.pools and {*options.what} & {"overhead", "work", "sleep"}:
            # More CPUs than there are: workers that sleep share a core.
            stack.enter_context(connected(None, 1 + max(options.workers or [8])))
        if "work" in options.what:
            yield measure_cores(options.pairs)
        for name in options.pools:
            for side in SIDES if "overhead" in options.what else ():
                yield measure_overhead(name, side, options.pairs)
            if "work" in options.what:
                yield measure_work(name, options.pairs)
            asked = options.workers or ([8] if name == "ray" else [8, 32])
            for workers in asked if "sleep" in options.what else ():
                yield measure_sleep(name, workers, options.pairs)
    if "quickstart" in options.what:
        yield measure_quickstart(options.pairs)
    if "wait" in options.what:
        yield from measure_wait()


def rows(options: argparse.Namespace) -> Iterator[Row]:
    """The same, with where they come from."""
    words = ["OUT" if word == str(options.out) else word for word in sys.argv[1:]]
    command = shlex.join(["python", "-m", "benchmarks.pools", *words])
    for row in measure(options):
        print(row, file=sys.stderr, flush=True)
        yield {**row, "pairs": options.pairs, "revision": revision(), "command": command, "machine": machine()}


def last_rows(path: Path, what: str) -> list[dict[str, str]]:
    """Of each measurement, the last row."""
    with path.open(newline="") as file:
        found = {(row["pool"], row["workers"], row["side"]): row for row in csv.DictReader(file) if row["what"] == what}
    return list(found.values())


def overhead_table(path: Path) -> str:
    """What a render costs to send: the rows of `overhead`, in Markdown."""
    lines = ["| picture | pool | a call | a render | ratio | of the run's process |", "|---" * 6 + "|"]
    for row in sorted(last_rows(path, "overhead"), key=lambda row: int(row["side"])):
        side = f"{int(row['side']):,}"
        times = f"{row['call_ms']} ms | {row['render_ms']} ms | {row['ratio']} | {row['own_ms']} ms"
        lines.append(f"| 3 × {side} × {side} | {row['pool']} | {times} |")
    return "\n".join(lines)


def gain_table(path: Path) -> str:
    """What workers bring: the rows of `sleep` and `work`, in Markdown."""
    lines = ["| renderer | pool | workers | renders a second | memory of a worker |", "|---" * 5 + "|"]
    for row in last_rows(path, "sleep"):
        memory = f"{row['memory_mb']} MB" if row["memory_mb"] else "–"
        speed = f"{100 * float(row['ratio']):.0f} % of linear"
        lines.append(f"| waits 200 ms | {row['pool']} | {row['workers']} | {speed} | {memory} |")
    for row in last_rows(path, "work"):
        speed = f"{100 * float(row['ratio']) / int(row['workers']):.0f} % of linear"
        lines.append(f"| works 100 ms | {row['pool']} | {row['workers']} | {speed} | – |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="+", choices="overhead work sleep quickstart wait scene table".split())
    parser.add_argument("--pools", nargs="+", default=["threads", "processes", "ray"])
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", help="of sleep")
    parser.add_argument("--scene", type=Path, help="a scene file to measure instead of Mitsuba's Cornell box")
    parser.add_argument("--settings", type=json.loads, default={}, help="for its load, as JSON")
    parser.add_argument("--x", type=float, nargs="+", help="what it renders, ten times")
    parser.add_argument("--out", type=Path, default=ROWS)
    options = parser.parse_args()
    if "table" in options.what:
        print(overhead_table(options.out), gain_table(options.out), sep="\n\n")
        return
    append(options.out, COLUMNS, rows(options))
    if "scene" in options.what:
        from tests.tasks import cornell_scene  # imports Mitsuba

        own = Path(cornell_scene.__file__), {"size": 64, "samples": 16}, np.linspace(-0.3, 0.3, 10)[:, None]
        given = options.scene, options.settings, np.tile(options.x or [], (10, 1))
        measure_scene(*(given if options.scene else own), options.pairs)


if __name__ == "__main__":
    main()
