"""The gradient of a layer against the truth: renderers with a known derivative, or a known smoothed one."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd.gradcheck import GradcheckError

import zg
from tests.zg.layer.renderers import PIXELS, hard, hard_smoothed, smooth, vector_jacobian
from zg.layer.draws import draw


def inputs(batch: int, n: int, seed: int = 0, spread: float = 0.5) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (spread * torch.randn(batch, n, generator=generator, dtype=torch.float64)).requires_grad_()


def upstream(batch: int, seed: int = 0) -> Tensor:
    return torch.randn(batch, PIXELS, generator=torch.Generator().manual_seed(100 + seed), dtype=torch.float64)


def layer_of(render: Callable[..., Any], **settings: Any) -> zg.Layer:
    return zg.Layer(render, batched=True, tensors=True, **{"sigma": 0.1, "pairs": 4, **settings})


def estimate(layer: zg.Layer, x: Tensor, v: Tensor) -> Tensor:
    return vector_jacobian(layer(x), x, v)


def cosine(a: Tensor, b: Tensor) -> float:
    return float(torch.cosine_similarity(a, b, dim=1).mean())


def mean_bias(layer: zg.Layer, x: Tensor, v: Tensor, truth: Tensor, repeats: int) -> tuple[float, float]:
    """|mean of estimates − truth| over |truth|, and what is expected of it from the variance alone."""
    found = torch.stack([estimate(layer, x, v) for _ in range(repeats)])
    noise = (found.var(0).sum() / repeats).sqrt()
    return float((found.mean(0) - truth).norm() / truth.norm()), float(noise / truth.norm())


def trained(n: int, steps: int, render: Callable[..., Any], **settings: Any) -> zg.Layer:
    """A surrogate that has seen batches of random rows with random upstream gradients."""
    layer = layer_of(render, **settings)
    for step in range(steps):
        x = inputs(32, n, seed=1 + step)
        images = layer(x)
        vector_jacobian(images, x, upstream(32, step)[:, : images.shape[1]])
    return layer


@pytest.mark.parametrize("n", [1, 6, 60])
def test_a_linear_renderer_has_its_exact_gradient_from_n_orthogonal_pairs(n: int) -> None:
    matrix = torch.randn(n, 9, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    layer = layer_of(lambda x: 2 + x @ matrix, estimator="sampled", pairs=n, sigma=0.3)
    torch.autograd.gradcheck(layer, (inputs(2, n),), nondet_tol=1e-8)


def test_gradcheck_notices_an_estimate_that_is_not_exact() -> None:
    layer = layer_of(lambda x: 2 * x, estimator="sampled", pairs=2, sigma=0.3)
    with pytest.raises(GradcheckError):
        torch.autograd.gradcheck(layer, (inputs(2, 6),), nondet_tol=1e-8)


@pytest.mark.parametrize("n", [6, 60])
@pytest.mark.parametrize("draws", ["gaussian", "orthogonal", "fr22"])
def test_many_pairs_give_the_gradient_of_a_smooth_renderer(n: int, draws: Any) -> None:
    x, v = inputs(4, n), upstream(4)
    layer = layer_of(smooth, estimator="sampled", sigma=0.01, pairs=2000, draws=draws)
    assert cosine(estimate(layer, x, v), vector_jacobian(smooth(x), x, v)) > 0.97


@pytest.mark.parametrize("draws", ["gaussian", "orthogonal"])
@pytest.mark.parametrize("n", [6, 60])
def test_hard_edges_have_their_smoothed_gradient(n: int, draws: Any) -> None:
    x, v = inputs(4, n, spread=0.3), upstream(4)
    truth = vector_jacobian(hard_smoothed(x, 0.3), x, v)
    layer = layer_of(hard, estimator="sampled", sigma=0.3, pairs=500, draws=draws)
    found = estimate(layer, x, v)
    assert cosine(found, truth) > 0.9
    bias, expected = mean_bias(layer, x, v, truth, repeats=12)
    assert bias < 1.6 * expected < 0.3


@pytest.mark.parametrize("n", [6, 60])
def test_orthogonal_draws_are_spread_as_their_density_says(n: int) -> None:
    draws = draw("orthogonal", 3, torch.zeros(4000, n, dtype=torch.float64), torch.Generator().manual_seed(0))
    squares = draws.offsets.square().sum(-1)
    assert float(squares.mean()) == pytest.approx(n + 2, rel=0.02), "χ with n + 2 degrees of freedom"
    product = torch.einsum("mbi,mbj->ij", draws.offsets, draws.weights) / squares.numel()
    assert torch.allclose(product, torch.eye(n).double(), atol=0.15)
    inner = torch.einsum("ibn,jbn->bij", draws.offsets, draws.offsets)
    assert torch.allclose(inner, torch.diag_embed(inner.diagonal(dim1=1, dim2=2)), atol=1e-9)


def test_a_trained_surrogate_with_ten_renders_a_row_beats_32_samples_on_rows_never_seen() -> None:
    for n, steps in ((6, 50), (60, 80)):
        x, v = inputs(64, n, seed=10_000), upstream(64, 10_000)
        truth = vector_jacobian(smooth(x), x, v)
        control = layer_of(smooth, estimator="sampled", pairs=16, draws="gaussian")
        layer = trained(n, steps, smooth, pairs=5, draws="gaussian", options={"hidden": 64, "fit_steps": 12})
        assert cosine(estimate(layer, x, v), truth) > cosine(estimate(control, x, v), truth), n
        assert layer.status()["renders_backward"] == 640


def test_a_surrogate_that_is_wrong_leaves_no_bias() -> None:
    layer = trained(6, 30, hard, pairs=4, sigma=0.3, options={"hidden": 16})
    x, v = inputs(4, 6, seed=99, spread=0.3), upstream(4, 99)
    estimator: Any = layer.estimator
    with torch.no_grad():  # wrong, with a share that was learned before
        estimator.learner.parts[0].linear.weight.add_(0.3)
    share = estimator.share
    estimator.learner.learn = lambda *pairs: None
    estimator.judge = lambda *changes: None
    bias, expected = mean_bias(layer, x, v, vector_jacobian(hard_smoothed(x, 0.3), x, v), repeats=400)
    assert share > 0.2, "the surrogate takes part"
    assert bias < 1.6 * expected < 0.3


def test_less_correction_has_less_noise() -> None:
    x, v = inputs(64, 60, seed=10_000), upstream(64, 10_000)
    truth = vector_jacobian(smooth(x), x, v)
    whole, half = (
        trained(60, 40, smooth, options={"hidden": 64, "fit_steps": 12, "correction": c}) for c in (1.0, 0.2)
    )
    assert cosine(estimate(half, x, v), truth) > cosine(estimate(whole, x, v), truth) + 0.05


@pytest.mark.parametrize("n", [6, 60])
def test_the_jacobian_of_a_linear_renderer_is_exact_without_correction(n: int) -> None:
    matrix = torch.randn(n, PIXELS, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    layer = trained(n, 20, lambda x: 2 + x @ matrix, pairs=1, estimator="jacobian", options={"correction": 0.0})
    x, v = inputs(64, n, seed=10_000), upstream(64, 10_000)
    found, truth = estimate(layer, x, v), v @ matrix.T
    assert float((found - truth).norm() / truth.norm()) < 1e-2, "1e-2: UNKNOWN is large, but no infinity"
    assert layer.status()["memory"] == 1 and layer.status()["explained"] > 0.8
    predicted, images = layer.predict(x), x.detach() @ matrix
    assert float((predicted.detach() - 2 - images).norm() / images.norm()) < 0.05
    assert float((vector_jacobian(predicted, x, v) - truth).norm() / truth.norm()) < 1e-2


def test_a_jacobian_that_errs_makes_new_regions_within_its_bound_and_is_right_in_each() -> None:
    folded = trained(2, 60, lambda x: x.abs(), pairs=1, sigma=0.02, estimator="jacobian", options={"correction": 0.0})
    x = torch.tensor([[0.5, 0.5], [-0.5, 0.5], [0.5, -0.5], [-0.5, -0.5]], dtype=torch.float64).requires_grad_()
    v = torch.ones(4, 2, dtype=torch.float64)
    assert folded.status()["memory"] >= 4
    assert torch.allclose(estimate(folded, x, v), x.detach().sign(), atol=0.3)
    bound = trained(2, 60, lambda x: x.abs(), pairs=1, sigma=0.02, estimator="jacobian", options={"regions": 3})
    assert bound.status()["memory"] == 3


def test_a_jacobian_that_is_wrong_leaves_no_bias() -> None:
    layer = trained(6, 30, hard, pairs=4, sigma=0.3, estimator="jacobian")
    x, v = inputs(4, 6, seed=99, spread=0.3), upstream(4, 99)
    estimator: Any = layer.estimator
    for region in estimator.learner.regions:  # wrong, with a share that was learned before
        region.slopes = region.slopes + 0.3
    share = estimator.share
    estimator.learner.learn = lambda *pairs: None
    estimator.judge = lambda *changes: None
    bias, expected = mean_bias(layer, x, v, vector_jacobian(hard_smoothed(x, 0.3), x, v), repeats=400)
    assert share > 0.2 and bias < 1.6 * expected < 0.3


def test_a_surrogate_of_noise_explains_nothing() -> None:
    noise = torch.Generator().manual_seed(8)
    layer = trained(6, 40, lambda x: torch.randn(len(x), PIXELS, generator=noise), options={"hidden": 16})
    assert layer.status()["explained"] < 0.05
