"""What a method may know about its problem."""

import dataclasses

import pytest
import torch

from tests.problems import Quadratic
from zg.budget import Budget
from zg.given import make_method
from zg.problem import UNLIMITED, Problem
from zg.run.run import run
from zg.seeding import make_generator
from zg.space import Block, ParameterSpace


def mixed() -> ParameterSpace:
    return ParameterSpace(
        position=Block([0.5, -0.5], low=-1.0, high=1.0),
        count=Block(8, low=2, high=42, kind="integer"),
        lamp=Block([1.0, 0.0, 1.0], kind="binary"),
        wide=Block(3, low=0, high=9, kind="integer", scale=2.0),
    )


def test_the_defaults_are_a_problem_without_noise_and_without_budget():
    problem = Problem.of_space(mixed())
    assert (problem.noisy, problem.max_renders, problem.parallel, problem.image_loss) == (False, UNLIMITED, 1, None)


def test_number_and_sizes_of_the_blocks_are_those_of_the_space():
    problem = Problem.of_space(mixed())
    assert (problem.n, problem.block_sizes) == (7, [2, 1, 3, 1])


def test_the_lattice_is_the_distance_of_neighbouring_integers_in_scaled_units():
    problem = Problem.of_space(mixed())
    assert problem.lattice.tolist() == [0, 0, 1 / 40, 1, 1, 1, 0.5]
    theta = problem.space.init
    steps = problem.space.to_user(theta + problem.lattice) - problem.space.to_user(theta)
    assert steps[[2, 6]].tolist() == [1, 1], "one step of the lattice is one integer"


@pytest.mark.parametrize(
    ("kinds", "some", "every"),
    [(["real"], False, False), (["real", "integer"], True, False), (["integer", "binary"], True, True)],
)
def test_discrete_coordinates_are_known(kinds, some, every):
    space = ParameterSpace({kind: Block(1, low=0, high=5 if kind != "binary" else 1, kind=kind) for kind in kinds})
    problem = Problem.of_space(space)
    assert (problem.any_discrete, problem.all_discrete) == (some, every)


def test_project_clips_to_the_bounds():
    problem = Problem.of_space(mixed())
    far = torch.full((3, 7), 1e9, dtype=torch.float64)
    assert torch.equal(problem.project(far), problem.space.high.expand(3, -1))
    assert torch.equal(problem.project(-far), problem.space.low.expand(3, -1))


def test_the_generator_is_the_stream_method_of_the_seed():
    problem, expected = Problem.of_space(mixed(), seed=5), make_generator(5, "method")
    assert problem.seed == 5
    assert torch.equal(torch.rand(4, generator=problem.generator), torch.rand(4, generator=expected))
    other = Problem.of_space(mixed(), seed=6)
    assert not torch.equal(torch.rand(4, generator=other.generator), torch.rand(4, generator=expected))


def test_measured_noise_makes_a_copy_with_the_same_generator():
    problem = Problem.of_space(mixed(), max_renders=100)
    noisy = problem.with_noise(True)
    assert (problem.noisy, noisy.noisy, noisy.max_renders) == (False, True, 100)
    assert noisy.generator is problem.generator and noisy.space is problem.space


def test_a_problem_cannot_be_changed():
    with pytest.raises(dataclasses.FrozenInstanceError):
        Problem.of_space(mixed()).noisy = True  # type: ignore[misc]


def test_a_batch_is_filled_to_a_multiple_of_the_renders_that_run_side_by_side():
    space = ParameterSpace(x=Block([0.0]))
    for parallel, count, step, filled in ((1, 5, 2, 5), (8, 20, 1, 24), (8, 24, 1, 24), (3, 20, 2, 24), (2, 1, 1, 2)):
        assert Problem.of_space(space, parallel=parallel).filled(count, step) == filled


class Counted(Quadratic):
    """Keeps the sizes of its batches, and renders them here."""

    def __init__(self, batches):
        super().__init__()
        self.batches = batches

    def render_batch(self, x, *seeds):
        self.batches.append(len(x))
        return self.render(x)


@pytest.mark.parametrize("method", ["es", "pgpe", "snes", "cmaes", "random_search", "nevergrad"])
def test_methods_fill_their_batches_where_they_can(method):
    batches: list[int] = []
    run(Counted(batches), make_method(method)[0], Budget(98), workers=7, curve_points=0)
    asked = [size for size in batches if size > 2]  # a single θ, or the start twice, is measured
    assert sum(size % 7 == 0 for size in asked) >= 0.8 * len(asked) > 0


def test_the_default_renders_no_single_samples_where_two_run_side_by_side():
    batches = []
    result = run(Counted(batches), make_method("zerograds")[0], Budget(60), workers=2, curve_points=0)
    assert result.loss < 1e-3 and sum(size >= 2 for size in batches) >= 0.8 * len(batches)
