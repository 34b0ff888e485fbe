import gzip
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from tasks.mlp import LAYERS, Mlp
from tests.tasks.golden import built
from zg.errors import SettingError


def write_mnist(folder, images, labels, suffix=".gz"):
    """Files in the format of MNIST: images [N, 28, 28] and labels [N], bytes."""
    pack = gzip.compress if suffix else bytes
    header = np.array([0x803, *images.shape], ">i4").tobytes()
    (folder / f"t10k-images-idx3-ubyte{suffix}").write_bytes(pack(header + images.tobytes()))
    header = np.array([0x801, len(labels)], ">i4").tobytes()
    (folder / f"t10k-labels-idx1-ubyte{suffix}").write_bytes(pack(header + labels.tobytes()))


@pytest.fixture(scope="module")
def images():
    return np.random.default_rng(0).integers(0, 256, (4, 28, 28), np.uint8)


LABELS = np.array([7, 3, 3, 1], np.uint8)


def test_the_network_equals_that_of_torch():
    task = built(Mlp())
    assert task.space.n == 35152
    theta = task.space.split(task.space.to_user(task.space.init))
    layers = []
    for number, (fan_in, fan_out) in enumerate(LAYERS, 1):
        layer = nn.utils.skip_init(nn.Linear, fan_in, fan_out)  # draws no random numbers
        layer.weight.data, layer.bias.data = theta[f"weight{number}"], theta[f"bias{number}"]
        layers += [layer, nn.Sigmoid() if number == 3 else nn.ReLU()]
    with torch.no_grad():
        expected = nn.Sequential(*layers)(task.input).reshape(1, 28, 28)
    assert torch.allclose(task.render(task.space.to_user(task.space.init)[None])[0], expected, atol=1e-6)


def test_the_start_has_the_distribution_of_torchs_linear_layers():
    weights = built(Mlp()).space
    parts = weights.split(weights.to_user(weights.init))
    for number, (fan_in, _) in enumerate(LAYERS, 1):
        assert parts[f"weight{number}"].abs().max() == pytest.approx(fan_in**-0.5, rel=0.01)
        assert parts[f"weight{number}"].std() == pytest.approx((3 * fan_in) ** -0.5, rel=0.05)
    assert (weights.scale == 0.5).all()


def test_the_input_of_the_network_does_not_depend_on_the_seed():
    assert torch.equal(built(Mlp(), 0).input, built(Mlp(), 1).input)


def test_different_digits_have_different_references():
    three, eight = (built(Mlp(digit)).reference() for digit in (3, 8))
    assert three.shape == (1, 28, 28)
    assert (three - eight).square().mean() > 0.01


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_mnist_is_read_by_digit_or_index(tmp_path, images, suffix):
    write_mnist(tmp_path, images, LABELS, suffix)
    by_digit = built(Mlp(digit=3, mnist=str(tmp_path))).reference()
    by_index = built(Mlp(mnist=str(tmp_path / f"t10k-images-idx3-ubyte{suffix}"), index=3)).reference()
    assert torch.equal(by_digit[0], torch.from_numpy(images[1]) / 255)
    assert torch.equal(by_index[0], torch.from_numpy(images[3]) / 255)


@pytest.mark.skipif("ZEROGRADS_MNIST" not in os.environ, reason="ZEROGRADS_MNIST names no folder with MNIST's files")
def test_the_real_files_of_mnist_are_read():
    folder = Path(os.environ["ZEROGRADS_MNIST"]).resolve()
    assert built(Mlp(mnist=str(folder))).reference().mean() == pytest.approx(0.15, abs=0.1)


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"digit": 10}, "digit must be from 0 to 9, got 10"),
        ({"mnist": "nowhere"}, "mnist must be readable files of MNIST, got 'nowhere' .No such file"),
        ({"mnist": "empty"}, "mnist must be a folder with an '…images-idx3-ubyte' file, got 'empty'"),
        ({"mnist": "right", "digit": 9}, "digit must be a digit that mnist has, got 9"),
        ({"mnist": "right", "index": 4}, "index must be from 0 to 3, got 4"),
        ({"mnist": "right/t10k-labels-idx1-ubyte.gz", "index": 0}, "mnist must be complete files of MNIST"),
        ({"mnist": "right", "index": -1}, "index must be from 0 to 3, got -1"),
        ({"mnist": "cut-images-idx3-ubyte", "index": 0}, "mnist must be complete files of MNIST"),
        ({"mnist": "bad-images-idx3-ubyte.gz", "index": 0}, "mnist must be readable files of MNIST"),
        ({"mnist": "lone-images-idx3-ubyte"}, "mnist must be readable files of MNIST, got 'lone-labels-idx1-ubyte'"),
    ],
)
def test_a_wrong_setting_raises_an_error_of_one_line(tmp_path, images, settings, message):
    for folder in ("empty", "right"):
        (tmp_path / folder).mkdir()
    write_mnist(tmp_path / "right", images, LABELS)
    whole = gzip.decompress((tmp_path / "right" / "t10k-images-idx3-ubyte.gz").read_bytes())
    (tmp_path / "lone-images-idx3-ubyte").write_bytes(whole)
    (tmp_path / "cut-images-idx3-ubyte").write_bytes(whole[:-1])
    (tmp_path / "bad-images-idx3-ubyte.gz").write_bytes(gzip.compress(whole)[:100])
    with pytest.raises(SettingError, match=message) as raised:
        built(Mlp(**settings))
    assert "\n" not in str(raised.value)
