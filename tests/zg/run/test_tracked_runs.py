"""What a run writes to W&B and TensorBoard, read from their own files."""

import json
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from pytorch_lightning import Callback

from baselines.compare import wandb_summary
from baselines.compare.grid import key_of
from baselines.compare.options import compare_options
from baselines.es import ES
from tests.baselines.test_report import write_run
from tests.problems import Quadratic, Stripes
from tests.wandb_files import Written
from zg.budget import Budget
from zg.cli.main import main
from zg.run.board import BOARD_FOLDER
from zg.run.observer import Observer
from zg.run.run import run
from zg.run.tracking import parameter_lines, wandb_logger

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # those of pydantic
    import sweeps
    import wandb_workspaces.reports.v2  # noqa: F401 - the page on tracking imports it

CONFIGS = Path(__file__).parents[3] / "configs"
event_accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


@pytest.fixture(autouse=True)
def _offline(monkeypatch):
    """W&B writes, and asks no server."""
    monkeypatch.setenv("WANDB_MODE", "offline")


def board_of(folder: Path) -> "event_accumulator.EventAccumulator":
    """What TensorBoard shows of a run."""
    read = event_accumulator.EventAccumulator(str(folder / BOARD_FOLDER))
    read.Reload()
    return read


class LogTwo(Callback):
    """Logs a number of its own, as Lightning's callbacks do: without renders."""

    def on_train_batch_end(self, trainer, pl_module, *args):
        pl_module.log("own", 2.0)


@pytest.fixture(scope="module")
def tracked(tmp_path_factory):
    """The folder of a run with W&B, TensorBoard and a callback that logs, in the group of a comparison."""
    folder = tmp_path_factory.mktemp("tracked") / "stripes-es-seed3-0"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WANDB_MODE", "offline")
        config = {"model": {"class_path": "baselines.es.ES", "init_args": {"lr": 0.02, "options": {"deep": None}}}}
        tracking = {"wandb": "auto", "group": "stripes", "tensorboard": True, "names": ("stripes", "es")}
        run(Stripes(), ES(), Budget(120), seed=3, folder=folder, config=config, callbacks=[LogTwo()], **tracking)
    return folder


@pytest.fixture(scope="module")
def written(tracked):
    return Written(tracked)


def test_renders_are_the_x_axis_of_every_chart_and_the_step_of_every_row(written):
    assert written.axes == {"renders": "", "*": "renders"}
    curve = [row for row in written.rows if "loss" in row]
    assert len(curve) > 5
    assert [row["renders"] for row in curve] == [row["_step"] for row in curve]
    assert written.steps == sorted(set(written.steps))
    assert "trainer/global_step" not in written.summary
    own = [row for row in written.rows if "own" in row]
    assert own
    assert all("renders" in row for row in own), "W&B gives a number without renders the last one"


def test_task_method_seed_and_group_are_there_to_filter_and_to_group_by(written):
    (started,) = written.runs
    assert (started.display_name, started.run_group, started.job_type) == ("stripes-es-seed3", "stripes", "run")
    assert list(started.tags)[:3] == ["stripes", "es", "seed 3"]
    assert {key: written.config[key] for key in ("task", "method", "seed", "max_renders")} == {
        "task": "stripes",
        "method": "es",
        "seed": 3,
        "max_renders": 120,
    }
    assert written.config["model"]["init_args"]["lr"] == 0.02


def test_a_run_ends_with_its_pictures_its_parameters_and_its_row(written, tracked):
    row = json.loads((tracked / "row.json").read_text())
    last = written.rows[-1]
    assert last["_step"] == last["renders"] == row["renders"]
    for name in ("panel", "curve", "start", "render", "reference"):
        (path,) = tracked.glob(f"wandb/offline-run-*/files/{last[f'{name}.filenames'][0]}")
        assert path.read_bytes() == (tracked / f"{name}.png").read_bytes()
    assert last["video._type"] == "video-file"
    (path,) = tracked.glob(f"wandb/offline-run-*/files/{last['parameters.path']}")
    table = json.loads(path.read_text())
    assert table["columns"] == ["name", "start", "result"]
    assert written.summary["final_loss"] == row["final_loss"]
    assert written.summary["stop_reason"] == "budget"
    assert "last_loss" not in written.summary, "what is not a finite number is left out"
    assert written.exit_codes == [0]


