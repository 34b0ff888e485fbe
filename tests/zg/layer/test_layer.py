"""A layer as a part of a network: budget, failures, workers, checkpoints, precision, and settings."""

import copy
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import zg
from tests.zg.layer.renderers import hard_smoothed, smooth
from zg.errors import RenderError, SettingError

SMALL = {"hidden": 16, "fit_steps": 2, "fit_batch": 16}
ESTIMATORS = [{"estimator": "sampled"}, {"estimator": "surrogate", "options": SMALL}, {"estimator": "jacobian"}]


def disk(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """A grey image [8, 8] of a disk with hard edges: place and radius."""
    y, z = np.mgrid[:8, :8] / 8
    return ((y - x[0]) ** 2 + (z - x[1]) ** 2 < x[2] ** 2).astype(float)


def seldom(x: NDArray[np.float64]) -> NDArray[np.float64] | None:
    """The disk; a tenth of the renders fail: by an exception, by None, by NaN."""
    kind = int(abs(x[0]) * 1e6) % 30
    if kind == 0:
        raise ValueError("a radius that the renderer cannot draw")
    return None if kind == 1 else disk(x) * (np.nan if kind == 2 else 1)


def rows(batch: int = 4, n: int = 3, seed: int = 0) -> Tensor:
    return (0.5 + 0.2 * torch.randn(batch, n, generator=torch.Generator().manual_seed(seed))).requires_grad_()


class Training:
    """A small encoder that is trained through a layer."""

    def __init__(self, **settings: Any) -> None:
        generator = torch.Generator().manual_seed(1)
        self.layer = zg.Layer(disk, sigma=0.1, pairs=2, **settings)
        self.encoder = nn.Linear(5, 3)
        with torch.no_grad():
            for weights in self.encoder.parameters():
                weights.uniform_(-0.4, 0.4, generator=generator)
        self.model = nn.ModuleDict({"encoder": self.encoder, "layer": self.layer})
        self.adam = torch.optim.Adam(self.model.parameters(), lr=0.02)

    def steps(self, first: int, last: int) -> list[float]:
        losses = []
        for step in range(first, last):
            given = torch.randn(4, 5, generator=torch.Generator().manual_seed(step))
            loss = (self.layer(self.encoder(given)) - 0.5).square().mean()
            self.adam.zero_grad()
            loss.backward()
            self.adam.step()
            losses.append(loss.item())
        return losses


@pytest.mark.parametrize("settings", ESTIMATORS)
def test_a_resumed_training_has_the_same_bits(settings: dict[str, Any]) -> None:
    whole = Training(**settings)
    losses = whole.steps(0, 8)
    killed, resumed = Training(**settings), Training(**settings)
    killed.steps(0, 5)
    file = io.BytesIO()
    torch.save({"model": killed.model.state_dict(), "adam": killed.adam.state_dict()}, file)
    killed.steps(5, 6)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    resumed.model.load_state_dict(saved["model"])
    resumed.adam.load_state_dict(saved["adam"])
    assert resumed.steps(5, 8) == losses[5:]
    assert torch.equal(resumed.encoder.weight, whole.encoder.weight)
    seconds = {"seconds": 0.0}
    assert resumed.layer.status() | seconds == whole.layer.status() | seconds


def test_a_state_is_a_snapshot_and_a_copied_layer_goes_its_own_way() -> None:
    training = Training(**ESTIMATORS[1])
    training.steps(0, 3)
    state, twin = training.layer.state_dict(), copy.deepcopy(training)
    training.steps(3, 5)
    training.layer.load_state_dict(state)
    training.encoder.load_state_dict(twin.encoder.state_dict())
    training.adam = torch.optim.Adam(training.encoder.parameters())
    twin.adam = torch.optim.Adam(twin.encoder.parameters())
    assert training.steps(3, 6) == twin.steps(3, 6)


def test_nothing_that_is_learned_is_a_parameter_of_the_network_and_no_global_generator_is_used() -> None:
    numbers = np.random.get_state()[1]  # noqa: NPY002
    training = Training(**ESTIMATORS[1])
    random = torch.get_rng_state()
    training.steps(0, 2)
    assert not list(training.layer.parameters())
    assert torch.equal(torch.get_rng_state(), random)
    assert np.array_equal(np.random.get_state()[1], numbers)  # noqa: NPY002


@pytest.mark.parametrize("settings", ESTIMATORS)
@pytest.mark.parametrize("batch", [1, 256])
def test_batches_of_one_and_of_256_rows_count_every_render(settings: dict[str, Any], batch: int) -> None:
    layer = zg.Layer(disk, sigma=0.1, pairs=3, **settings)
    for _ in range(2):
        x = rows(batch)
        images = layer(x)
        assert images.shape == (batch, 1, 8, 8)
        images.sum().backward()
        assert x.grad is not None and x.grad.shape == x.shape and x.grad.isfinite().all()
    assert layer.renders == 2 * batch * 7 and layer.status()["renders_backward"] == batch * 6


def test_rows_that_the_loss_does_not_use_are_not_rendered_again() -> None:
    layer, x = zg.Layer(disk, estimator="sampled", sigma=0.1, pairs=3), rows(4)
    layer(x)[1].sum().backward()
    assert x.grad is not None and (x.grad[[0, 2, 3]] == 0).all() and layer.renders == 4 + 6
    with torch.no_grad():
        layer(x)
    assert layer.renders == 14


@pytest.mark.parametrize("settings", ESTIMATORS)
def test_failed_renders_drop_out_of_the_estimate(settings: dict[str, Any]) -> None:
    layer = zg.Layer(seldom, pairs=4, sigma=0.2, **settings)
    x = rows(100)
    losses = (layer(x) - 0.3).square().flatten(1).mean(1)
    assert losses.isnan().sum() == (~layer.valid).sum() > 0
    losses[layer.valid].sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()
    assert (x.grad[~layer.valid] == 0).all() and (x.grad[layer.valid] != 0).any(1).float().mean() > 0.9
    assert 0.05 < layer.status()["failed"] / layer.renders < 0.2
    assert "cannot draw" in layer.rendering.last_error


def test_failures_do_not_bias_the_gradient() -> None:
    def render(x: Tensor) -> Tensor:
        image = smooth(x)
        image[(x[:, 0] * 1e6).long() % 10 == 0] = torch.nan
        return image

    grads = []
    for function in (smooth, render):
        layer = zg.Layer(function, estimator="sampled", sigma=0.1, pairs=300, batched=True, tensors=True, seed=3)
        x = rows(16, 6).detach().double().requires_grad_()
        layer(x).nansum().backward()
        grads.append(x.grad[layer.valid] if x.grad is not None else None)
    reference = zg.Layer(smooth, estimator="sampled", sigma=0.1, pairs=300, batched=True, tensors=True, seed=4)
    x = rows(16, 6).detach().double().requires_grad_()
    reference(x).sum().backward()
    assert x.grad is not None and grads[1] is not None
    assert torch.cosine_similarity(x.grad[layer.valid], grads[1]).min() > 0.95


def test_a_renderer_that_fails_from_the_start_shows_its_own_error() -> None:
    def broken(x: NDArray[np.float64]) -> None:
        raise ZeroDivisionError("no light")

    for batched in (False, True):
        with pytest.raises(ZeroDivisionError, match="no light"):
            zg.Layer(broken, batched=batched)(rows())
    with pytest.raises(SettingError, match="must return one shape"):
        zg.Layer(lambda x: np.ones(1 + int(x[0] > 0.5)))(rows(16))
    with pytest.raises(SettingError, match="must return 4 images"):
        zg.Layer(lambda x: np.ones((3, 8)), batched=True)(rows())


def test_a_batch_that_fails_whole_is_told_and_a_renderer_that_stays_broken_is_refused() -> None:
    def render(x: NDArray[np.float64]) -> NDArray[np.float64]:
        if x[0] < 0:
            raise ValueError("a negative radius")
        return np.ones(3)

    layer = zg.Layer(render, estimator="sampled", sigma=0.1, pairs=1)
    layer(torch.ones(2, 1))
    for _ in range(9):
        with pytest.warns(UserWarning, match=r"all 2 renders of a batch have failed, .*a negative radius"):
            images = layer(-torch.ones(2, 1))
        assert images.isnan().all() and not layer.valid.any()
    with pytest.raises(RenderError, match=r"all renders of 10 batches in a row have failed, the last with .*radius"):
        layer(-torch.ones(2, 1))


def test_a_renderer_without_return_is_told_as_such() -> None:
    said = r"None in place of an image \(is there a `return`\?\)"
    for batched in (False, True):
        with pytest.raises(SettingError, match=f"must return .*, got {said}"):
            zg.Layer(lambda x: None, batched=batched)(rows())
    layer = zg.Layer(lambda x: np.ones(3) if x[0] > 0 else None, estimator="sampled", sigma=0.1, pairs=1)
    layer(torch.ones(2, 1))
    with pytest.warns(UserWarning, match=f"all 2 renders of a batch have failed, the last with {said}") as told:
        layer(-torch.ones(2, 1))
    assert told[0].filename == __file__, "not a line of PyTorch's"
    with pytest.raises(SettingError, match="must be a number, got True or False"):
        zg.Layer(lambda x: x[0] > 0)(rows())


def test_an_exception_in_a_batch_costs_only_the_row_that_raised_it() -> None:
    def render(x: Tensor) -> Tensor:
        if (x[:, 0] > 0.6).any():
            raise ValueError("too far")
        return x

    x = rows(16)
    layer = zg.Layer(render, batched=True, tensors=True)
    images = layer(x)
    assert torch.equal(images.isnan().any(1), x[:, 0] > 0.6) and torch.equal(layer.valid, x[:, 0] <= 0.6)
    assert layer.status()["failed"] == (~layer.valid).sum()


def test_the_budget_is_kept_and_refused_in_words() -> None:
    layer = zg.Layer(disk, estimator="sampled", sigma=0.1, pairs=2, max_renders=26)
    layer(rows()).sum().backward()
    assert layer.left == 6
    with pytest.raises(SettingError, match="must leave 20 renders for forward and backward of 4 rows, got 6 left"):
        layer(rows())
    with torch.no_grad():
        layer(rows())
    assert layer.left == 2 and layer.renders == 24
    x = rows()
    layer = zg.Layer(disk, estimator="sampled", sigma=0.1, pairs=2, max_renders=20)
    total = layer(x).sum()
    total.backward(retain_graph=True)
    with pytest.raises(SettingError, match="got 0 left of 20"):
        total.backward()
    assert layer.renders == 20


def test_renders_in_processes_are_those_of_one_call_after_another() -> None:
    found = []
    for settings in ({}, {"workers": 2, "pool": "processes"}):
        with zg.Layer(seldom, estimator="sampled", pairs=2, sigma=0.2, **settings) as layer:
            x = rows(30)
            layer(x).nansum().backward()
            found.append((x.grad, layer.status()["failed"]))
    assert torch.equal(found[0][0], found[1][0]) and found[0][1] == found[1][1] > 0


def test_a_scene_file_is_a_layer(tmp_path: Path) -> None:
    source = "import numpy as np\nclass R:\n  def render(self, x, seed): return np.full((1, 2, 2), x[0] + 2 * x[1])\n"
    (tmp_path / "scene.py").write_text(source + "def load(settings): return R()\n")
    from zg.workers.pool import PYTHON

    scene = zg.Scene(PYTHON, tmp_path / "scene.py", {}, (1, 2, 2))
    with zg.Layer(scene, estimator="sampled", sigma=0.1, pairs=2, pool="processes") as layer:
        x = rows(2, 2)
        layer(x).sum().backward()
    assert x.grad is not None and torch.allclose(x.grad, torch.tensor([4.0, 8.0]).expand(2, 2), atol=1e-3)


def test_a_space_scales_bounds_and_rounds_and_names_its_blocks() -> None:
    seen = []

    def render(place: NDArray[np.float64], count: np.int64) -> NDArray[np.float64]:
        seen.append((place, count))
        return np.array([*place, float(count)])

    space = zg.ParameterSpace(
        place=zg.Block([0.0, 0.0], low=-10, high=10), count=zg.Block(8, low=0, high=40, kind="integer")
    )
    layer = zg.Layer(render, space=space, estimator="sampled", pairs=200, sigma=0.05)
    x = torch.tensor([[0.1, 9.0, 0.21]], requires_grad=True)
    images = layer(x)
    assert images.tolist() == [[pytest.approx(2), 10, 8]] and isinstance(seen[0][1], np.int64)
    images.sum().backward()
    assert x.grad is not None and x.grad[0, 1].abs() < 3, "outside its bounds a parameter changes nothing"
    assert x.grad[0, [0, 2]].tolist() == pytest.approx([20, 40], rel=0.15)
    with pytest.raises(SettingError, match="must have the 3 coordinates of space"):
        layer(rows(2, 2))


def test_a_renderer_may_return_the_loss_itself() -> None:
    layer, x = zg.Layer(lambda x: float((x**2).sum()), sigma=0.1, pairs=3, options=SMALL), rows(5)
    assert layer(x).shape == (5,)
    layer(x).sum().backward()
    assert x.grad is not None and torch.allclose(x.grad, 2 * x.detach(), atol=1e-3)


@pytest.mark.parametrize("settings", ESTIMATORS)
def test_autocast_does_not_reach_the_renderer_or_the_estimate(settings: dict[str, Any]) -> None:
    grads = []
    for enabled in (False, True):
        layer, x = zg.Layer(disk, sigma=0.1, pairs=2, **settings), rows()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            for _ in range(2):
                images = layer(x)
                images.sum().backward()
        assert images.dtype == torch.float32
        grads.append(x.grad)
        half = x.detach().bfloat16().requires_grad_()
        layer(half).sum().backward()
        assert half.grad is not None and half.grad.dtype == torch.bfloat16
    assert torch.equal(grads[0], grads[1])


def test_a_derivative_of_the_gradient_is_refused_in_words() -> None:
    layer, x = zg.Layer(disk, estimator="sampled"), rows()
    (gradient,) = torch.autograd.grad(layer(x).square().sum(), x, create_graph=True)
    with pytest.raises(SettingError, match="a loss must not contain it"):
        gradient.square().sum().backward()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"estimator": "sampledd"}, "did you mean 'sampled'"),
        ({"draws": "orthogonl"}, "did you mean 'orthogonal'"),
        ({"draws": "fr22"}, "must be orthogonal or gaussian for the surrogate"),
        ({"draws": "spsa"}, "must be orthogonal or gaussian for the surrogate"),
        ({"estimator": "jacobian", "draws": "spsa"}, "must be orthogonal or gaussian for the jacobian"),
        ({"estimator": "jacobian", "options": {"hidden": 3}}, "jacobian has no option 'hidden'"),
        ({"estimator": "jacobian", "options": {"new": 0.0}}, "new must be > 0"),
        ({"estimator": "jacobian", "options": {"correction": -1.0}}, "correction must be in 0"),
        ({"estimator": "jacobian", "options": {"regions": 10**12}}, "regions must fit into memory, got 1000"),
        ({"sigma": 0.0}, "sigma must be > 0"),
        ({"pairs": 0}, "pairs must be > 0"),
        ({"options": {"hiden": 3}}, "did you mean 'hidden'"),
        ({"options": {"correction": 1.5}}, "correction must be in 0"),
        ({"estimator": "sampled", "options": {"hidden": 3}}, "sampled has no option 'hidden'"),
        ({"batched": True, "pool": "processes"}, "pool must be threads"),
        ({"space": 3}, "space must be a ParameterSpace"),
        ({"max_renders": 0}, "max_renders must be > 0"),
        ({"options": {"memory": 10**15}}, "memory must fit into memory, got 1000"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(SettingError, match=words):
        layer = zg.Layer(disk, **settings)
        layer(rows()).sum().backward()


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(3), r"must be a floating-point tensor \[B, n\], got float32 \[3\]"),
        (torch.zeros(2, 3, dtype=torch.int64), "got int64"),
        (torch.zeros(0, 3), "at least one row"),
        (torch.full((1, 3), torch.nan), "must be finite"),
    ],
)
def test_wrong_inputs_are_refused_in_words(x: Tensor, words: str) -> None:
    with pytest.raises(SettingError, match=words):
        zg.Layer(disk)(x)


