"""Statistics against values computed by hand or in another way."""

import math

import numpy as np
import pytest
from scipy.stats import rankdata, trim_mean

from baselines.compare import statistics
from baselines.compare.rows import Curve, Run
from baselines.compare.summary import summarise
from zg.errors import SettingError


def make_run(final: float | None, initial: float = 1.0, **columns: object) -> Run:
    """A run as far as statistics look at it."""
    row = {"task": "t", "method": "a", "feedback": "loss", "seed": 0, "stop_reason": "budget", "error": ""}
    row |= {
        "settings_from": "default",
        "resolved": "",
        "renders": 10,
        "jobs": 1,
        "max_renders": 10,
        "max_seconds": None,
    }
    row |= {"seconds_render": 1.0, "seconds_method": 2.0, "peak_mb": 3.0, "code_hash": "c", "machine": "m"}
    return Run(row | {"init_loss": initial, "final_loss": final} | columns, None, None)


def test_gain_is_orders_of_magnitude():
    assert statistics.gain(10.0, 0.01) == pytest.approx(3.0)
    assert statistics.gain(1.0, 100.0) == pytest.approx(-2.0)
    assert statistics.gain(1.0, 0.0) == statistics.gain(1.0, 1e-30) == 12.0
    with pytest.raises(SettingError, match=r"loss must be >= 0 .* got -0.5"):
        statistics.gain(1.0, -0.5)


def test_a_failed_run_counts_as_the_worst_and_never_as_better_than_its_start():
    runs = [make_run(0.1), make_run(None), make_run(0.5, stop_reason="error"), make_run(math.inf)]
    assert [*statistics.gains(runs).values()] == pytest.approx([1.0, 0.0, 0.0, 0.0])
    runs = [make_run(100.0), make_run(None), make_run(0.001)]
    assert [*statistics.gains(runs).values()] == pytest.approx([-2.0, -2.0, 3.0])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 8, 11, 40])
