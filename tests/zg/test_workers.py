from pathlib import Path

import numpy as np
import pytest

from tests.zg.scenes import faulty
from zg.errors import SettingError
from zg.workers import PYTHON, Workers

SCENE = Path(faulty.__file__)
SHAPE = (3, 4, 5)


def make(**options):
    settings = options.pop("settings", {})
    return Workers(PYTHON, SCENE, settings, SHAPE, **options)


def test_images_come_in_the_order_of_the_parameters():
    x = np.array([[faulty.SLEEP, 0.2, 1], *([faulty.RENDER, 0, k] for k in range(6))], dtype=float)
    seeds = np.arange(7)
    with make(workers=2) as pool:
        images = pool.render(x, seeds)
        assert pool.version == "1.2"
    expected = [faulty.Renderer({}).render(np.array([0, 0, row[2]]), seed) for row, seed in zip(x, seeds, strict=True)]
    assert images.dtype == np.float32
    assert np.array_equal(images, np.asarray(expected, dtype=np.float32))


def test_a_renderer_that_raises_has_failed_and_stays():
    with make() as pool:
        images = pool.render(np.array([[faulty.RAISE], [faulty.RENDER]]))
        assert np.isnan(images[0]).all() and np.isfinite(images[1]).all()
        assert pool.lost == 0
        [error] = pool.errors
        assert error.startswith("ValueError: a negative radius (faulty.py, line ")


def test_a_program_that_is_missing_is_told():
    with pytest.raises(SettingError, match=r"program .* got 'no-such-renderer'$"):
        Workers(["no-such-renderer"], SCENE, {}, SHAPE).start()
