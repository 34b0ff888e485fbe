"""The report from rows and curves alone, and the page in a browser."""

import base64
import csv
import json
import re
import shutil
import subprocess
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
from markupsafe import escape

from baselines.compare import page, tables
from baselines.compare.rows import read_runs
from baselines.compare.summary import RESOLVED_IS, TOLD, summarise
from tests.tables import read_csv
from zg.cli.main import main

EVIL = "<script>alert('a & b')</script>"
CHROMIUM = shutil.which("chromium")


def write_run(out: Path, task: str, method: str, seed: int, final: float | None, **columns: object) -> None:
    """A run's folder as a comparison leaves it."""
    folder = out / "runs" / task / re.sub(r"\W", "_", method) / f"seed{seed}"
    folder.mkdir(parents=True)
    row = {"task": task, "method": method, "settings_from": "tuned", "key": "k", "resolved": "", "feedback": "loss"}
    row |= {"settings": {"lr": 0.1}, "seed": seed, "code_hash": "c0de", "revision": "abc", "machine": "a <machine>"}
    row |= {"threads": 1, "jobs": 1, "max_renders": 100, "max_seconds": None, "renders": 100, "seconds_render": 1.5}
    row |= {"seconds_method": 0.5, "peak_mb": 200.0, "init_loss": 1.0, "final_loss": final, "best_loss": final}
    row |= {"stop_reason": "budget", "error": ""}
    (folder / "row.json").write_text(json.dumps(row | columns))
    if final is None:
        return
    with (folder / "history.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["renders", "seconds_render", "seconds_method", "best_loss", "loss"])
        writer.writeheader()
        for renders, loss in ((0, 1.0), (10, 0.5), (50, ""), (100, final)):
            seconds = renders / 100
            writer.writerow(dict(zip(writer.fieldnames, (renders, seconds, seconds / 2, 0.1, loss), strict=True)))


@pytest.fixture
def folder(tmp_path):
    """Two tasks; a method with a name that wants to run, one that sees images, one that failed."""
    out = tmp_path / "a <b> & c"
    for seed in range(3):
        write_run(out, "one", "zerograds", seed, 1e-6 * (seed + 1))
        write_run(out, "one", EVIL, seed, 0.02, settings={"text": EVIL})
        write_run(out, "one", "sees", seed, 0.3, feedback="image")
        write_run(out, "two", "zerograds", seed, 0.0)
        write_run(out, "two", EVIL, seed, None, stop_reason="error", error=f"Oops: {EVIL}")
        write_run(out, "two", "sees", seed, 0.1, feedback="image")
    picture = out / "runs" / "one" / "zerograds" / "seed0"
    for name in ("start", "render", "reference"):
        imageio.imwrite(picture / f"{name}.png", np.full((300, 400, 3), 99, np.uint8))
    return out


def test_everything_is_made_from_rows_and_curves(folder, capsys):
    assert main(["report", str(folder)]) == 0
    parts = re.split("^### ", (folder / "summary.md").read_text(), flags=re.MULTILINE)
    assert [part.partition("\n")[0] for part in parts[1:]] == list(TOLD.values()) * 3
    assert all(("| sees |" in part) == part.startswith("Told images") for part in parts[1:])
    assert "## Both tasks\n" in parts[0] and "Behind the name of a method" not in parts[0]
    assert [line.rank for line in summarise(read_runs(folder), "zerograds").overall if line.method == "sees"] == [None]
    assert "report.html" in capsys.readouterr().out
    for name in ("curves", "seconds", "gains", "images"):
        assert imageio.imread(folder / f"{name}.png").std() > 0
        assert (folder / f"{name}.pdf").read_bytes().startswith(b"%PDF")
    rows = read_csv(folder / "rows.csv")
    assert len(rows) == 18
    assert json.loads(rows[0]["settings"]) == {"text": EVIL}
    lines = {(row["task"], row["method"]): row for row in read_csv(folder / "summary.csv")}
    assert len(lines) == 9
    assert float(lines["one", "zerograds"]["final_median"]) == 2e-6
    assert lines["two", EVIL]["failures"] == "3"
    assert float(lines["two", "zerograds"]["gain"]) == 12.0
    assert float(lines["", EVIL]["improvement"]) == 0.0
    assert float(lines["one", EVIL]["renders_to_target"]) == 100.0
    assert float(lines["one", EVIL]["seconds_to_target"]) == 1.5
    summary = (folder / "summary.md").read_text()
    assert "<script>" not in summary
    assert "3 of 18 runs failed" in summary
    assert "| ZeroGrads, default | tuned | 2e-06 [1.5e-06 … 2.5e-06] |" in summary

    assert (folder / "report.html").read_text() == page_of(folder)


def page_of(folder: Path) -> str:
    """The page alone: figures take long."""
    runs = read_runs(folder)
    return page.html(folder.name, runs, summarise(runs, "zerograds"))


def test_the_page_is_one_file_with_every_string_escaped(folder):
    text = page_of(folder)
    assert "alert('a" not in text
    assert text.count("<script>") == text.count("</script>") == 1
    assert str(escape(EVIL)) in text
    assert "a <machine>" not in text
    assert "<title>a &lt;b&gt; &amp; c</title>" in text
    assert not re.search(r"""(src|href)\s*=\s*["'](?!data:image/png;base64,|#)""", text)
    assert "://" not in text
    assert len(text) < 300_000


def test_pictures_are_reduced(folder):
    uri = page.data_uri(folder / "runs" / "one" / "zerograds" / "seed0" / "render.png")
    picture = imageio.imread(base64.b64decode(uri.partition(",")[2]))
    assert picture.shape == (192, 256, 3)


def test_a_folder_that_is_no_comparison_is_refused(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 2
    assert "folder must be that of a comparison" in capsys.readouterr().err


def test_the_settings_are_those_that_differ_from_the_defaults(tmp_path):
    default = {"pairs": 10, "sigma": 0.05, "lr": 0.01}
    for seed, (method, settings) in enumerate(
        {"es": default, "es2": default, "nevergrad-CMA": {"optimizer": "CMA", "sigma": 0.1, "num_workers": 1}}.items()
    ):
        write_run(tmp_path, "one", method, seed, 0.1, settings=settings)
    write_run(tmp_path, "two", "es", 0, 0.1, settings=default | {"lr": 0.5})
    said = {
        (line.cells[0].text, line.cells[1].text): line.cells[-1].text
        for line in page.settings(read_runs(tmp_path)).lines
    }
    assert said["ES", "one"] == "all at their defaults"
    assert said["ES", "two"] == '{"lr": 0.5}'
    assert said["nevergrad-CMA", "one"] == '{"optimizer": "CMA"}'
    assert json.loads(said["es2", "one"]) == default, "of a method that is not there all are shown"


def browse(path: Path, *options: str) -> str:
    """What Chromium makes of a page."""
    flags = "--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking"
    flags += " --disable-component-update --disable-sync"
    command = [str(CHROMIUM), *flags.split(), f"--user-data-dir={path.parent / 'profile'}", *options, path.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


@pytest.mark.skipif(CHROMIUM is None, reason="needs Debian's chromium")
def test_a_browser_sorts_tables_and_switches_axes(folder, tmp_path):
    clicks = """
    <script>
      const heads = name => [...document.querySelectorAll("#task0 + * ~ .scroll th button, section th button")]
        .filter(button => button.textContent === name);
      heads("final loss")[0].click();
      heads("final loss")[0].click();
      document.querySelector(".axes button[data-axis=seconds]").click();
      document.querySelector(".chips button").click();
      const cut = [...document.querySelectorAll(".scroll")].filter(box => box.scrollWidth > box.clientWidth);
      document.title = `clicked, ${cut.length} tables cut at ${innerWidth}`;
    </script></body>"""
    clicked = tmp_path / "clicked.html"
    clicked.write_text(page_of(folder).replace("</body>", clicks))
    text = browse(clicked, "--dump-dom", "--virtual-time-budget=2000", "--window-size=1100,1000")
    assert "<title>clicked, 0 tables cut at 1100</title>" in text
    table = re.search(r"<section>.*?<tbody>(.*?)</tbody>", text, re.S)[1]
    names = re.findall(r"<tr[^>]*><td[^>]*>(.*?)(?: <small>.*?)?</td>", table)
    assert names == [EVIL.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;"), "ZeroGrads, default"]
    assert re.findall("<h3>(.*?)</h3>", text) == list(TOLD.values()) * 3, (
        "a table of their own, of all tasks and of each"
    )
    assert 'aria-sort="descending"' in text
    charts = re.findall(r"<svg([^>]*)data-axis=\"(\w+)\"([^>]*)>", text)[:2]
    assert [(axis, "hidden" in before + after) for before, axis, after in charts] == [
        ("renders", True),
        ("seconds", False),
    ]
    assert 'class="panel chart picked"' in text
    picture = tmp_path / "page.png"
    browse(clicked, f"--screenshot={picture}", "--window-size=1000,1200")
    assert imageio.imread(picture).std() > 10


def test_what_stands_behind_a_method_is_explained_where_it_stands(tmp_path):
    write_run(tmp_path, "one", "sees", 0, 0.1, feedback="image", resolved="losses")
    runs = read_runs(tmp_path)
    summary = summarise(runs, "sees")
    assert RESOLVED_IS in tables.markdown(summary, runs)
    assert RESOLVED_IS in page.html("mine", runs, summary)
    assert summary.lines[0].rank is None, "a rank among one says nothing"
