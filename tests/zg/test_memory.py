"""Sizes beyond all memory are refused in one line, before the memory is asked for."""

import resource

import numpy as np
import pytest

import zg
from baselines.compare.options import parse_seeds
from tasks.pattern import Pattern
from tasks.rosenbrock import Rosenbrock
from tests.methods import find, registered, started
from zg.errors import SettingError
from zg.memory import available, check_memory, readable
from zg.workers.pool import PYTHON, PoolSettings, Scene
from zg.workers.processes import Processes

TOO_MANY = 10**12


@pytest.fixture
def limited():
    """Leaves this process 1 GB of address space, so that no size here can fill the machine."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        used = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + 10**9, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


def test_a_limit_on_the_address_space_counts(limited):
    assert 0 < available() <= 10**9
    check_memory(1e8, size=1)
    wanted = r"size must fit into memory, got 7: about 2 GB are needed, and [\d.]+ [MG]B are available"
    with pytest.raises(SettingError, match=wanted):
        check_memory(2e9, size=7)


def test_what_is_available_is_a_part_of_this_machine():
    assert 10**6 < available() < 10**14
    check_memory(10**6, size=1)


@pytest.mark.parametrize(("size", "text"), [(0, "0 B"), (999, "999 B"), (19.3e9, "19.3 GB"), (8e19, "8e+04 PB")])
def test_sizes_are_readable(size, text):
    assert readable(size) == text


BATCHES = [(name, setting) for name in registered() for setting in find(name).batch_settings]


@pytest.mark.parametrize(("name", "setting"), BATCHES)
def test_a_batch_beyond_all_memory_is_refused(name, setting, limited):
    space = zg.ParameterSpace(x=zg.Block([1.0, 2.0]))
    with pytest.raises(SettingError, match=f"{setting} must fit into memory, got {TOO_MANY}: about .* are needed"):
        started(find(name)(**{setting: TOO_MANY}), space)


def scene(folder):
    path = folder / "scene.py"
    path.write_text("def load(settings): raise SystemExit")
    return path


SIZES = {
    "shape": lambda folder: Processes(Scene(PYTHON, scene(folder), {}, (3, 10**6, 10**6)), PoolSettings()),
    "workers": lambda folder: Processes(Scene(PYTHON, scene(folder), {}, (3, 8, 8)), PoolSettings(10**9)),
    "curve_points": lambda folder: zg.minimize(sum, [1.0], curve_points=10**9),
    "size": lambda folder: Pattern(size=10**6),
    "n": lambda folder: Rosenbrock(n=10**11),
    "seeds": lambda folder: parse_seeds("1000000000"),
    "options.pairs": lambda folder: zg.minimize(
        sum, [1.0], method={"name": "zerograds", "surrogate": "neural", "options": {"pairs": TOO_MANY}}
    ),
    "space": lambda folder: zg.ParameterSpace(x=zg.Block(np.broadcast_to(np.float64(0), 10**8), low=-1.0, high=1.0)),
    "surrogate 'quasi_newton'": lambda folder: zg.minimize(
        sum, np.zeros(20_000), method={"name": "zerograds", "surrogate": "quasi_newton"}
    ),
}


@pytest.mark.parametrize(("name", "ask"), SIZES.items(), ids=SIZES)
def test_a_size_beyond_all_memory_is_refused_by_its_name(name, ask, limited, tmp_path):
    with pytest.raises(SettingError, match=f"{name}.* must fit into memory, got .*: about .* are needed, and "):
        ask(tmp_path)


def test_a_budget_beyond_all_time_is_refused():
    with pytest.raises(SettingError, match=r"max_renders must be at most 10+, got 10+: 3.2e\+09 years"):
        zg.Budget(10**23)
    assert zg.Budget(10**15).max_renders == 10**15
