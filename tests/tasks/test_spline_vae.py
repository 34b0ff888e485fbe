"""The spline autoencoder and its digits: data, gradients, a run with its files, and a resumed run."""

import gzip
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tasks.digits import Digits
from tasks.renderers.strokes import Strokes
from tasks.spline_vae import SplineVAE
from zg.cli.main import main
from zg.errors import SettingError
from zg.pictures import read_png
from zg.run.training import train

SMALL: dict[str, Any] = {"strokes": 2, "latent": 3, "hidden": 16, "batch": 8}
OPTIONS = {"hidden": 8, "fit_steps": 1, "fit_batch": 8, "predictions": 4}


def write_idx(path: Path, kind: int, array: np.ndarray[Any, Any]) -> str:
    header = np.array([kind, *array.shape], ">i4").tobytes()
    path.write_bytes(gzip.compress(header + array.astype(np.uint8).tobytes()))
    return str(path)


def test_a_classifier_reads_digits_that_were_held_out_and_no_noise() -> None:
    digits = Digits()
    assert digits.train.shape == (1438, 1, 8, 8) and digits.held_out.shape == (359, 1, 8, 8)
    assert digits.readable(digits.held_out, digits.held_out_labels) > 0.97
    first = digits.one_of_each(12)
    found = [int((digits.held_out == one).flatten(1).all(1).nonzero()[0]) for one in first]
    assert digits.held_out_labels[found].tolist() == [*range(10), 0, 1]
    noise = torch.rand(digits.held_out.shape, generator=torch.Generator().manual_seed(0))
    assert digits.readable(noise, digits.held_out_labels) < 0.3


def test_files_of_mnist_are_read_and_other_files_are_refused_in_words(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).integers(0, 256, (20, 28, 28))
    images = write_idx(tmp_path / "images.gz", 2051, numbers)
    labels = write_idx(tmp_path / "labels.gz", 2049, np.arange(20) % 10)
    digits = Digits(images, labels)
    assert digits.train.shape == (16, 1, 28, 28) and digits.size == 28
    found = torch.cat([digits.held_out, digits.train]).sum().item()
    assert found == pytest.approx(numbers.sum() / 255, rel=1e-5)
    for given, words in [
        ((images, None), "must be given together"),
        ((labels, labels), "images must be a file of MNIST of the kind 2051"),
        ((str(tmp_path / "none"), labels), "images must be a file of MNIST, got"),
        ((images, write_idx(tmp_path / "few", 2049, np.arange(3)) and str(tmp_path / "few")), "labels must be a file"),
    ]:
        with pytest.raises(SettingError, match=words):
            Digits(*given)


@pytest.mark.parametrize("gradient", ["surrogate", "sampled", "spsa", "soft", "plain"])
def test_every_gradient_keeps_the_budget_and_moves_encoder_and_decoder(gradient: Any) -> None:
    options = OPTIONS if gradient == "surrogate" else None
    model = SplineVAE(gradient=gradient, **SMALL, sigma=0.1, pairs=1, options=options)
    model.start(seed=0, max_renders=100)
    before = [weights.clone() for weights in model.parameters()]
    random = torch.get_rng_state()
    while model.has_budget:
        numbers = model.advance()
    each = 8 if gradient in ("soft", "plain") else 24
    assert model.renders == model.steps * each <= 100 < model.renders + each
    assert all((a != b).any() for a, b in zip(before, model.parameters(), strict=True)), "every layer has learned"
    assert numbers["error"] > 0 and torch.equal(torch.get_rng_state(), random)


