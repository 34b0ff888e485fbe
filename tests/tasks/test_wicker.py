import json
from pathlib import Path

import pytest
import torch

from tasks.wicker import Wicker
from tests.processes import MARK
from tests.tasks.blender import CLOSE, EXECUTABLE, far_off, memory_growth_mb, needs_blender, needs_executable
from tests.tasks.golden import built
from zg.cli.main import main
from zg.errors import SettingError


@pytest.fixture(scope="module")
def whale():
    task = built(Wicker(workers=1))
    yield task
    task.close()


def whales(*rows):
    return torch.tensor(rows, dtype=torch.float64)


@needs_blender
def test_the_golden_image_is_met(whale):
    assert far_off(whale.reference(), "wicker") < CLOSE


@needs_blender
def test_woven_anew_it_is_the_same(whale):
    x = whales([9, 31, 0.8], [30, 40, 1.3], [9, 31, 0.8], [6, 8, 0.6])
    batch = whale.render(x)
    assert torch.equal(batch[0], batch[2])
    assert torch.equal(batch[3], whale.render(x[3:])[0])


@needs_blender
def test_a_thicker_whale_covers_more(whale):
    images = whale.render(whales(*([20, 30, radius] for radius in (0.6, 0.9, 1.2))))
    sea = images[0, :, :1, :1]
    covered = ((images - sea).abs().sum(1) > 0.05).sum((1, 2)).tolist()
    assert covered[0] * 1.2 < covered[1] < covered[2] / 1.2


@needs_blender
def test_stakes_are_straw_and_hoops_are_bark(whale):
    thin, stakes, hoops = whale.render(whales([8, 10, 1], [16, 10, 1], [8, 24, 1])).mean((2, 3))
    assert stakes.sum() > thin.sum() + 0.015  # straw is light
    assert (hoops / hoops.sum())[0] > (thin / thin.sum())[0]  # bark is red
    assert (hoops - thin).sum() < (stakes - thin).sum()


@needs_blender
@pytest.mark.parametrize("place, counts", [(0, [7, 9, 11, 13, 14]), (0, [30, 24, 19, 16, 14]), (1, [9, 15, 20, 24])])
def test_density_leads_to_the_counts(whale, place, counts):
    x = whale.solution.repeat(len(counts), 1)
    x[:, place] = torch.tensor(counts)
    losses = whale.loss(whale.render(x), whale.reference()).tolist()
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == 0 < losses[-2]


def test_only_exact_counts_are_exact():
    task = Wicker()
    task.solution = whales(14, 24, 1)
    assert task.metrics(whales(14, 24, 0.9), None)["counts_exact"] == 1
    off = task.metrics(whales(14, 22, 0.9), None)
    assert off == {"counts_exact": 0, "horizontal_off": 0, "vertical_off": 2, "radius_off": pytest.approx(0.1)}


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"far": 0}, "far must be > 0, got 0"),
        ({"window": 0}, "window must be from 1 to 128 pixels, got 0"),
        ({"window": 129}, "window must be from 1 to 128 pixels, got 129"),
        ({"workers": 0}, "workers must be > 0, got 0"),
    ],
)
def test_mistakes_are_told_in_one_line(settings, said):
    with pytest.raises(SettingError, match=said) as told:
        built(Wicker(**settings))
    assert "\n" not in str(told.value)


@needs_executable
def test_an_executable_weaves_the_same():
    task = built(Wicker(blender=EXECUTABLE, workers=1))
    assert far_off(task.reference(), "wicker") < CLOSE
    task.close()


@needs_blender
def test_cycles_sees_the_same_whale(whale):
    task = built(Wicker(engine="cycles", workers=1))
    seas = [image[:, 0, 0] for image in (task.reference(), whale.reference())]
    assert (seas[0] - seas[1]).abs().max() < 0.02
    shapes = [((image - image[:, :1, :1]).abs().sum(0) > 0.1) for image in (task.reference(), whale.reference())]
    assert (shapes[0] == shapes[1]).double().mean() > 0.95
    task.close()


@needs_blender
@pytest.mark.slow
def test_memory_stays_bounded(tmp_path, monkeypatch):
    monkeypatch.setenv(MARK, str(tmp_path))
    task = built(Wicker())
    assert memory_growth_mb(task, tmp_path) <= 100
    task.close()


@needs_blender
@pytest.mark.slow
def test_the_default_method_finds_the_counts():
    exact = 0
    for seed in range(5):
        assert main(["fit", "--config", "configs/wicker.yaml", "--seed", str(seed), "--out", str(seed)]) == 0
        row = json.loads(Path(str(seed), "row.json").read_text())
        exact += row["metric_counts_exact"] == 1 and row["final_loss"] <= 0.1 * row["init_loss"]
    assert exact >= 4