def test_tensorboard_shows_the_run_by_its_folder_against_renders(tracked):
    from tensorboard.backend.event_processing.plugin_event_multiplexer import EventMultiplexer
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    runs = EventMultiplexer().AddRunsFromDirectory(str(tracked.parent)).Runs()
    assert list(runs) == [f"{tracked.name}/{BOARD_FOLDER}"]
    read = board_of(tracked)
    losses = read.Scalars("loss")
    assert [losses[0].step, losses[-1].step] == [0, 120]
    assert read.Scalars("final_loss")[0].step == 120
    assert {"panel", "curve", "start", "render", "reference"} <= set(read.Tags()["images"])
    content = read.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    settings = HParamsPluginData.FromString(content).session_start_info.hparams
    assert settings["method"].string_value == "es"
    assert settings["seed"].number_value == 3
    assert settings["model.lr"].number_value == 0.02
    assert settings["model.options.deep"].string_value == "None"
    assert not {"video", "tensorboard", "model.class_path"} & set(settings), "what does not tell runs apart"


def test_a_resumed_run_goes_on_under_its_id_and_what_it_logged_beyond_its_checkpoint_is_dropped(tmp_path):
    folder = tmp_path / "run"
    options = {"folder": folder, "wandb": "auto", "video": False, "tensorboard": True}
    run(Stripes(), ES(), Budget(40), **options)
    shutil.copy(folder / "last.ckpt", tmp_path / "early.ckpt")
    run(Stripes(), ES(), Budget(80), **options, resume=True)
    shutil.copy(tmp_path / "early.ckpt", folder / "last.ckpt")  # as if it had been killed before the next checkpoint
    run(Stripes(), ES(), Budget(80), **options, resume=True)
    written = Written(folder)
    assert len(written.runs) == 3
    assert len({started.run_id for started in written.runs}) == 1
    own = [started for started in written.steps if started > 40]
    assert own == sorted(set(own)) * 2, "offline, both parts are written, with the same steps"
    steps = [scalar.step for scalar in board_of(folder).Scalars("batch_loss")]
    assert steps == sorted(set(steps))
    assert steps[-1] == 80


def test_wandb_takes_no_step_that_goes_back(tmp_path):
    with wandb_logger(tmp_path, "offline", "name", None, []) as logger:
        for renders in (0, 10, 5, 10, 20):
            logger.log_metrics({"renders": renders, "loss": float(renders)})
    assert Written(tmp_path).steps == [0, 10, 20]


def test_a_run_that_is_stopped_before_its_first_checkpoint_leaves_nothing_of_its_log(tmp_path):
    class Stops(Observer):
        def started(self, loop):
            raise KeyboardInterrupt

    options = {"wandb": "auto", "tensorboard": True, "observers": [Stops()], "curve_points": 3}
    with pytest.raises(KeyboardInterrupt):
        run(Stripes(), ES(), Budget(80), folder=tmp_path / "run", **options)
    assert not (tmp_path / "run").exists()


