import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
import yaml

from tasks.external import External
from tasks.renderers.external import ExternalRenderer
from tests.processes import marked, nothing_left, until  # noqa: F401
from tests.tasks import draw
from zg.cli.main import main
from zg.config.build import instantiate, parse
from zg.config.compose import compose, task_config
from zg.errors import SettingError
from zg.images import read_picture

pytestmark = pytest.mark.usefixtures("nothing_left")
DRAW = [sys.executable, draw.__file__, "{output}"]
WORDS = ["--words", "{position[0]}", "{position[1]}", "{count}"]
SPACE = {
    "position": {"init": [0.3, 0.3], "low": 0, "high": 1},
    "count": {"init": 3, "low": 1, "high": 9, "kind": "integer"},
}
TARGET = {"position": [0.6, 0.5], "count": 7}
VALUES = {"position": [0.4, 0.7], "count": 2}
needs_povray = pytest.mark.skipif(shutil.which("povray") is None, reason="needs povray (apt-get install povray)")


def expected(across, down, count):
    return np.moveaxis(draw.draw(across, down, count), -1, 0).astype(np.float32)


def make(*words, **settings):
    return External([*DRAW, *words], **{"space": SPACE, "shape": [3, 16, 16], "target": TARGET, **settings})


@pytest.mark.parametrize("format, scale, off", [("npy", 1, 1e-7), ("png", 1, 0.51 / 255), ("exr", 100, 1e-5)])
def test_images_of_every_format_are_read(format, scale, off):
    image = ExternalRenderer([*DRAW, *WORDS], format=format)(VALUES)
    assert image.dtype == np.float32
    assert np.abs(image - scale * expected(0.4, 0.7, 2)).max() <= off * scale


@pytest.mark.parametrize("words", [[], ["--file", "{parameters}"], WORDS])
def test_the_program_gets_parameters_by_standard_input_file_or_arguments(words):
    image = ExternalRenderer([*DRAW, *words], format="npy")(VALUES)
    assert np.array_equal(image, expected(0.4, 0.7, 2))


@pytest.mark.parametrize(
    "pixels, channels",
    [
        (np.full((4, 5), 65535, np.uint16), 1),
        (np.full((4, 5, 2), 255, np.uint8), 1),
        (np.full((4, 5, 4), 255, np.uint8), 3),
    ],
)
def test_images_with_grey_alpha_or_sixteen_bits_are_read(pixels, channels, tmp_path):
    imageio.imwrite(tmp_path / "image.png", pixels)
    assert np.array_equal(read_picture(tmp_path / "image.png"), np.ones((channels, 4, 5), np.float32))


def test_the_error_of_a_failed_program_has_its_exit_code_and_last_output():
    with pytest.raises(RuntimeError, match=r" ended with code 1; last output: no licence \| for this machine$"):
        ExternalRenderer([*DRAW, *WORDS, "--fault", "fail"])(VALUES)
    with pytest.raises(RuntimeError, match=r"sh ended with code -9"):
        ExternalRenderer(["sh", "-c", "kill -9 $$"])(VALUES)


def test_the_image_of_an_earlier_render_is_not_returned():
    renderer = ExternalRenderer([*DRAW, *WORDS, "--fault", "half"], format="npy")
    renderer({"position": [0.2, 0.2], "count": 1})
    with pytest.raises(RuntimeError, match=r"wrote no image.npy"):
        renderer({"position": [0.8, 0.2], "count": 1})


def test_a_program_that_is_ended_by_a_signal_is_run_once_more(tmp_path):
    once = tmp_path / "once"
    script = f'if [ -e {once} ]; then exec "$@"; fi; touch {once}; kill -9 $$'
    image = ExternalRenderer(["sh", "-c", script, "sh", *DRAW, *WORDS], format="npy")(VALUES)
    assert np.array_equal(image, expected(0.4, 0.7, 2))


