import json
from itertools import pairwise
from pathlib import Path

import pytest
import torch

from tasks.led_display import LedDisplay, lamps_of
from tests.processes import MARK
from tests.tasks.blender import CLOSE, difference, memory_growth_mb, needs_blender
from tests.tasks.golden import built
from zg.cli.main import main
from zg.errors import SettingError

LAMPS = 28


@pytest.fixture(scope="module")
def display():
    task = built(LedDisplay(workers=1))
    yield task
    task.close()


def with_lamps(*numbers):
    x = torch.zeros(1, 12 * LAMPS, dtype=torch.float64)
    x[0, list(numbers)] = 1
    return x


@needs_blender
def test_the_reference_is_the_golden_image(display):
    assert difference(display.reference(), "led_display") < CLOSE


@needs_blender
def test_the_cells_are_in_reading_order_and_their_lamps_glow(display):
    """The first lamp of every cell is lit alone."""
    dark = display.render(with_lamps())[0]
    places = []
    for cell in range(12):
        more = (display.render(with_lamps(cell * LAMPS))[0] - dark).sum(0)
        assert more.min() > -0.01
        row, column = divmod(int(more.argmax()), more.shape[1])
        places.append((row, column))
        assert (more > 0.05).sum() > (more > 1).sum() > 8, "expected a glow around the lamp"
    rows, columns = zip(*places, strict=True)
    assert all(abs(a - b) > 20 for a, b in pairwise(columns))
    assert list(columns[:6]) == sorted(columns[:6]) and list(columns[6:]) == sorted(columns[6:])
    assert max(rows[:6]) + 20 < min(rows[6:])


@needs_blender
def test_renders_repeat_and_a_batch_equals_its_single_renders(display):
    x = (torch.rand(3, display.space.n, generator=torch.Generator().manual_seed(1)) < 0.4).double()
    batch = display.render(x)
    assert torch.equal(batch, display.render(x))
    assert torch.equal(batch[1:2], display.render(x[1:2]))
    assert (batch[0] - batch[1]).abs().max() > 0.3


@needs_blender
def test_the_start_is_noise_that_depends_on_the_seed(display):
    def start(seed):
        task = LedDisplay(workers=1)
        task.seed = seed
        return task.start()

    assert torch.equal(start(1).init, start(1).init)
    assert not torch.equal(start(1).init, start(2).init)
    for seed in range(3):
        space = start(seed)
        x = space.to_user(space.init)
        assert 0.4 < display.metrics(x, None)["lamps_right"] < 0.6
        assert display.loss(display.render(x[None]), display.reference()) > 0.02
    assert display.metrics(display.solution, None) == {"lamps_right": 1.0}


def test_the_lamps_of_a_word_are_those_of_the_font():
    lit = lamps_of("i").reshape(12, 7, 4)
    assert lit[0].tolist() == [[0, 1, 1, 1], *[[0, 0, 1, 0]] * 5, [0, 1, 1, 1]]
    assert lit[1:].sum() == 0
    assert lamps_of("").shape == (336,)


@pytest.mark.parametrize(
    "settings, said",
    [
        ({"word": "THIRTEEN CHARS"}, "word must have at most 12 characters, got 'THIRTEEN CHARS'"),
        ({"word": "#"}, r"word must have only characters of .*, got '#'"),
        ({"undecided": 0}, "undecided must be > 0, got 0"),
        ({"undecided": 0.6}, "undecided must be at most 0.5, got 0.6"),
    ],
)
def test_a_wrong_setting_raises_an_error_of_one_line(settings, said):
    with pytest.raises(SettingError, match=said) as raised:
        built(LedDisplay(**settings))
    assert "\n" not in str(raised.value)


@needs_blender
@pytest.mark.slow
def test_memory_stays_bounded(tmp_path, monkeypatch):
    monkeypatch.setenv(MARK, str(tmp_path))
    task = built(LedDisplay())
    assert memory_growth_mb(task, tmp_path) <= 100
    task.close()


@needs_blender
@pytest.mark.slow
def test_the_default_method_finds_the_word():
    assert main(["fit", "--config", "configs/led_display.yaml", "--out", "run"]) == 0
    row = json.loads(Path("run/row.json").read_text())
    assert row["metric_lamps_right"] >= 0.99
    assert row["final_loss"] <= 0.1 * row["init_loss"]