def test_a_run_that_fails_leaves_its_error_and_is_marked_as_failed(tmp_path):
    class Breaks(Callback):
        def on_train_batch_end(self, *args):
            raise RuntimeError("the renderer is gone")

    with pytest.raises(RuntimeError, match="the renderer is gone"):
        run(Quadratic(), ES(), Budget(80), folder=tmp_path / "run", wandb="auto", callbacks=[Breaks()])
    written = Written(tmp_path / "run")
    assert written.exit_codes == [1]
    assert written.summary["stop_reason"] == "error"
    assert "the renderer is gone" in written.summary["error"]


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.parametrize("path", sorted((CONFIGS / "sweeps").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_sweep_keeps_to_the_schema_of_wandb_and_zg_takes_what_an_agent_says(path, tmp_path, monkeypatch):
    from wandb.sdk.launch.sweeps.utils import create_sweep_command, create_sweep_command_args, load_sweep_config

    config = load_sweep_config(str(path))
    assert sweeps.schema_violations_from_proposed_config(config) == []
    (first,) = sweeps.next_runs(sweeps.SweepConfig(config), [], validate=True, n=1)
    given = json.loads(json.dumps(first.config, default=float)) | {"max_renders": {"value": 40}}
    program, *words = create_sweep_command(config["command"])
    assert program == "zg"
    place = words.index("${args}")
    words[place : place + 1] = create_sweep_command_args({"args": given})["args"]

    (tmp_path / "given.yaml").write_text(json.dumps({"wandb_version": 1} | given))
    said = {"WANDB_SWEEP_ID": "sw33p1d0", "WANDB_RUN_ID": "a1b2c3d4", "WANDB_SWEEP_PARAM_PATH": "given.yaml"}
    for name, value in said.items():
        monkeypatch.setenv(name, value)
    assert main([*words, "--curve-points=3", "--out=run"]) == 0
    written = Written(Path("run"))
    (started,) = written.runs
    assert (started.run_id, started.sweep_id) == ("a1b2c3d4", "sw33p1d0")
    assert Path("run/wandb-id").read_text() == "a1b2c3d4", "so that the run is resumed under this id"
    assert started.run_group == config["command"][3]
    assert written.config["model"] == given["model"]["value"], "what the sweep has set stays"
    assert written.config["method"] == given["model"]["value"]
    assert config["metric"]["name"] in written.summary


def test_a_comparison_ends_with_tables_of_numbers_and_its_figures_in_the_group_of_its_runs(tmp_path):
    out = tmp_path / "grid"
    for seed in range(2):
        write_run(out, "one", "zerograds", seed, 1e-6 * (seed + 1))
        write_run(out, "one", "es", seed, 0.02)
    write_run(out, "one", "es", 2, None, stop_reason="error", error="gone")
    imageio.imwrite(out / "runs" / "one" / "es" / "seed0" / "render.png", np.full((8, 8, 3), 99, np.uint8))
    assert main(["report", str(out)]) == 0
    wandb_summary.summarise(out, "offline")
    written = Written(out)
    (started,) = written.runs
    assert (started.display_name, started.run_group, started.job_type) == ("grid-summary", "grid", "summary")
    tables = {}
    for name in ("summary", "runs"):
        (path,) = out.glob(f"wandb/offline-run-*/files/media/table/{name}_*.json")
        table = json.loads(path.read_text())
        tables[name] = [dict(zip(table["columns"], line, strict=True)) for line in table["data"]]
    medians = {line["method"]: line["final_median"] for line in tables["summary"] if line["task"]}
    assert medians == {"zerograds": pytest.approx(1.5e-6), "es": 0.02}
    assert [(line["method"], line["seed"], line["final_loss"]) for line in tables["runs"]][:3] == [
        ("es", 0, 0.02),
        ("es", 1, 0.02),
        ("es", 2, None),
    ]
    assert [line["method"] for line in tables["runs"] if line["picture"]] == ["es"]
    assert {"curves.count", "gains.count", "images.count"} <= set().union(*written.rows)


def test_the_page_on_tracking_makes_a_view_with_the_settings_of_its_table():
    text = (CONFIGS.parent / "docs" / "tracking.md").read_text()
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    made, last = block.rsplit("\n", 2)[0], block.splitlines()[-1]
    assert last == "print(view.save().url)", "which alone needs the server"
    names: dict[str, Any] = {}
    exec(made, names)
    section = json.loads(names["view"]._to_model().model_dump_json(by_alias=True))["spec"]["section"]
    assert section["settings"]["xAxis"] == "renders"
    assert section["settings"]["smoothingType"] == "none"
    (shown,) = section["runSets"]
    assert [part["key"]["name"] for part in shown["filters"]["filters"]] == ["group", "jobType", "tags"]
    assert [part["name"] for part in shown["grouping"]] == ["method.value"]
    loss = section["panelBankConfig"]["sections"][0]["panels"][0]["config"]
    wanted = {"xAxis": "renders", "metrics": ["loss"], "xLogScale": True, "yLogScale": True, "groupAgg": "median"}
    assert {name: loss[name] for name in wanted} == wanted


def test_what_is_written_beside_a_run_of_a_comparison_does_not_make_it_another_run():
    config = {key: {"class_path": path} for key, path in (("data", "tasks.toy.Toy"), ("model", "baselines.es.ES"))}
    assert key_of(config) == key_of(config | {"tensorboard": True})
    assert compare_options("--tasks toy --methods es --out x --tensorboard".split()).tensorboard


def test_parameters_are_named_one_by_one_unless_there_are_too_many():
    start = {"size": torch.tensor(0.5), "colour": np.array([1.0, 2.0]), "wood": "oak"}
    result = {"size": torch.tensor(0.75), "colour": np.array([3.0, 4.0]), "wood": "ash"}
    assert parameter_lines(start, result) == [
        ["size", 0.5, 0.75],
        ["colour[0]", 1.0, 3.0],
        ["colour[1]", 2.0, 4.0],
        ["wood", "oak", "ash"],
    ]
    assert parameter_lines({"x": torch.zeros(201)}, {"x": torch.zeros(201)}) == []