def test_interquartile_mean_is_that_of_the_sorted_middle(count):
    values = np.random.default_rng(count).normal(size=(3, count))
    middle = np.sort(values, axis=-1)[:, count // 4 : count - count // 4]
    assert statistics.interquartile_mean(values) == pytest.approx(middle.mean(-1))


def test_the_interquartile_mean_equals_one_worked_by_hand():
    assert statistics.interquartile_mean(np.array([100.0, 1.0, 2.0, 3.0])) == 2.5
    assert statistics.overall_gain([np.array([0.0, 2.0]), np.array([4.0, 100.0])]).value == 3.0


def test_probability_of_improvement_counts_pairs():
    assert statistics.probability_of_improvement(np.array([1.0, 2.0]), np.array([0.0, 2.0])) == 0.625
    random = np.random.default_rng(0)
    ours, theirs = random.integers(6, size=9).astype(float), random.integers(6, size=7).astype(float)
    expected = np.mean([(a > b) + 0.5 * (a == b) for a in ours for b in theirs])
    assert statistics.probability_of_improvement(ours, theirs) == pytest.approx(expected)
    mean = statistics.improvement([ours, theirs], [theirs, theirs])
    assert mean.value == pytest.approx((expected + 0.5) / 2)
    assert 0 <= mean.interval[0] < mean.value < mean.interval[1] <= 1


def test_a_run_without_a_finite_start_has_failed():
    broken, whole = make_run(0.1, method="b"), make_run(0.2, method="b", seed=1)
    broken.row["init_loss"] = None
    (line,) = summarise([broken, whole], "b").lines
    assert (line.failures, line.reached) == (1, 0)


def test_ranks_are_seed_by_seed_with_ties_shared():
    gains = {"a": {0: 3.0, 1: 1.0}, "b": {0: 2.0, 1: 1.0}, "c": {0: 1.0, 1: 5.0, 2: 9.0}}
    ranks = statistics.average_ranks([gains])
    assert {method: found.value for method, found in ranks.items()} == {"a": 1.75, "b": 2.25, "c": 2.0}
    other = {"a": {0: 0.0}, "b": {0: 5.0}, "c": {0: 1.0}}
    assert statistics.average_ranks([gains, other])["a"].value == (1.75 + 3) / 2
    assert statistics.average_ranks([{"a": {0: 1.0}, "b": {1: 1.0}}]) == {}


def test_one_seed_has_no_interval_and_the_summary_says_so():
    assert statistics.overall_gain([np.array([1.0]), np.array([1.0, 2.0])]).interval is None
    assert any("One seed" in note for note in summarise([make_run(0.1), make_run(0.2, method="b")], "b").notes)
    several = [make_run(0.1), make_run(0.2, seed=1)]
    assert summarise(several, "a").notes == []


def test_the_interval_is_that_of_drawing_seeds_again_within_each_task():
    random = np.random.default_rng(1)
    strata = [random.normal(size=12), random.normal(3.0, 0.1, size=8)]
    found = statistics.overall_gain(strata)
    assert found == statistics.overall_gain(strata)
    again = np.random.default_rng(7)
    drawn = [
        trim_mean(np.concatenate([again.choice(stratum, len(stratum)) for stratum in strata]), 0.25)
        for _ in range(9000)
    ]
    assert found.interval == pytest.approx(np.quantile(drawn, [0.025, 0.975]), abs=0.06)


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    random = np.random.default_rng(2)
    hits = 0
    for _ in range(200):
        low, high = statistics.overall_gain([random.normal(size=20), random.normal(size=20)]).interval
        hits += low <= 0 <= high
    assert 175 <= hits <= 199


def test_what_is_drawn_does_not_touch_the_global_generator():
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    statistics.overall_gain([np.arange(5.0)])
    assert (np.random.get_state()[1] == state).all()  # noqa: NPY002


def test_the_target_is_reached_at_the_first_point_below_it():
    curve = Curve(np.array([1.0, 10.0, 100.0]), np.array([0.1, 0.2, 0.3]), np.array([5.0, 0.5, 0.7]))
    assert statistics.reached(curve, 0.6) == (10.0, 0.2)
    assert statistics.reached(curve, 0.1) == statistics.reached(None, 9.0) == (math.inf, math.inf)


def test_quartiles_count_failures_as_infinite():
    assert statistics.median_and_quartiles([1.0, 2.0, 3.0, 4.0, 5.0]) == (2.0, 3.0, 4.0)
    assert statistics.median_and_quartiles([1.0, 2.0]) == (1.25, 1.5, 1.75)
    assert statistics.median_and_quartiles([1.0, 1.0, 1.0, math.inf, math.inf]) == (1.0, 1.0, math.inf)


def test_a_band_holds_curves_between_their_points():
    first = Curve(np.array([1.0, 10.0]), np.array([0.0, 1.0]), np.array([4.0, 2.0]))
    second = Curve(np.array([1.0, 100.0]), np.array([0.0, 9.0]), np.array([8.0, 1.0]))
    grid, low, middle, high = statistics.quartile_band([first, second], "renders", points=5)
    assert grid == pytest.approx([1, 10**0.5, 10, 10**1.5, 100])
    assert middle == pytest.approx([6, 6, 5, 5, 1.5])
    assert low == pytest.approx([5, 5, 3.5, 3.5, 1.25])
    assert high == pytest.approx([7, 7, 6.5, 6.5, 1.75])
    grid, *_ = statistics.quartile_band([first, second], "seconds", points=3)
    assert grid[0] == statistics.LEAST["seconds"]
    assert grid[-1] == pytest.approx(9.0)


def test_the_summary_ranks_what_sees_images_apart_and_counts_failures():
    finals = {("a", 0): 0.1, ("a", 1): 0.01, ("b", 0): 0.001, ("b", 1): None, ("c", 0): 1e-6, ("c", 1): 1e-6}
    runs = [
        make_run(final, method=method, seed=seed, feedback="image" if method == "c" else "loss")
        for (method, seed), final in finals.items()
    ]
    lines = {line.method: line for line in summarise(runs, "b").lines}
    assert [*lines] == ["a", "b", "c"]
    assert lines["c"].rank is None, "a rank among one says nothing"
    assert lines["a"].rank.value == lines["b"].rank.value == np.mean(rankdata([1, 2]))
    assert lines["b"].failures == 1
    assert lines["b"].final[1] == math.inf
    overall = {line.method: line for line in summarise(runs, "b").overall}
    assert overall["a"].improvement.value == 0.5
    assert overall["b"].improvement is None
    assert any("1 of 6 runs failed" in note for note in summarise(runs, "b").notes)


def test_the_summary_says_where_runs_are_not_comparable():
    runs = [make_run(0.1), make_run(0.1, method="b", max_renders=20, jobs=2, seed=1)]
    runs.append(make_run(0.1, code_hash="d", seed=1))
    said = " ".join(summarise(runs, "a").notes)
    for words in ("budgets differ", "2 side by side", "different states of the code"):
        assert words in said


def test_methods_that_import_different_code_are_of_one_state_of_it():
    runs = [make_run(0.1, code_hash="c"), make_run(0.1, method="b", code_hash="d")]
    assert not any("different states of the code" in note for note in summarise(runs, "a").notes)


def test_a_task_of_which_every_run_failed_has_a_floor():
    assert statistics.floor([]) > 0