def test_the_autoencoder_learns_from_files_of_mnist_and_draws_in_their_size(tmp_path: Path) -> None:
    numbers = np.random.default_rng(0).integers(0, 256, (60, 28, 28))
    images = write_idx(tmp_path / "images.gz", 2051, numbers)
    labels = write_idx(tmp_path / "labels.gz", 2049, np.arange(60) % 10)
    model = SplineVAE(**SMALL, images=images, labels=labels, sigma=0.1, pairs=1, options=OPTIONS)
    model.start(seed=0, max_renders=100)
    while model.has_budget:
        model.advance()
    found = model.measure()
    assert model.layer and model.layer.rendering.shape == (1, 28, 28) and model.steps == 4
    assert 0 < found["reconstruction"] < 1 and 0 <= found["readable"] <= 1
    panel = model.panel()
    assert panel.shape == (3, 5 * 84, 12 * 68 - 4) and panel.isfinite().all()


class Failing(Strokes):
    """Strokes whose renderer fails on a tenth of the rows."""

    def __call__(self, points: Tensor, width: Tensor, grey: Tensor) -> Tensor:
        images = super().__call__(points, width, grey)
        images[(points.sum((1, 2, 3)) * 1e4).long() % 10 == 0] = torch.nan
        return images


@pytest.mark.parametrize("gradient", ["surrogate", "sampled"])
def test_the_autoencoder_learns_with_a_renderer_that_fails_on_a_tenth_of_the_rows(gradient: Any) -> None:
    options = OPTIONS if gradient == "surrogate" else None
    model = SplineVAE(gradient=gradient, **SMALL, sigma=0.1, pairs=1, options=options, lr=5e-3, predicted=0)
    model.strokes = Failing(8, samples=2)
    model.start(seed=0, max_renders=2000)
    errors = []
    while model.has_budget:
        numbers = model.advance()
        errors.append(numbers["error"])
    assert 0.05 < numbers["failed"] / numbers["renders"] < 0.15
    assert all(weights.isfinite().all() for weights in model.parameters()) and np.isfinite(errors).all()
    assert np.mean(errors[-20:]) < 0.9 * np.mean(errors[:20]), (np.mean(errors[-20:]), np.mean(errors[:20]))


