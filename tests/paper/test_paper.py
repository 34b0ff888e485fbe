"""The smoke preset from end to end: tables, figures and verdicts; a deleted row alone is run again."""

import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import imageio.v3 as imageio
import pytest
import yaml

from baselines.compare.options import TUNED
from paper import formats, readme, rows, tables, wandb_report
from paper.plan import PRESETS, Planner, budget_of, methods_of, read_preset, tasks_of
from paper.reported import read_reported
from paper.run import default_parts
from tests.tables import read_csv
from zg.cli.main import main
from zg.config.compose import read_yaml
from zg.config.registry import configured

# Some methods of each kind: other tests run every method. A word given again replaces the first.
METHODS = "zerograds,zerograds-paper,es,cmaes,fr22_image"
SMOKE = f"paper --preset smoke --jobs 2 --wandb disabled --settings published --methods {METHODS}".split()
TABLES = ["table1", "table1-image", "table2", "table2-image", "table3", "table4"]
FIGURES = ["pictures", "convergence-renders", "convergence-seconds", "frames", "cost", "sensitivity"]


@pytest.fixture(scope="module")
def smoke(tmp_path_factory):
    """The folder of the smoke preset, made once; tests that change it work on a copy."""
    out = tmp_path_factory.mktemp("paper") / "smoke"
    assert main([*SMOKE, "--out", str(out), "--keep", str(out.parent / "kept")]) == 0
    return out


def test_every_table_is_there_in_three_forms(smoke):
    for name in TABLES:
        tex = (smoke / "tables" / f"{name}.tex").read_text()
        assert tex.count(r"\begin{tabular*}") == tex.count(r"\end{tabular*}") == tex.count(r"\bottomrule") > 0
        assert (smoke / "tables" / f"{name}.md").read_text().startswith("## ")
        columns = {"measure", "method", "column", "value", "low", "high", "mark", "notes"}
        assert columns < set(read_csv(smoke / "tables" / f"{name}.csv")[0])


def test_every_figure_is_there_as_png_and_pdf(smoke):
    for name in FIGURES:
        assert imageio.imread(smoke / "figures" / f"{name}.png").std() > 1
        assert (smoke / "figures" / f"{name}.pdf").read_bytes().startswith(b"%PDF")


class Ids(HTMLParser):
    """The ids of a page, what it links to within itself, and whatever it would fetch from elsewhere."""

    def __init__(self):
        super().__init__()
        self.ids, self.links, self.fetched = set(), set(), []

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        self.ids.add(found.get("id"))
        if found.get("href", "").startswith("#"):
            self.links.add(found["href"][1:])
        self.fetched += [found[name] for name in ("src", "href") if not found.get(name, "data:").startswith("data:")]


def test_the_report_holds_everything_and_fetches_nothing(smoke):
    page = (smoke / "report.html").read_text()
    parser = Ids()
    parser.feed(page)
    assert parser.links <= parser.ids
    assert set(FIGURES) <= parser.ids
    assert all(source.startswith("#") for source in parser.fetched)
    assert "The paper&#39;s own tables were not at hand" in page
    verdicts = read_csv(smoke / "claims.csv")
    assert {row["verdict"].partition(" (")[0] for row in verdicts} == {"not tested"}
    assert all(row["text"].replace("²", "") and row["numbers"] for row in verdicts)


def test_the_estimate_came_before_the_runs(smoke):
    said = json.loads((smoke / "preset.json").read_text())
    assert said["runs"] == len(list(smoke.glob("*/runs/*/*/seed*/row.json")))
    assert 1 < said["estimated_seconds"] < 3600


def test_presets_do_not_share_a_folder(smoke, capsys):
    assert main(["paper", "--preset", "cpu", "--out", str(smoke)]) == 2
    assert "is of 'smoke'" in capsys.readouterr().err


def test_a_deleted_row_is_run_again_alone(smoke, tmp_path, capsys):
    out = tmp_path / "copy"
    shutil.copytree(smoke, out)
    gone = out / "published" / "runs" / "toy" / "es" / "seed1"
    before = json.loads((gone / "row.json").read_text())
    shutil.rmtree(gone)
    times = {path: path.stat().st_mtime_ns for path in out.glob("*/runs/*/*/seed*/row.json")}
    assert main([*SMOKE, "--out", str(out)]) == 0
    assert " 1 of them missing" in capsys.readouterr().out
    assert json.loads((gone / "row.json").read_text())["final_loss"] == before["final_loss"]
    assert all(path.stat().st_mtime_ns == time for path, time in times.items())


def test_a_report_of_kept_rows_keeps_its_pictures(smoke, tmp_path):
    kept = tmp_path / "kept"
    shutil.copytree(smoke.parent / "kept", kept)
    assert main(["paper", "--out", str(kept)]) == 0
    pages = [(folder / "report.html").read_text() for folder in (smoke, kept)]
    assert [sum(page.count(f'id="{name}"') for name in FIGURES) for page in pages] == [len(FIGURES)] * 2
    assert ["Of earlier runs" in page for page in pages] == [False, True]


def test_rows_that_were_kept_say_the_same_as_the_runs(smoke):
    kept, made = rows.read(smoke.parent / "kept"), rows.read(smoke)
    assert {part: len(runs) for part, runs in kept.parts.items()} == {p: len(runs) for p, runs in made.parts.items()}
    for ours, theirs in zip(tables.all_tables(kept)[:5], tables.all_tables(made)[:5], strict=True):
        values = [[row["value"], row["mark"]] for row in formats.rows(ours) if "seconds" not in str(row["measure"])]
        assert values == [
            [row["value"], row["mark"]] for row in formats.rows(theirs) if "seconds" not in str(row["measure"])
        ]


