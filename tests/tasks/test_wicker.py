import json
from pathlib import Path

import pytest
import torch

from tasks.wicker import Wicker
from tests.processes import MARK
from tests.tasks.blender import CLOSE, EXECUTABLE, difference, memory_growth_mb, needs_blender, needs_executable
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
def test_the_reference_is_the_golden_image(whale):
    assert difference(whale.reference(), "wicker") < CLOSE


@needs_blender
def test_the_same_parameters_give_the_same_image_in_any_batch(whale):
    x = whales([9, 31, 0.8], [30, 40, 1.3], [9, 31, 0.8], [6, 8, 0.6])
    batch = whale.render(x)
    assert torch.equal(batch[0], batch[2])
    assert torch.equal(batch[3], whale.render(x[3:])[0])


@needs_blender
def test_a_larger_radius_covers_more_of_the_image(whale):
    images = whale.render(whales(*([20, 30, radius] for radius in (0.6, 0.9, 1.2))))
    sea = images[0, :, :1, :1]
    covered = ((images - sea).abs().sum(1) > 0.05).sum((1, 2)).tolist()
    assert covered[0] * 1.2 < covered[1] < covered[2] / 1.2


@needs_blender
def test_more_stakes_make_the_image_brighter_and_more_hoops_make_it_redder(whale):
    thin, stakes, hoops = whale.render(whales([8, 10, 1], [16, 10, 1], [8, 24, 1])).mean((2, 3))
    assert stakes.sum() > thin.sum() + 0.015  # stakes are of bright straw
    assert (hoops / hoops.sum())[0] > (thin / thin.sum())[0]  # hoops are of red bark
    assert (hoops - thin).sum() < (stakes - thin).sum()


@needs_blender
@pytest.mark.parametrize("place, counts", [(0, [7, 9, 11, 13, 14]), (0, [30, 24, 19, 16, 14]), (1, [9, 15, 20, 24])])
def test_the_loss_falls_steadily_towards_the_exact_counts(whale, place, counts):
    x = whale.solution.repeat(len(counts), 1)
    x[:, place] = torch.tensor(counts)
    losses = whale.loss(whale.render(x), whale.reference()).tolist()
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] == 0 < losses[-2]


def test_counts_exact_is_1_for_the_exact_counts_only():
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
def test_a_wrong_setting_raises_an_error_of_one_line(settings, said):
    with pytest.raises(SettingError, match=said) as raised:
        built(Wicker(**settings))
    assert "\n" not in str(raised.value)


@needs_executable
def test_blenders_executable_renders_the_golden_image():
    task = built(Wicker(blender=EXECUTABLE, workers=1))
    assert difference(task.reference(), "wicker") < CLOSE
    task.close()


@needs_blender
def test_cycles_and_workbench_show_the_same_outline(whale):
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
