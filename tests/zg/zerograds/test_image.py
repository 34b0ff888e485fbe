"""The method that sees pictures: which surrogate, when the loss-only default goes on, and that nothing gets worse."""

import copy

import numpy as np
import pytest
import torch

import zg
from tests.methods import looped, started
from tests.problems import Noisy, Sphere, Stripes
from tests.zg.zerograds.pictures.scenes import Bent, Mixed, Sparkling
from zg.errors import SettingError
from zg.loop import Loop
from zg.space import Block, ParameterSpace
from zg.task import Task
from zg.zerograds.image import ImageZeroGrads
from zg.zerograds.method import ZeroGrads


def ramp(x: np.ndarray) -> np.ndarray:
    return x[0] + x[1] * np.arange(4.0)[None]


REFERENCE = ramp(np.array([0.4, 0.2]))


def ran(task: Task, renders: int, seed: int = 0, **settings: object) -> Loop:
    loop = looped(ImageZeroGrads(**settings), task, renders, seed)  # type: ignore[arg-type]
    while not loop.stop_reason():
        loop.iterate()
    return loop


def stages(task: Task, renders: int) -> list[str]:
    """The surrogates that were at work, in order."""
    loop = looped(ImageZeroGrads(), task, renders)
    found = [loop.method.resolved]
    while not loop.stop_reason():
        loop.iterate()
        found += [loop.method.resolved] if loop.method.resolved != found[-1] else []
    return found


def test_the_surrogate_is_for_the_shape_of_the_problem() -> None:
    assert stages(Mixed(9, 0), 14) == ["dense"]
    assert stages(Mixed(300, 2), 20) == ["footprints"]
    assert stages(Mixed(60, 0), 60) == ["footprints", "dense"], "with the renders that the footprints have used"
    assert stages(Mixed(300, 0), 80) == ["footprints", "losses"], "a fifth of n"
    assert stages(Sparkling(9, 2), 200) == ["dense", "losses"]
    assert stages(Noisy(), 20) == ["dense", "losses"], "without a picture"


def test_pictures_beyond_the_memory_that_is_allowed_are_left_to_the_loss_only_default() -> None:
    for surrogate, n, reach in (("dense", 9, 0), ("footprints", 60, 2)):
        loop = ran(Mixed(n, reach), 12, surrogate=surrogate, options={"memory": 1000.0})
        assert loop.method.resolved == "losses", surrogate


def test_a_run_ends_when_the_picture_is_the_reference() -> None:
    loop = ran(Mixed(9, 0), 500)
    assert loop.stop_reason() == "converged" and loop.renders < 40
    assert loop.method.resolved == "dense", "what has solved it, not what would have come next"


def test_the_result_is_never_worse_than_what_the_pictures_have_found() -> None:
    task = Bent(9, noise=0.05)
    loop = looped(ImageZeroGrads(), task, 700)
    lowest, clean = float("inf"), []
    while not loop.stop_reason():
        loop.iterate()
        x = task.space.to_user(loop.method.recommend())
        clean.append(float(task.loss(task.clean(x[None]), task.reference())))
        if loop.method.resolved == "losses":
            lowest = min(lowest, clean[-1])
    assert loop.method.resolved == "losses"
    assert clean[-1] <= lowest + 0.05 * 0.05**2, "two that are rendered side by side can be told apart to about that"


def test_without_noise_the_best_render_is_recommended() -> None:
    loop = ran(Sparkling(9, 2), 150)
    assert torch.equal(loop.method.recommend(), loop.ledger.best_theta)


@pytest.mark.parametrize("at", [1, 3, 6, 12])
@pytest.mark.parametrize("task", [lambda: Bent(9, noise=0.02), lambda: Mixed(60, 0), lambda: Sparkling(60, 2)])
def test_a_resumed_run_goes_on_with_the_same_bits(task: object, at: int) -> None:
    whole, first, rest = (looped(ImageZeroGrads(), task(), 4000) for _ in range(3))  # type: ignore[operator]
    for loop, iterations in ((whole, at + 8), (first, at)):
        for _ in range(iterations):
            loop.iterate()
    rest.load_state(copy.deepcopy(first.state()))
    for _ in range(8):
        rest.iterate()
    assert torch.equal(whole.method.recommend(), rest.method.recommend())
    assert torch.equal(whole.method.ask(), rest.method.ask())
    assert whole.ledger.best_loss == rest.ledger.best_loss and whole.method.resolved == rest.method.resolved