def test_what_cannot_run_is_a_dash_with_its_reason(tmp_path):
    (tmp_path / "gone.yaml").write_text("data: {name: texture, reference: nowhere.png}\nmax_renders: 60\n")
    smoke = read_yaml(PRESETS / "smoke.yaml")
    small = smoke | {part: smoke[part] | {"tasks": []} for part in ("ablations", "sensitivity", "variance")}
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(small))
    words = [
        *SMOKE,
        "--preset",
        "small.yaml",
        "--tasks",
        "toy,gone.yaml",
        "--methods",
        "es,random_search",
        "--seeds",
        "1",
    ]
    assert main([*words, "--out", "out"]) == 0
    found = read_csv(tmp_path / "out" / "tables" / "table1.csv")
    broken = [row for row in found if row["column"] == "gone" and row["measure"] == "final loss"]
    assert [row["value"] for row in broken] == ["", ""]
    assert all("nowhere.png" in row["notes"] for row in broken)
    assert all(row["value"] for row in found if row["column"].startswith("toy") and row["measure"] == "final loss")


@pytest.mark.parametrize("name", sorted(path.stem for path in PRESETS.glob("*.yaml")))
def test_a_preset_names_what_exists(name):
    preset = read_preset(name)
    assert set(preset.leave_out) <= set(configured("task"))
    for task in tasks_of(preset):
        assert budget_of(task, preset)["max_renders"] >= 1
    for part in ("ablations", "sensitivity", "variance"):
        assert set(getattr(preset, part)["tasks"]) <= set(configured("task"))


def test_tuned_rows_have_every_method_and_say_which_are_not_tuned():
    preset = read_preset("smoke")
    (part,) = Planner(preset, Path("out"), {"toy": 1}, ["toy"], methods_of()).parts(default_parts(["tuned"]))
    tuned = {path.stem for path in (TUNED / "toy").glob("*.yaml")}
    assert {job.method: job.settings for job in part.jobs} == {
        name: "tuned" if name in tuned else "untuned" for name in methods_of(extra=False)
    }
    assert tuned


def test_the_full_preset_has_the_published_budgets():
    assert budget_of("toy", read_preset("full"))["max_renders"] == 126_000


def test_the_budget_preset_has_the_papers_renders_and_its_own_seeds_and_methods():
    preset = read_preset("budget")
    sizes = dict.fromkeys(preset.tasks, 1)
    parts = Planner(preset, Path("out"), sizes, preset.tasks, methods_of()).parts(default_parts(["published", "tuned"]))
    assert [part.name for part in parts if part.jobs] == ["published", "tuned"]
    runs = [job for job in parts[0].jobs if job.method == "zerograds-paper"]
    found = {task: [job.config["max_renders"] for job in runs if job.task == task] for task in preset.tasks}
    assert found == {
        "toy": [126_000] * 6,
        "rosenbrock_released": [90_000] * 6,
        "texture16": [61_500] * 3,
        "led_display_released": [7500] * 3,
        "mlp_released": [105_000],
        "caustic_released": [2_100_000],
        "texture": [123_000],
    }
    assert all(job.settings == "paper" and job.config["checkpoint_seconds"] == 300 for job in runs)
    assert {job.method for job in parts[0].jobs if job.task == "caustic_released"} == {
        "zerograds-paper",
        "zerograds",
        "es",
    }


def test_a_paced_preset_says_the_hours_of_each_run_first(tmp_path, capsys):
    content = read_yaml(PRESETS / "budget.yaml") | {"tasks": ["toy"], "seeds": 2}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    words = ["paper", "--preset", str(tmp_path / "mine.yaml"), "--methods", "es", "--settings", "published"]
    assert main([*words, "--estimate", "--wandb", "disabled", "--out", "out"]) == 0
    said = capsys.readouterr().out
    assert re.search(r"\d\.\d\d h  toy, es \(default\): 2 × 126,000 renders", said)
    assert "2 runs, 2 of them missing: about" in said


def test_every_known_cell_has_a_source():
    assert all(bool(row["value"]) == bool(row["source"]) or not row["value"] for row in read_reported())


def test_the_table_of_the_readme_is_what_the_rows_say():
    text = readme.README.read_text(encoding="utf-8")
    assert readme.BEGIN in text
    assert readme.renewed(text) == text


def test_tables_and_figures_are_filed_with_wandb(smoke, tmp_path):
    out = tmp_path / "copy"
    shutil.copytree(smoke, out, ignore=shutil.ignore_patterns("runs"))
    wandb_report.summarise(out, "offline")
    assert len(list(out.glob("wandb/offline-run-*/files/media/images/*.png"))) == len(FIGURES)
    assert len(list(out.glob("wandb/offline-run-*/files/media/table/*.json"))) == len(TABLES) + 1


@pytest.mark.skipif(not shutil.which("chromium"), reason="chromium is not installed")
def test_a_browser_shows_the_report(smoke, tmp_path):
    for name, width in (("wide", 1400), ("narrow", 420)):
        picture = tmp_path / f"{name}.png"
        browse("--hide-scrollbars", f"--window-size={width},3000", f"--screenshot={picture}", smoke / "report.html")
        assert imageio.imread(picture).std() > 5
    page = browse("--dump-dom", smoke / "report.html")
    assert page.count("<svg") + page.count("<img") >= len(FIGURES)


def browse(*words):
    """Run a browser without a window and return what it printed; its console must be quiet."""
    command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    *flags, page = words
    done = subprocess.run(
        [*command, *flags, Path(page).as_uri()], capture_output=True, text=True, timeout=120, check=True
    )
    assert "CONSOLE" not in done.stderr
    return done.stdout
