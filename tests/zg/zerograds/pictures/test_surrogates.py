"""Surrogates of the picture: renders until the picture is right, noise, lattices, bounds, and when they give up."""

import copy
import math

import pytest
import torch
from torch import Tensor

from tests.zg.zerograds.pictures.scenes import Bent, Mixed, Sparkling, Waves
from zg.objective import Objective
from zg.problem import Problem
from zg.zerograds.pictures.base import PictureSurrogate
from zg.zerograds.pictures.bowl import PictureLoss
from zg.zerograds.pictures.dense import Dense, DenseSettings
from zg.zerograds.pictures.footprints import Footprints
from zg.zerograds.pictures.place import StepSettings


def started(kind: type[PictureSurrogate], task: Mixed, seed: int = 0) -> tuple[PictureSurrogate, Objective]:
    task.seed = seed
    task.setup()
    objective = Objective(task, 1000, seed)
    problem = Problem.of_space(task.space, seed, image_loss=objective.image_loss)
    return kind(problem, objective.start, 0.05), objective


def tell(surrogate: PictureSurrogate, objective: Objective, spoil: bool = False, cut: int | None = None) -> None:
    """One iteration. spoil: the first render fails, and pixels of the others are NaN. cut: rows that are rendered."""
    theta = surrogate.ask()[:cut]
    told = objective.evaluate(theta, 0, images=True)
    assert told.images is not None and told.reference is not None
    surrogate.picture_loss = PictureLoss(objective.image_loss, told.reference, objective.space)
    images, valid = told.images.clone(), told.valid.clone()
    if spoil:
        images[:, ..., 0, :3], images[0], valid[0] = math.nan, math.nan, False
    surrogate.tell(theta, images, valid)


def solve(surrogate: PictureSurrogate, objective: Objective, renders: int = 300, **trouble: object) -> float:
    """The share of the loss of the start that is left when it has ended, or after that number of renders."""
    start = objective.measure(objective.start, "start")[0]
    while not (surrogate.place.converged or surrogate.place.failed) and objective.ledger.renders < renders:
        tell(surrogate, objective, **trouble)  # type: ignore[arg-type]
    return objective.measure(surrogate.theta, "end")[0] / start


def test_few_parameters_are_right_after_one_picture_for_each_and_a_ladder() -> None:
    surrogate, objective = started(Dense, Mixed(9, 0))
    assert solve(surrogate, objective, 2 + 9 + 3) < 1e-3
    assert solve(surrogate, objective, 2 + 9 + 9) < 1e-8, "and two more"
    assert objective.ledger.renders <= 20


def test_a_bent_picture_takes_some_steps_more() -> None:
    surrogate, objective = started(Dense, Bent(9))
    assert solve(surrogate, objective, 60) < 1e-5


@pytest.mark.parametrize(("kind", "n", "reach", "renders"), [(Dense, 6, 0, 60), (Footprints, 120, 4, 250)])
def test_noise_is_averaged_away(kind: type[PictureSurrogate], n: int, reach: int, renders: int) -> None:
    level = 0.1 if kind is Dense else 0.003
    task = Mixed(n, reach, noise=level)
    surrogate, objective = started(kind, task)
    solve(surrogate, objective, renders)
    clean = [float(task.loss(task.clean(x[None]), task.reference())) for x in (surrogate.theta, task.space.init)]
    assert clean[0] < 0.02 * clean[1]
    assert kind is Footprints or clean[0] < 0.1 * level**2, "a tenth of the noise of one picture"


def test_the_loss_is_told_without_the_part_of_noise() -> None:
    surrogate, objective = started(Dense, Mixed(6, 0, noise=0.3))
    tell(surrogate, objective)
    task = objective.task
    assert isinstance(task, Mixed)
    clean = float(task.loss(task.clean(task.space.init[None]), task.reference()))
    assert surrogate.place.loss == pytest.approx(clean, abs=0.3 * 0.3**2)
    assert surrogate.noise_variance == pytest.approx(0.3**2, rel=0.3)
    assert surrogate.noisy


def test_without_the_correction_the_loss_keeps_the_part_of_noise() -> None:
    surrogate, objective = started(Dense, Mixed(6, 0, noise=0.3))
    plain, _ = started(Dense, Mixed(6, 0, noise=0.3))
    plain.settings = DenseSettings(steps=StepSettings(corrects_noise=False))
    told = objective.evaluate(surrogate.ask(), 0, images=True)
    assert told.images is not None and told.reference is not None
    for one in (surrogate, plain):
        one.picture_loss = PictureLoss(objective.image_loss, told.reference, objective.space)
        one.tell(surrogate.ask(), told.images, told.valid)
    kept = plain.place.loss - surrogate.place.loss
    assert kept == pytest.approx(surrogate.place.picture_noise, rel=1e-6) and kept > 0.02


