"""README.md: every zg command runs, with a small budget; every make target exists; every link has a target."""

import re
import shlex
from pathlib import Path

import pytest

from docs.draw_first import run_first
from zg.cli.main import main

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


def test_every_picture_of_the_gallery_has_a_command():
    page = (ROOT / "docs" / "gallery.md").read_text()
    pictures = re.findall(r"^!\[", page, re.M)
    commands = re.findall(r"^!\[[^\]]*\]\([^)]*\)\n\n    zg fit --config (\S+)", page, re.M)
    assert len(commands) == len(pictures)
    assert all((ROOT / path).is_file() for path in commands)