def test_a_network_learns_through_hard_edges() -> None:
    """Gradient descent on x through the layer lowers the smoothed loss, for which the true gradient is known."""
    from tests.zg.layer.renderers import hard

    target = hard_smoothed(torch.full((1, 6), 0.3, dtype=torch.float64), 0.3)
    layer = zg.Layer(hard, batched=True, tensors=True, sigma=0.3, pairs=4, options=SMALL)
    x = torch.full((8, 6), -0.3, dtype=torch.float64, requires_grad=True)
    before = (hard_smoothed(x.detach(), 0.3) - target).square().mean()
    descent = torch.optim.Adam([x], lr=0.05)
    for _ in range(60):
        descent.zero_grad()
        (layer(x) - target).square().sum().backward()
        descent.step()
    after = (hard_smoothed(x.detach(), 0.3) - target).square().mean()
    assert after < 0.3 * before


def test_the_example_of_the_guide_learns() -> None:
    page = (Path(__file__).parents[3] / "docs" / "layer.md").read_text(encoding="utf-8")
    example = page.split("```python\n")[1].split("```")[0]
    found: dict[str, Any] = {}
    exec(example.replace("range(200)", "range(40)"), found)
    assert found["loss"].item() < 0.05, "0.2 at the start"


def test_predictions_cost_no_renders_have_a_derivative_and_need_a_surrogate() -> None:
    layer = zg.Layer(smooth, batched=True, tensors=True, sigma=0.1, pairs=2, options=SMALL)
    with pytest.raises(SettingError, match="a surrogate that has learned"):
        layer.predict(rows())
    for seed in range(40):
        layer(rows(16, seed=seed)).square().sum().backward()
    x, before = rows(8, seed=99), layer.renders
    predicted, images = layer.predict(x), layer(x).detach()
    assert (predicted - images).square().mean() < 0.5 * (images - images.mean(0)).square().mean()
    predicted.square().sum().backward()
    assert x.grad is not None and (x.grad != 0).any(1).all() and layer.renders == before + 8
    network: Any = layer.estimator.learner.parts[0]  # type: ignore[attr-defined]
    assert all(weights.requires_grad for weights in network.parameters())
    with pytest.raises(SettingError, match="predict needs the estimator surrogate or jacobian, got sampled"):
        zg.Layer(smooth, estimator="sampled").predict(rows())
