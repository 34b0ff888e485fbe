"""A result that speaks: by name, as it was given, as text, as figures and in notebooks."""

import math
import pickle

import numpy as np
import pytest
import torch

import zg
from tests.problems import Sphere, Stripes
from zg.budget import Budget
from zg.run.run import run
from zg.run.words import params_in_words
from zg.zerograds.method import ZeroGrads


def disc(place, count, colour):
    """An image [12, 16, 3]."""
    rows, columns = np.mgrid[0:12, 0:16]
    shape = np.exp(-((columns - place[0]) ** 2 + (rows - place[1]) ** 2) / (2.0 * count))
    return shape[..., None] * colour


SPACE = {
    "place": zg.Block(np.array([6.0, 5.0]), low=0, high=15),
    "count": zg.Block(3, low=1, high=9, kind="integer"),
    "colour": zg.Block([[0.5, 0.5, 0.5]], low=0, high=1),
}
REFERENCE = disc((8.0, 6.0), 5, [[0.9, 0.4, 0.1]])


@pytest.fixture(scope="module")
def result():
    return zg.optimize(disc, space=SPACE, reference=REFERENCE, max_renders=120)


def test_parameters_have_the_names_shapes_and_kinds_that_were_given(result):
    assert list(result.params) == ["place", "count", "colour"]
    assert isinstance(result.params["place"], np.ndarray) and result.params["place"].shape == (2,)
    assert type(result.params["count"]) is int
    assert result.params["colour"].shape == (1, 3)
    assert np.concatenate([np.ravel(part) for part in result.params.values()]) == pytest.approx(result.theta.numpy())
    assert np.allclose(disc(**result.params), result.image, atol=1e-6), "the image is the render of the parameters"


KINDS = [(0.5, float), (np.array([0.5]), np.ndarray), (torch.tensor([[0.5]]), torch.Tensor), ([0.5], np.ndarray)]


@pytest.mark.parametrize(("x0", "kind"), KINDS)
def test_without_names_the_parameters_are_x(x0, kind):
    found = zg.minimize(lambda x: float(np.sum((np.asarray(x) - 1.0) ** 2)), x0, max_renders=20)
    assert list(found.params) == ["x"]
    assert type(found.x) is kind
    assert np.shape(found.x) == np.shape(x0)
    assert found.image is None and found.images is None


@pytest.mark.parametrize(
    "render",
    [
        lambda x: np.full((5, 7), x[0]),
        lambda x: np.full((5, 7, 3), x[0]),
        lambda x: np.full((3, 5, 7), x[0]),
        lambda x: torch.full((1, 5, 7), float(x[0])),
    ],
)
def test_the_image_has_the_axes_that_render_returns(render):
    start = render([0.2])
    init = torch.tensor([0.2]) if isinstance(start, torch.Tensor) else np.array([0.2])
    found = zg.optimize(render, init, target=[0.7], max_renders=20)
    assert type(found.image) is type(start)
    assert found.image.shape == start.shape


def test_a_result_is_five_lines_of_text(result):
    lines = repr(result).splitlines()
    assert len(lines) == 5
    assert lines[0].startswith("zerograds-image") and "renders, stopped: " in lines[0]
    assert "count = 5" in lines[1] and "colour = [1, 3], " in lines[1]
    assert "->" in lines[2] and "s rendering" in lines[3] and ".explain()" in lines[4]


def test_many_parameters_are_cut_between_two_of_them():
    params = {f"parameter_{k}": torch.tensor([k + 0.5, -1.0]) for k in range(9)}
    one = params_in_words(params)
    assert one.endswith("parameter_2 = [2.5, -1], …") and len(one) <= 100
    lines = params_in_words(params, 3).split("\n")
    assert [line.split(" ")[0] for line in lines] == ["parameter_0", "parameter_4", "parameter_8"]
    assert lines[-1].endswith("parameter_8 = [8.5, -1]")


def test_a_printed_result_has_the_parameters_behind_the_first_line_of_them():
    """Whole numbers and choices often come last, and they are what is looked for."""

    def render(light, colour, roughness, count, shader):
        return float((light**2).sum() + (colour**2).sum() + roughness + count + len(shader))

    space = {"light": zg.Block([0.1, -0.2, 0.3]), "colour": zg.Block([0.123456, 0.1, 0.1], low=0, high=1)}
    space |= {"roughness": zg.Block(0.5, low=0.05, high=1, log=True), "count": zg.Block(3, low=0, kind="integer")}
    space |= {"shader": zg.Block("phong", choices=["phong", "lambert"])}
    lines = repr(zg.minimize(render, space=space, max_renders=20, curve_points=0)).splitlines()
    assert len(lines) == 6 and "shader = phong" in lines[2] and lines[2].startswith(" " * 10)


def test_a_result_that_fails_when_it_is_rendered_again_is_told_with_the_lowest_loss_of_the_run():
    calls = []

    def flaky(x):
        calls.append(x)
        return math.nan if len(calls) > 40 else float(x @ x)

    with pytest.warns(
        UserWarning, match="rendered again, and this failed: its loss is not known; the lowest of the run"
    ):
        result = zg.minimize(flaky, [1.0, 2.0], max_renders=40, curve_points=0)
    assert math.isnan(result.loss) and result.row["best_loss"] < 5
    assert f"nan: the last render failed; the lowest loss of the run is {result.row['best_loss']:.4g}" in repr(result)


@pytest.mark.filterwarnings("ignore:no x met the constraints")
def test_a_result_says_whether_the_constraints_are_met():
    met, violated = (
        zg.minimize(lambda x: -x, 0.5, constraints=lambda x, least=least: max(x - 1, least), max_renders=20)
        for least in (-9.0, 0.25)
    )
    assert ", constraints met\n" in repr(met) and ", constraints violated by 0.25\n" in repr(violated)


def test_a_result_shows_itself(result):
    titles = [axes.get_title() for axes in result.show().axes]
    assert titles[:4] == ["start", "render", "reference", "error: at most 4e-04"], "less than 8 bits show"
    assert result.plot().axes[0].get_ylabel() == "loss of recommended θ"
    assert result._repr_png_().startswith(b"\x89PNG")
    page = result._repr_html_()
    assert page.count("<img src=") == 2 and "zerograds-image" in page
    loss_only = zg.minimize(lambda x: x**2, 1.0, max_renders=20)
    assert loss_only.show().axes[0].get_ylabel() == "loss of recommended θ", "without images it is the curve"
    assert loss_only._repr_html_().count("<img src=") == 1


def test_a_surrogate_of_the_picture_shows_what_it_knows():
    found = zg.optimize(lambda x: np.outer(x, np.ones(4)), np.zeros(3), target=[0.2, 0.5, 0.9], max_renders=60)
    titles = [axes.get_title() for axes in found.show().axes]
    assert "predicted before the render" in titles and "which parameter moves which pixel" in titles


def test_a_result_travels(result):
    copy = pickle.loads(pickle.dumps(result))
    assert repr(copy) == repr(result)
    assert str(copy.explain()) == str(result.explain())


def test_a_task_has_tensors_by_name():
    found = run(Sphere(), ZeroGrads(), Budget(60))
    assert found.params["count"].dtype == torch.int64 and found.params["position"].shape == (3,)
    views = run(Stripes(), ZeroGrads(), Budget(30))
    assert views.image.shape == (1, 12, 16)