@pytest.mark.parametrize(
    "evil, said",
    [
        ('mkdir "$3"; exit 0', r"wrote no image.npy, and a folder is in its place"),
        ('rm -r "$(dirname "$3")"; exit 1', r"ended with code 1"),
        ('rm -r "$(dirname "$3")"; mkdir -p "$3/again"; exit 1', r"ended with code 1"),
    ],
)
def test_whatever_a_program_does_to_its_folder_costs_one_render(evil, said, tmp_path):
    once = tmp_path / "once"
    script = f'if [ -e {once} ]; then exec "$@"; fi; touch {once}; {evil}'
    renderer = ExternalRenderer(["sh", "-c", script, "sh", *DRAW, *WORDS], format="npy")
    with pytest.raises(RuntimeError, match=said):
        renderer(VALUES)
    assert np.array_equal(renderer(VALUES), expected(0.4, 0.7, 2))


@pytest.mark.parametrize("child", ["sleep 600", "yes"])
def test_a_program_has_ended_when_it_ends_and_not_when_its_child_closes_their_output(child, tmp_path):
    script = f'{child} & echo $! > {tmp_path}/pid; exec "$@"'
    image = ExternalRenderer(["sh", "-c", script, "sh", *DRAW, *WORDS], format="npy")(VALUES)
    assert np.array_equal(image, expected(0.4, 0.7, 2))
    with contextlib.suppress(ProcessLookupError):  # `yes` has ended: nobody reads what it prints
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)


