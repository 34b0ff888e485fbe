"""README.md: every zg command runs, with a small budget; every make target exists; every link has a target."""

import re
import shlex
from pathlib import Path

import pytest
import torch

from docs.draw_first import run_first
from docs.draw_gallery import moments
from docs.draw_hero import COUNTS, Row, Strip, draw
from tests.problems import Stripes
from zg.budget import Budget
from zg.cli.main import main
from zg.pictures import write_png
from zg.run.figures import png_of
from zg.run.run import run
from zg.zerograds.method import ZeroGrads

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
COMMANDS = [line.strip().partition("  #")[0] for line in re.findall(r"^    (?:make|zg|source) .*$", README, re.M)]
TARGETS = re.findall(r"^([\w-]+):", (ROOT / "Makefile").read_text(), re.M)


def test_the_readme_has_commands():
    assert len(COMMANDS) >= 5


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_runs(command):
    words = shlex.split(command)
    if words[0] == "make":
        assert words[1] in TARGETS
        for setting in words[2:]:
            name, value = setting.split("=")
            folder = {"TASK": "configs", "PRESET": "paper/presets"}[name]
            assert (ROOT / folder / f"{value}.yaml").is_file()
    elif words[0] == "zg":
        short = {"fit": ["--max-renders", "40"], "compare": ["--max-renders", "40", "--seeds", "1"]}
        assert main([*words[1:], *short.get(words[1], [])]) == 0
    else:
        assert words == ["source", ".venv/bin/activate"]


def test_the_first_example_finds_the_face_and_writes_its_picture(tmp_path, capsys):
    result = run_first(tmp_path)["result"]
    said = capsys.readouterr().out.splitlines()
    assert result.loss < 1e-3 * result.row["init_loss"]
    assert (tmp_path / "face.png").stat().st_size > 1000
    shown = re.search(r"\n    zerograds-image.*?\n\n", README, re.S)[0].split("\n")
    assert [line.split()[0] for line in said[1:]] == [line.split()[0] for line in shown[2:6]]


@pytest.mark.parametrize("path", re.findall(r"(?:\]\(|src=\")([^)\"#]+)[)\"]", README))
def test_a_link_of_the_readme_has_a_target(path):
    assert path.startswith("https://") or (ROOT / path).exists()


def test_every_picture_of_the_readme_names_the_command_that_made_it():
    pictures = re.findall(r'^<img src="(?!https)', README, re.M)
    commands = re.findall(r'^<!-- made by (?:python -m (\S+)|zg \S+).* -->\n<img src="', README, re.M)
    assert len(commands) == len(pictures) > 3
    assert all((ROOT / f"{module.replace('.', '/')}.py").is_file() for module in commands if module)


def test_a_strip_shows_what_a_run_recommended_after_some_counts_of_renders():
    strip = Strip()
    result = run(Stripes(), ZeroGrads(), Budget(COUNTS[-1]), observers=[strip], curve_points=0)
    strip.end(result)
    assert strip.losses[0] == result.row["init_loss"] and strip.losses[-1] == result.loss
    assert strip.losses == sorted(strip.losses, reverse=True) and len(set(strip.losses)) == len(COUNTS)
    assert torch.equal(strip.images[0], result.images.start) and len(strip.images) == len(COUNTS)
    figure = draw([Row("stripes", [torch.zeros(3, 4, 8)] * 5, strip.losses)])
    assert png_of(figure).startswith(b"\x89PNG")
    assert [axes.get_title() for axes in figure.subfigs[0].axes][-2:] == ["after 100 renders", "reference"]


def test_four_moments_are_the_first_frames_at_which_shares_of_the_loss_are_left(tmp_path):
    (tmp_path / "frames").mkdir()
    losses = {0: 8.0, 1: 8.0, 2: 3.0, 5: 0.9, 7: 0.7, 20: 0.001, 99: 0.0}
    for renders in losses:
        write_png(tmp_path / "frames" / f"{renders:09d}.png", torch.full((3, 4, 6), renders / 255))
    rows = [f"{renders},{loss}" for renders, loss in losses.items()]
    (tmp_path / "history.csv").write_text("\n".join(["renders,loss", *rows, "50,"]))
    assert moments(tmp_path)[::4, ::6, 0].tolist() == [[0, 2], [7, 20]]


def test_every_picture_of_the_gallery_has_a_command():
    page = (ROOT / "docs" / "gallery.md").read_text()
    pictures = re.findall(r"^!\[", page, re.M)
    commands = re.findall(r"^!\[[^\]]*\]\([^)]*\)\n\n    zg fit --config (\S+)", page, re.M)
    assert len(commands) == len(pictures)
    assert all((ROOT / path).is_file() for path in commands)