def test_without_memory_every_slope_is_measured_again_before_each_step() -> None:
    surrogate, objective = started(Dense, Bent(9))
    surrogate.settings = DenseSettings(remembers=False)
    batches = []
    for _ in range(7):
        batches.append((surrogate.place.phase, len(surrogate.ask())))
        tell(surrogate, objective)
    assert [size for phase, size in batches if phase == "learn"] == [9] * 3


@pytest.mark.parametrize("kind", ["binary", "integer"])
def test_lattices_are_right_and_asked_on_the_lattice(kind: str) -> None:
    for model, n, reach in ((Dense, 12, 0), (Footprints, 60, 1)):
        surrogate, objective = started(model, Mixed(n, reach, kind))
        spacing, start = surrogate.problem.lattice, objective.measure(objective.start, "start")[0]
        while not surrogate.place.converged and objective.ledger.renders < 80:
            asked = surrogate.ask() / spacing
            assert torch.allclose(asked, asked.round(), atol=1e-9)
            tell(surrogate, objective)
        assert objective.measure(surrogate.theta, "end")[0] < 0.15 * start, f"{kind}, {model.__name__}"


def test_footprints_need_renders_by_how_many_parameters_share_a_pixel_and_not_by_their_number() -> None:
    spent = []
    for n, views in ((200, 1), (800, 4)):
        surrogate, objective = started(Footprints, Mixed(n, 1, views=views))
        assert solve(surrogate, objective, 80) < 0.01
        spent.append(objective.ledger.renders)
    assert max(spent) <= 60 and spent[1] < 1.5 * spent[0]


def test_footprints_are_found_again_where_the_picture_is_bent() -> None:
    surrogate, objective = started(Footprints, Bent(150, reach=2, bend=2.0))
    assert solve(surrogate, objective, 200) < 0.02


@pytest.mark.parametrize(("task", "renders"), [(Waves(300), 12), (Sparkling(300, 2), 7), (Mixed(300, 0), 62)])
def test_footprints_give_up_soon_where_there_are_none(task: Mixed, renders: int) -> None:
    surrogate, objective = started(Footprints, task)
    solve(surrogate, objective)
    assert surrogate.place.failed and objective.ledger.renders <= renders


def test_a_picture_that_nothing_moves_ends_the_search() -> None:
    task = Mixed(40, 1)
    for kind in (Dense, Footprints):
        surrogate, objective = started(kind, task)
        task.matrix = torch.zeros_like(task.matrix)
        solve(surrogate, objective)
        assert surrogate.place.failed or surrogate.place.converged
        assert objective.ledger.renders < 80


@pytest.mark.parametrize(("kind", "n", "reach"), [(Dense, 9, 0), (Footprints, 60, 2)])
def test_failed_renders_and_pixels_without_a_number_do_no_harm(
    kind: type[PictureSurrogate], n: int, reach: int
) -> None:
    surrogate, objective = started(kind, Mixed(n, reach))
    assert solve(surrogate, objective, 200, spoil=True) < 0.2
    assert surrogate.theta.isfinite().all() and surrogate.place.picture.isfinite().all()


@pytest.mark.parametrize(("kind", "n", "reach"), [(Dense, 9, 0), (Footprints, 60, 2)])
def test_a_cut_batch_is_learned_from(kind: type[PictureSurrogate], n: int, reach: int) -> None:
    surrogate, objective = started(kind, Mixed(n, reach))
    for _ in range(3):
        tell(surrogate, objective, cut=1)
    assert objective.ledger.renders == 3
    assert surrogate.theta.isfinite().all()


def test_every_trial_stays_inside_the_bounds() -> None:
    surrogate, objective = started(Dense, Mixed(9, 0))
    objective.task.set_reference(3 * objective.task.reference())  # type: ignore[operator]
    low, high = surrogate.problem.low, surrogate.problem.high
    for _ in range(8):
        asked = surrogate.ask()
        assert (asked >= low).all() and (asked <= high).all()
        if surrogate.place.converged:
            break
        tell(surrogate, objective)
    assert ((surrogate.theta == low) | (surrogate.theta == high)).any(), "the minimum is on a bound"


@pytest.mark.parametrize(("kind", "task"), [(Dense, Bent(9, noise=0.02)), (Footprints, Bent(60, reach=2))])
def test_a_copy_from_the_state_goes_on_with_the_same_bits(kind: type[PictureSurrogate], task: Mixed) -> None:
    surrogate, objective = started(kind, task)
    for _ in range(4):
        tell(surrogate, objective)
    other = kind(surrogate.problem, objective.start, 0.05)
    other.load_state_dict(copy.deepcopy(surrogate.state_dict()))
    drawn, count = surrogate.problem.generator.get_state(), objective.ledger.renders
    ends: list[Tensor] = []
    for one in (surrogate, other):
        surrogate.problem.generator.set_state(drawn)
        objective.ledger.renders = count
        for _ in range(4):
            tell(one, objective)
        ends.append(torch.cat([one.theta, one.ask().reshape(-1)]))
    assert torch.equal(*ends)