def test_the_predicted_image_is_the_image() -> None:
    task = Mixed(9, 0, views=2)
    loop = looped(ImageZeroGrads(), task, 100)
    assert loop.method.predict_image(task.space.init[None]) is None, "before anything is known"
    for _ in range(2):
        loop.iterate()
    theta = task.space.project(task.space.init[None] + 0.1)
    predicted = loop.method.predict_image(theta)
    assert predicted is not None and predicted.shape == (1, 2, 1, 10, 16)
    assert torch.allclose(predicted, task.render(task.space.to_user(theta)), atol=1e-3)
    assert float(loop.method.predict(theta)) == pytest.approx(  # type: ignore[arg-type]
        float(task.loss(predicted, task.reference())), rel=1e-5
    )


def test_what_was_predicted_of_the_best_theta_before_it_was_rendered_is_kept() -> None:
    task, predicted = Bent(9), None
    loop = looped(ImageZeroGrads(), task, 100)
    while loop.method.foreseen(loop.method.recommend()) is None:
        asked = loop.ask()
        predicted = loop.method.predict_image(asked)
        loop.iterate()
    best = loop.method.recommend()
    foreseen = loop.method.foreseen(best)
    row = (asked - best).abs().sum(1).argmin()
    assert predicted is not None and torch.equal(foreseen, predicted[row])
    assert not torch.allclose(foreseen, task.render(task.space.to_user(best[None]))[0], atol=1e-3), "not the render"
    assert loop.method.foreseen(best + 0.1) is None
    rest = looped(ImageZeroGrads(), Bent(9), 100)
    rest.load_state(copy.deepcopy(loop.state()))
    assert torch.equal(rest.method.foreseen(best), foreseen)


@pytest.mark.parametrize(("n", "reach"), [(9, 0), (300, 2)])
def test_the_influence_is_the_size_of_the_slopes_of_the_picture(n: int, reach: int) -> None:
    task = Mixed(n, reach)
    loop = looped(ImageZeroGrads(), task, 100)
    weights = torch.rand(n, 4, generator=torch.Generator().manual_seed(1))
    assert loop.method.influence(weights) is None, "before anything is known"
    while (found := loop.method.influence(weights)) is None:
        loop.iterate()
    expected = ((task.matrix * task.space.scale).abs() @ weights.double()).T.reshape(4, 1, 10, 16)
    assert found.shape == expected.shape
    is_right = torch.isclose(found.double(), expected, rtol=0.02)
    assert float(is_right.double().mean()) > (0.99 if reach == 0 else 0.6), "not all footprints are found at once"


def test_the_model_is_kept_when_the_reference_is_met_also_over_a_checkpoint() -> None:
    loop, rest = ran(Mixed(9, 0), 100), looped(ImageZeroGrads(), Mixed(9, 0), 100)
    assert loop.method.is_solved
    rest.load_state(copy.deepcopy(loop.state()))
    assert rest.method.resolved == "dense"
    assert rest.method.finished() == "converged" and torch.equal(
        rest.method.surrogate.state.J, loop.method.surrogate.state.J
    )


def test_optimize_sees_the_picture_unless_it_is_told_not_to() -> None:
    init = np.array([0.1, 0.1])
    seen = zg.optimize(ramp, init, reference=REFERENCE, max_renders=40)
    assert seen.row["feedback"] == "image" and seen.renders < 20 and seen.loss < 1e-8
    for settings in ({"feedback": "loss"}, {"method": "zerograds"}, {"method": ZeroGrads()}):
        told = zg.optimize(ramp, init, reference=REFERENCE, max_renders=9, curve_points=0, **settings)
        assert told.row["feedback"] == "loss"
    number = zg.optimize(lambda x: float(x @ x), init, max_renders=9, curve_points=0)
    assert number.row["feedback"] == "loss"
    assert zg.minimize(lambda x: float(x @ x), init, max_renders=9, curve_points=0).row["feedback"] == "loss"


