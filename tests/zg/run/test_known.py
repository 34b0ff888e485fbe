"""Warm start from known evaluations."""

import numpy as np
import pytest

import zg

SPACE = {"a": zg.Block(0.0), "k": zg.Block(3, low=0, high=9, kind="integer")}


def bowl(x):
    return (x[0] - 3) ** 2 + 10 * (x[1] + 1) ** 2 + (x[0] * x[1] + 3) ** 2


def known_of(f, count=20):
    draws = np.random.default_rng(0)
    return [(x, f(x)) for x in draws.uniform(-4, 4, (count, 2))]


METHODS = [None, "cmaes", "random_search", "simulated_annealing", "snes", "zerograds-paper"]


@pytest.mark.parametrize("method", METHODS)
def test_every_method_starts_at_the_best_known_place(method):
    known = known_of(bowl)
    best = min(known, key=lambda pair: pair[1])
    result = zg.minimize(bowl, [0.0, 0.0], known=known, max_renders=25, method=method)
    assert result.row["init_loss"] == best[1]
    assert result.evidence.start.tolist() == best[0].tolist()
    assert result.row["best_loss"] <= best[1], "the known ones count as found"
    assert "of 20 known evaluations the best one" in result.known


def test_a_surrogate_uses_them_as_samples():
    cold = zg.minimize(bowl, [0.0, 0.0], max_renders=20)
    warm = zg.minimize(bowl, [0.0, 0.0], known=known_of(bowl), max_renders=20)
    assert warm.loss < 1e-2 * cold.loss
    assert "samples of the surrogate" in warm.known


def test_a_noisy_surrogate_uses_them_too():
    draws = np.random.default_rng(1)
    result = zg.minimize(lambda x: bowl(x) + 0.1 * draws.normal(), [0.0, 0.0], known=known_of(bowl), max_renders=30)
    assert len(result.evidence.losses) == 30
    assert bowl(result.x) < 1.3


@pytest.mark.parametrize("method", ["random_search", "simulated_annealing"])
def test_the_known_start_is_not_rendered_again_where_the_method_allows(method):
    seen = []
    known = known_of(bowl)
    best = min(known, key=lambda pair: pair[1])[0]
    zg.minimize(
        lambda x: seen.append(x) or bowl(x), [0.0, 0.0], known=known, max_renders=20, method=method, curve_points=0
    )
    counted = seen[:20]
    assert not any(np.array_equal(x, best) for x in counted)


def test_known_evaluations_have_names_and_failed_ones_are_left_out():
    known = [({"a": 1.0, "k": 4}, 5.0), ({"a": 2.0, "k": 5}, float("nan")), ({"a": 0.5, "k": 6}, 2.0)]
    result = zg.optimize(lambda a, k: (a - 1) ** 2 + (k - 7) ** 2, space=SPACE, known=known, max_renders=40)
    assert result.evidence.to_user(result.evidence.start).tolist() == [0.5, 6]
    assert result.params["k"] == 7
    assert "of 2 known evaluations" in result.known
    image = zg.optimize(lambda x: np.full((4, 4), x), known=[(0.2, 0.16), (0.5, 0.01)], reference=np.full((4, 4), 0.6))
    assert image.x == pytest.approx(0.6, abs=1e-3) and isinstance(image.x, float)


def test_an_optimizer_that_is_asked_and_told_takes_them():
    optimizer = zg.Optimizer({"x": zg.Block([0.0, 0.0])}, known=known_of(bowl))
    assert optimizer.best.loss == min(loss for _, loss in known_of(bowl))
    while optimizer.renders < 20:
        optimizer.tell([bowl(x) for x in optimizer.ask()])
    assert optimizer.best.loss < 0.01


def test_a_resumed_run_has_them_already(tmp_path):
    settings = {"known": known_of(bowl), "method": "es", "folder": tmp_path / "run"}
    zg.minimize(bowl, [0.0, 0.0], max_renders=60, callback=lambda loop: loop.iteration == 1, **settings)
    result = zg.minimize(bowl, [0.0, 0.0], max_renders=60, resume=True, **settings)
    whole = zg.minimize(bowl, [0.0, 0.0], max_renders=60, known=known_of(bowl), method="es")
    assert result.theta.tolist() == whole.theta.tolist()


@pytest.mark.parametrize(
    ("known", "said"),
    [
        (5, "a list of pairs"),
        ([], "a list of pairs"),
        ([(1.0, 2.0, 3.0)], "a list of pairs"),
        ("abc", "a list of pairs"),
        ([([0.0, 0.0], "low")], "a number as its loss"),
        ([([0.0, 0.0], float("nan"))], "a finite loss"),
        ([([0.0, 0.0, 0.0], 1.0)], "must have shape"),
        ([({"y": 1.0}, 1.0)], "must name the blocks"),
    ],
)
def test_what_is_no_evaluation_is_refused(known, said):
    with pytest.raises(zg.SettingError, match=said):
        zg.minimize(bowl, [0.0, 0.0], known=known)