@pytest.mark.parametrize("content", [b"", b"\x76/1\x01 no picture", b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR"])
@pytest.mark.parametrize("kind", ["npy", "exr", "png", "tif"])
def test_a_reference_that_is_no_picture_is_refused_in_one_line(kind, content, tmp_path):
    (tmp_path / f"broken.{kind}").write_bytes(content)
    with pytest.raises(SettingError, match=f"^reference must be a PNG, EXR or NPY file, got 'broken.{kind}': "):
        make(*WORDS).read_reference(f"broken.{kind}")


def test_a_reference_of_complex_numbers_is_refused():
    np.save("complex.npy", np.ones((4, 4)) * 1j)
    with pytest.raises(SettingError, match=r"a picture has real numbers, and this one has complex128"):
        make(*WORDS).read_reference("complex.npy")


def test_a_yaml_file_alone_is_a_task(tmp_path, capsys):
    data = {"name": "external", "argv": [*DRAW, "--file", "{parameters}"], "space": SPACE, "shape": [3, 16, 16]}
    config = {"data": {**data, "target": TARGET, "loss": "multiscale", "workers": 2, "jitter": 0.1}}
    Path("mine.yaml").write_text(yaml.safe_dump(config))
    words = ["fit", "--config", "mine.yaml", "--max-renders", "12", "--out", "run", "--video", "false"]
    assert main(words) == 0
    row = yaml.safe_load(Path("run/row.json").read_text())
    assert row["task"] == "external" and row["renders"] == 12 and row["failed_renders"] == 0
    assert not marked(tmp_path)


def test_a_program_that_hangs_is_killed_and_its_image_is_nan(tmp_path):
    np.save("picture.npy", draw.draw(0.6, 0.5, 7))
    hang = make(*WORDS, "--fault", "hang", target=None, reference="picture.npy", format="npy", timeout=1.0)
    hang.setup()
    image = hang.render(hang.space.to_user(hang.space.init)[None])
    assert image.isnan().all()
    assert hang.last_error == f"{Path(sys.executable).name} took longer than timeout = 1 s"
    until(lambda: not any("--fault" in command for command in marked(tmp_path).values()), lambda: marked(tmp_path))
    hang.close()


def test_the_start_depends_on_the_seed_and_the_reference_does_not():
    def start(seed):
        task = make(*WORDS, jitter=0.2)
        task.seed = seed
        task.setup()
        task.close()
        return task

    one, again, other = start(0), start(0), start(1)
    assert torch.equal(one.space.init, again.space.init)
    assert not torch.equal(one.space.init, other.space.init)
    assert torch.equal(one.reference(), other.reference())
    assert torch.equal(one.solution, torch.tensor([0.6, 0.5, 7], dtype=torch.float64))


@pytest.mark.parametrize(
    "words, settings, said",
    [
        (
            ["{radius}"],
            {},
            r"ValueError: argv has an unknown placeholder \{radius\}; known: count, height, output, parameters, pos",
        ),
        (WORDS, {"shape": [3, 8, 8]}, r"must return shape \[3, 8, 8\], got \[3, 16, 16\]$"),
        (WORDS, {"target": None}, r"^target or reference must be given, and not both$"),
        (
            WORDS,
            {"target": {"position": [0.6, 0.5]}},
            r"^target must name the blocks of space, \['position', 'count'\]",
        ),
        (WORDS, {"target": {"position": [0.6], "count": 7}}, r"^target must have \[2, 1\] values .* got \[1, 1\]$"),
        (WORDS, {"target": None, "reference": "none.png"}, r"^reference must be a path that exists, got 'none.png'$"),
        (WORDS, {"space": {"count": {"init": 3, "hgih": 9}}}, r"^space.count.hgih is unknown; did you mean 'high'\?$"),
        (WORDS, {"space": {"count": {"low": 3}}}, r"^space.count.init must be given$"),
        (WORDS, {"space": {"count": {"init": "three"}}}, r"^space.count.init must be numbers, got 'three'$"),
        (WORDS, {"space": {"seed": {"init": 3}}, "target": {"seed": 1}}, r"a block cannot be named 'seed'"),
        (WORDS, {"format": "gif"}, r"format must be one of png, exr, npy, got 'gif'"),
        (
            WORDS,
            {"version_argv": [sys.executable, "--version"], "at_least": "9.1"},
            r"must be version 9.1 or later, got 3\.",
        ),
    ],
)
def test_a_wrong_setting_raises_an_error_of_one_line(words, settings, said):
    with pytest.raises(SettingError, match=said) as raised:
        task = make(*words, **settings)
        try:
            task.setup()
        finally:
            task.close()
    assert "\n" not in str(raised.value)


def test_a_program_that_does_not_exist_raises_an_error_of_one_line():
    with pytest.raises(SettingError, match=r"^argv must start with an executable program, got \['no-program'\]$"):
        External(["no-program"], SPACE, [3, 16, 16], TARGET)


@pytest.fixture
def vase():
    task = instantiate("data", parse(compose({"model": "es"}, task_config("external_demo")))["data"])
    task.setup()
    yield task
    task.close()


@needs_povray
def test_povray_renders_the_vase_and_the_start_differs_from_it(vase):
    start = vase.space.to_user(vase.space.init)
    images = vase.render(torch.stack([start, vase.solution]))
    assert torch.equal(images[1], vase.reference())
    assert vase.loss(images[:1], vase.reference()) > 0.01
    blue = images[1][2] - images[1][0] > 0.2
    assert 0.08 < blue.double().mean() < 0.2  # the glazed belt


@needs_povray
def test_every_coordinate_of_the_vase_changes_the_image(vase):
    images = vase.render(vase.solution + 0.1 * torch.diag(vase.space.scale))
    assert images.isfinite().all()
    changed = ((images - vase.reference()).abs() > 0.02).double().mean((1, 2, 3))
    assert (changed > 1e-3).all(), changed


@needs_povray
@pytest.mark.slow
def test_the_default_method_finds_the_vase(tmp_path):
    config = Path(draw.__file__).parents[2] / "configs" / "external_demo.yaml"
    assert main(["fit", "--config", str(config), "--out", "run", "--video", "false"]) == 0
    row = yaml.safe_load(Path("run/row.json").read_text())
    assert row["final_loss"] < 0.05 * row["init_loss"]
