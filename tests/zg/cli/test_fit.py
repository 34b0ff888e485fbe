"""What `zg fit` says of a run."""

import json
import sys

from zg.cli.main import main


def test_fit_names_choices_and_says_which_method_sees_the_picture(capsys, tmp_path):
    words = ["fit", "--config", str(tmp_path / "mine.yaml"), "--video", "false", "--curve-points", "0", "--out"]
    program = "import sys, json; from PIL import Image; p = json.load(sys.stdin); "
    program += "Image.new('L', (4, 4), 99 if p['wood'] == 'ash' else 10 * p['count']).save(sys.argv[1])"
    space = {"wood": {"init": "oak", "choices": ["oak", "ash"]}, "count": {"init": 3, "low": 1, "high": 9}}
    space["count"]["kind"] = "integer"
    data = {"name": "external", "argv": [sys.executable, "-c", program, "{output}"], "shape": [1, 4, 4]}
    data |= {"space": space, "target": {"wood": "ash", "count": 3}}
    (tmp_path / "mine.yaml").write_text(json.dumps({"data": data, "max_renders": 2}))
    assert main([*words, str(tmp_path / "unchosen")]) == 0
    said = capsys.readouterr().out
    assert "params  wood = oak, count = 3\n" in said
    assert "zg.optimize takes zerograds-image" in said
    assert main([*words, str(tmp_path / "chosen"), "--model", "zerograds"]) == 0
    assert "zerograds-image" not in capsys.readouterr().out