@pytest.mark.parametrize(
    "loss",
    [
        lambda a, b: torch.as_tensor(np.abs(a.numpy() - b.numpy()).reshape(len(a), -1).mean(1)),
        lambda a, b: (a - b).abs().flatten(1).mean(1),
        lambda a, b: 1 - torch.nn.functional.cosine_similarity(a.flatten(1), b.flatten()[None]),
    ],
)
def test_any_loss_will_do_and_one_without_derivatives_is_left_to_the_loss_only_default(loss: object) -> None:
    result = zg.optimize(ramp, np.array([0.1, 0.3]), reference=REFERENCE, loss=loss, max_renders=200, curve_points=0)  # type: ignore[arg-type]
    assert result.loss < 0.02 * result.row["init_loss"]


def test_wrong_settings_are_refused_in_one_line() -> None:
    init = np.array([0.1, 0.1])
    for call, message in (
        (lambda: zg.optimize(ramp, init, reference=REFERENCE, feedback="picture"), "feedback must be loss or image"),
        (lambda: zg.optimize(lambda x: 1.0, init, feedback="image"), "neither reference nor target"),
        (lambda: zg.optimize(ramp, init, reference=REFERENCE, method="es", feedback="image"), "feedback must be loss"),
        (lambda: ImageZeroGrads(surrogate="footprint"), "footprints"),
        (lambda: ImageZeroGrads(options={"wide": 1.0}), "options must go with a surrogate by name"),
        (lambda: ImageZeroGrads(surrogate="dense", options={"wides": 1.0}), "wide"),
    ):
        with pytest.raises(SettingError, match=message):
            call()


def test_without_images_the_loss_only_default_runs() -> None:
    method = started(ImageZeroGrads(), ParameterSpace(x=Block([1.0, 2.0])))
    method.tell(method.ask(), method.ledger.account(method.ask(), torch.tensor([1.0, 1.0], dtype=torch.float64)))
    assert method.resolved == "losses" and method.predict_image(method.recommend()[None]) is None


def test_ask_and_tell_with_images() -> None:
    optimizer = zg.Optimizer({"x": Block([0.1, 0.1])}, reference=REFERENCE)
    while optimizer.renders < 11:
        optimizer.tell(images=[ramp(x) for x in optimizer.ask(2).numpy()])
    assert optimizer.recommend().tolist() == pytest.approx([0.4, 0.2], abs=1e-3)


def test_told_losses_never_see_pictures_and_wrong_images_are_refused() -> None:
    optimizer = zg.Optimizer({"x": Block([0.1, 0.1])})
    assert isinstance(optimizer.method, ZeroGrads)
    optimizer.ask()
    with pytest.raises(SettingError, match="reference"):
        optimizer.tell(images=[REFERENCE] * 2)
    optimizer = zg.Optimizer({"x": Block([0.1, 0.1])}, reference=REFERENCE)
    optimizer.ask()
    for told, message in (
        ({"losses": [1.0, 2.0]}, "images for ImageZeroGrads"),
        ({}, "either losses or images"),
        ({"images": [REFERENCE]}, "images must be 2, one for each x, got 1"),
        ({"images": [REFERENCE, np.zeros((2, 4))]}, "the render is 4 × 2 pixels"),
        ({"images": [[REFERENCE, np.zeros((3, 3))], REFERENCE]}, "numbers of one shape"),
    ):
        with pytest.raises(SettingError, match=message):
            optimizer.tell(**told)
    optimizer.tell(images=[None, REFERENCE])
    assert optimizer.renders == 2


def test_other_methods_may_be_told_images_and_get_their_losses() -> None:
    optimizer = zg.Optimizer({"x": Block([0.1, 0.1])}, "zerograds", reference=REFERENCE)
    optimizer.tell(images=[ramp(x) for x in optimizer.ask().numpy()])
    assert optimizer.renders == 2


def test_fewer_renders_than_the_loss_only_default() -> None:
    task = Stripes()
    loop = ran(task, 60)
    start = loop.objective.measure(loop.objective.start, "s")[0]
    assert loop.objective.measure(loop.method.recommend(), "e")[0] < 1e-4 * start
    assert loop.renders <= 60 and ran(Sphere(), 60).ledger.best_loss < 0.05