def test_strokes_stay_inside_their_bounds_and_start_from_the_task() -> None:
    model = SplineVAE(**SMALL)
    model.start(seed=0, max_renders=1000)
    wild = model.network.decode(1e4 * torch.randn(50, 3, generator=torch.Generator().manual_seed(0)))
    assert torch.allclose(wild, model.space.project(wild).float()) and wild.isfinite().all()
    with torch.no_grad():
        last: Any = model.network.decoder[-1]
        last.weight.zero_()
        last.bias.zero_()
    assert torch.allclose(model.network.decode(torch.ones(1, 3))[0], model.space.init.float(), atol=1e-5)
    with pytest.raises(SettingError, match="did you mean 'sampled'"):
        SplineVAE(gradient="smpled")  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short run of the command."""
    folder = tmp_path_factory.mktemp("vae") / "run"
    words = ["fit", "--config", "configs/spline_vae.yaml", "--max-renders", "1500", "--curve-points", "3"]
    small = [word for name, value in SMALL.items() for word in (f"--training.{name}", str(value))]
    small += ["--training.options", json.dumps(OPTIONS)]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("WANDB_MODE", raising=False)
        assert main([*words, *small, "--wandb", "offline", "--out", str(folder)]) == 0
    return folder


def test_a_run_leaves_row_curve_pictures_video_and_a_log_of_wandb(run: Path) -> None:
    row = json.loads((run / "row.json").read_text())
    assert row["task"] == "spline_vae" and row["method"] == "surrogate" and row["stop_reason"] == "budget"
    assert 1000 < row["renders"] <= 1500 and 0 < row["metric_reconstruction"] < 0.3
    assert row["metric_readable_digits"] > 0.97 and 0 <= row["metric_readable"] <= 1
    header, *rows = (run / "history.csv").read_text().splitlines()
    assert {"sigma", "pairs", "share", "memory", "renders_backward", "reconstruction"} <= set(header.split(","))
    assert len(rows) >= 3
    panel = read_png(run / "panel.png")
    assert panel.shape == (3, 5 * 84, 12 * 68 - 4) and 0.05 < panel.mean() < 0.95
    assert (run / "video.mp4").stat().st_size > 1000 and len(list((run / "frames").iterdir())) >= 3
    assert list(run.glob("wandb/offline-run-*/*.wandb"))


def test_a_folder_that_is_in_use_and_wrong_settings_are_refused_in_one_line(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, message in [
        (["--out", str(run)], "must be a new or empty folder"),
        (["--target-loss", "1"], "target_loss is no setting of a training"),
        (["--training.strokse", "3"], "did you mean 'strokes'"),
        (["--training", "tasks.toy.Toy"], "training must be a subclass of Training"),
        (["--resume", "--out", str(run), "--training.strokes", "5"], "resume must keep training, seed and max_renders"),
    ]:
        assert main(["fit", "--config", "configs/spline_vae.yaml", *words]) == 2
        assert message in capsys.readouterr().err


def test_a_killed_training_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"max_renders": 1500, "curve_points": 3, "video": False, "checkpoint_renders": 50}
    whole = SplineVAE(**SMALL, options=OPTIONS)
    train(whole, tmp_path / "whole", **settings)

    class Killed(SplineVAE):
        def step(self) -> dict[str, float]:
            if self.steps == 12:
                raise KeyboardInterrupt
            return super().step()

    with pytest.raises(KeyboardInterrupt):
        train(Killed(**SMALL, options=OPTIONS), tmp_path / "part", **settings)
    resumed = SplineVAE(**SMALL, options=OPTIONS)
    row = train(resumed, tmp_path / "part", resume=True, **settings)
    assert row["renders"] == whole.renders and resumed.steps == whole.steps > 13
    metrics = {name: value for name, value in row.items() if name.startswith("metric_")}
    assert set(metrics) == {"metric_reconstruction", "metric_readable", "metric_readable_digits"}
    again = train(SplineVAE(**SMALL, options=OPTIONS), tmp_path / "part", resume=True, **settings)
    assert metrics.items() <= again.items(), "a training that is complete keeps its row"
    pairs = zip(whole.state_dict().items(), resumed.state_dict().items(), strict=True)
    for (name, a), (_, b) in pairs:
        if isinstance(a, torch.Tensor):
            assert torch.equal(a, b), name
    texts = [(tmp_path / name / "history.csv").read_text().splitlines() for name in ("whole", "part")]
    column = texts[0][0].split(",").index("error")
    assert [line.split(",")[column] for line in texts[0]] == [line.split(",")[column] for line in texts[1]]


@pytest.mark.slow
def test_a_signal_ends_a_training_after_its_step_and_resume_completes_it(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    command = [sys.executable, "-m", "zg.cli", "fit"]
    words = ["--config", "configs/spline_vae.yaml", "--max-renders", "8000", "--wandb", "disabled", "--video", "false"]
    small = [word for name, value in SMALL.items() for word in (f"--training.{name}", str(value))]
    process = subprocess.Popen([*command, *words, *small, "--curve-points", "2", "--out", str(folder)])
    while not (folder / "history.csv").exists() and process.poll() is None:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(120) in (130, 143)
    assert json.loads((folder / "row.json").read_text())["stop_reason"] == "interrupted"
    subprocess.run([*command, "--out", str(folder), "--resume", "--wandb", "disabled"], check=True)
    assert json.loads((folder / "row.json").read_text())["stop_reason"] == "budget"


@pytest.mark.slow
def test_the_autoencoder_learns_digits_through_a_renderer_without_derivatives() -> None:
    model = SplineVAE(batch=16, pairs=1, sigma=0.1, options={"correction": 0.2})
    model.start(seed=0, max_renders=60_000)
    before = model.measure()["reconstruction"]
    while model.has_budget:
        model.advance()
    found = model.measure()
    assert found["reconstruction"] < 0.06 < before and found["readable"] > 0.5
