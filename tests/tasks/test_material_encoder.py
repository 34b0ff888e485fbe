"""The material encoder: photos of balls, every gradient, and a training that is killed and resumed."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tasks.balls import Balls, developed, material_space, undeveloped
from tasks.brdf import HIDDEN, description
from tasks.material_encoder import MaterialEncoder
from tasks.renderers.mitsuba import Scene, backend_works, use_variant
from zg.config.compose import compose, read_yaml
from zg.config.registry import CONFIGS
from zg.errors import SettingError
from zg.run.training import train

SMALL: dict[str, Any] = {"photos": 12, "unseen": 12, "size": 8, "samples": 1, "batch": 4, "hidden": 8, "predicted": 1}
SMALL |= {"variant": "scalar_rgb", "sigma": 0.1, "pairs": 1}
OPTIONS = {"hidden": 8, "fit_steps": 1, "fit_batch": 8, "predictions": 4}


@pytest.fixture(scope="module")
def balls() -> Balls:
    return Balls(size=12, samples=2, variant="scalar_rgb", together=3)


def materials(*colours: float) -> dict[str, Tensor]:
    """Materials with these greys."""
    grey = torch.tensor(colours)[:, None]
    return {"base_color": grey.expand(-1, 3), "roughness": 0.2 + 0 * grey, "metallic": 0.5 + 0 * grey}


def test_each_photo_shows_its_own_material_whatever_its_neighbours_are(balls: Balls) -> None:
    dark, bright = (
        balls.photos(materials(0.1, 0.1, 0.1, 0.9), seed=3),
        balls.photos(materials(0.1, 0.9, 0.9, 0.9), seed=3),
    )
    assert dark.shape == (4, 3, 12, 12) and balls.calls == 0, "photos with a seed are not part of a run"
    assert torch.equal(dark[[0, 3]], bright[[0, 3]])
    assert float(bright[1].mean()) > float(dark[1].mean()) + 0.05
    first, second = balls(**materials(0.1)), balls(**materials(0.1))
    assert balls.calls == 2 and not torch.equal(first, second), "noise of its own"


def test_a_photo_is_the_picture_of_the_task_on_the_curve_of_a_film(balls: Balls) -> None:
    mi = use_variant("scalar_rgb")
    one = Scene(description(mi), "scalar_rgb", 12, 64)
    known = {name: torch.as_tensor(block.init).reshape(1, -1).float() for name, block in HIDDEN.items()}
    photo = balls.photos(known, seed=1, samples=64)[0]
    assert torch.allclose(undeveloped(photo).mean((1, 2)), one.render(0).mean((1, 2)), rtol=0.05)
    radiance = torch.tensor([0.0, 0.1, 3.0, 50.0])
    assert torch.allclose(undeveloped(developed(radiance)), radiance, rtol=1e-4, atol=1e-6)


def test_wrong_names_are_refused_in_words() -> None:
    assert material_space(list(HIDDEN)).n == 11
    with pytest.raises(SettingError, match="did you mean 'roughness'"):
        material_space(["roughnes"])
    with pytest.raises(SettingError, match="did you mean 'mitsuba'"):
        MaterialEncoder(gradient="mitsba")  # type: ignore[arg-type]
    model = MaterialEncoder(**SMALL, gradient="mitsuba")
    model.start(seed=0, max_renders=8)
    with pytest.raises(SettingError, match="needs a variant with derivatives, got 'scalar_rgb'"):
        model.advance()


@pytest.mark.parametrize("gradient", ["surrogate", "jacobian", "sampled", "labels"])
def test_every_gradient_keeps_the_budget_and_moves_every_layer(gradient: Any) -> None:
    model = MaterialEncoder(**SMALL, gradient=gradient, options=OPTIONS if gradient == "surrogate" else None)
    model.start(seed=0, max_renders=40)
    before = [weights.clone() for weights in model.parameters()]
    random = torch.get_rng_state()
    while model.has_budget:
        model.advance()
    each = 4 if gradient == "labels" else 12
    assert model.renders == model.steps * each <= 40 < model.renders + each
    assert all((a != b).any() for a, b in zip(before, model.parameters(), strict=True))
    assert torch.equal(torch.get_rng_state(), random)
    assert set(model.measure()) == {"base_color_error", "roughness_error", "metallic_error", "photo_error"}
    x = model.network(1e6 * model.unseen[1])
    assert torch.allclose(x, model.space.project(x).float()), "inside the bounds"


def test_a_killed_training_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_renders": 72, "curve_points": 2, "video": False, "checkpoint_renders": 12}
    whole = MaterialEncoder(**SMALL, options=OPTIONS)
    train(whole, tmp_path / "whole", **settings)

    class Killed(MaterialEncoder):
        def step(self) -> dict[str, float]:
            if self.steps == 3:
                raise KeyboardInterrupt
            return super().step()

    with pytest.raises(KeyboardInterrupt):
        train(Killed(**SMALL, options=OPTIONS), tmp_path / "part", **settings)
    resumed = MaterialEncoder(**SMALL, options=OPTIONS)
    train(resumed, tmp_path / "part", resume=True, **settings)
    assert resumed.steps == whole.steps == 6 and resumed.balls.calls == whole.balls.calls
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        if isinstance(a, Tensor):
            assert torch.equal(a, b), name
    assert (tmp_path / "part" / "panel.png").stat().st_size > 1000


@pytest.mark.skipif(not backend_works("llvm"), reason="needs LLVM")
def test_derivatives_of_mitsuba_agree_with_finite_differences() -> None:
    """Of colour and metallic; the derivative for the roughness has too much noise for a quick test."""
    balls = Balls(size=12, samples=64, variant="llvm_ad_rgb", together=2)
    given = {name: value.clone().requires_grad_() for name, value in materials(0.3, 0.6).items()}
    found = torch.autograd.grad(balls.differentiable(given).sum(), list(given.values()))
    for (name, value), gradient in zip(materials(0.3, 0.6).items(), found, strict=True):
        if name == "roughness":
            continue
        both = [
            balls.photos({**materials(0.3, 0.6), name: value + step}, seed=5, samples=256) for step in (0.02, -0.02)
        ]
        expected = (both[0] - both[1]).sum((1, 2, 3)) / 0.04
        assert torch.allclose(gradient.sum(1), expected, rtol=0.15), name


@pytest.mark.slow
def test_the_encoder_learns_colours_from_photos_alone() -> None:
    settings = compose(read_yaml(CONFIGS / "material_encoder.yaml"))["training"]["init_args"]
    model = MaterialEncoder(**{**settings, "photos": 300, "unseen": 60})
    model.start(seed=0, max_renders=2000)
    while model.has_budget:
        model.advance()
    assert model.measure()["base_color_error"] < 0.5
