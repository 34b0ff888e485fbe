"""Batches in parts on several devices, and everything on a GPU where there is one."""

import threading

import pytest
import torch

import zg
from tests.methods import CASES, NEED_A_REFERENCE, find, looped, make
from tests.problems import Noisy, Quadratic
from zg.budget import Budget
from zg.cli.main import main
from zg.errors import SettingError
from zg.objective import Objective
from zg.run.run import run
from zg.workers.devices import parse_devices
from zg.zerograds.method import ZeroGrads

on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
TWO = ["cpu", "cpu"]


class Stripes(zg.Task):
    """Pictures of 12 parameters, with noise of the seeds. raises: a render of x₀ above it raises an exception."""

    noisy = True

    def __init__(self, raises: float = 9e9) -> None:
        super().__init__()
        self.raises = raises
        self.meeting: list[threading.Barrier] = []  # where all parts of a batch wait for each other

    def build(self) -> None:
        self.space = zg.ParameterSpace(x=zg.Block(torch.full((12,), 0.2), low=0, high=1))
        self.columns = torch.linspace(0, 3, 16, device=self.device)
        self.set_reference(self.render(torch.full((1, 12), 0.6, device=self.device), torch.zeros(1))[0])

    def render(self, x, *seeds):
        for barrier in self.meeting:
            barrier.wait(10)
        if (x[:, 0] > self.raises).any():
            raise ValueError("too bright")
        if (x[:, 1] > self.raises).any():
            self.last_error = "too dark"
            return torch.full((len(x), 1, 12, 16), torch.nan, device=x.device)
        noise = 1e-3 * (seeds[0] % 7).to(x)[:, None, None, None]
        return ((x[:, None, :, None] * self.columns).sin() + noise).float()


def found(devices, max_renders=60, **settings):
    return run(Stripes(), ZeroGrads(), Budget(max_renders), seed=1, devices=devices, **settings)


def test_a_run_on_several_devices_ends_on_the_bits_of_one(tmp_path):
    alone, in_parts = found(None), found(TWO)
    assert torch.equal(alone.theta, in_parts.theta) and alone.loss == in_parts.loss
    in_folder = found("cpu, cpu, cpu", folder=tmp_path / "run")
    assert torch.equal(alone.theta, in_folder.theta)
    assert not [one for one in threading.enumerate() if one.name.startswith("ThreadPool")], "threads end with the run"


def test_parts_of_a_batch_are_rendered_side_by_side_and_an_empty_part_is_not():
    task = Stripes()
    task.use_devices(["cpu"] * 3)
    objective = looped(ZeroGrads(), task, 50).objective
    for rows, parts in ((1, 1), (2, 2), (9, 3)):
        task.meeting[:] = [threading.Barrier(parts)]
        assert objective.evaluate(torch.rand(rows, 12).double(), 0).valid.all()
    task.close()


def test_an_exception_in_a_part_fails_only_its_render_and_the_reason_of_a_part_is_kept():
    task = Stripes(raises=0.7)
    task.use_devices(TWO)
    task.setup()
    objective = Objective(task, 20)
    theta = torch.full((4, 12), 0.2, dtype=torch.float64)
    theta[3, 0] = 0.9
    assert objective.evaluate(theta, 0).valid.tolist() == [True, True, True, False]
    assert objective.ledger.last_error == "ValueError: too bright"
    theta[3, :2] = torch.tensor([0.2, 0.9])
    assert objective.evaluate(theta, 1).valid.tolist() == [True, True, False, False]
    assert objective.ledger.last_error == "too dark"
    task.close()


class OneByOne(Quadratic):
    render = zg.Task.render

    def render_one(self, x, *seeds):
        return x.square().sum()


@pytest.mark.parametrize(
    ("task", "settings", "said"),
    [
        (Noisy, {"devices": "cuda:99"}, "devices must be of this machine, such as cpu or cuda:0, got 'cuda:99'"),
        (Noisy, {"devices": "gpu"}, "devices must be of this machine, such as cpu or cuda:0, got 'gpu'"),
        (Noisy, {"devices": []}, "devices must name a device, got []"),
        (Noisy, {"devices": TWO, "workers": 2}, "devices must be one device for Noisy, which renders one x at a time"),
        (OneByOne, {"devices": TWO}, "devices must be one device for OneByOne, which renders one x at a time"),
        (Noisy, {"devices": TWO, "trainer": {"accelerator": "cpu"}}, "trainer.accelerator must not be given with"),
    ],
)
def test_devices_that_do_not_suit_are_refused_in_one_line(task, settings, said):
    with pytest.raises(SettingError) as raised:
        run(task(), ZeroGrads(), Budget(20), **settings)
    assert said in str(raised.value) and "\n" not in str(raised.value)


def test_all_devices_are_the_gpus_or_else_the_cpu():
    count = torch.cuda.device_count()
    assert [str(one) for one in parse_devices("all")] == ([f"cuda:{k}" for k in range(count)] or ["cpu"])


def test_the_command_line_takes_devices_as_a_list_and_with_commas(capsys):
    for words in ("cpu,cpu", "[cpu, cpu]"):
        assert main(["fit", "--data", "texture16", "--devices", words, "--print-config"]) == 0
        assert "devices:" in capsys.readouterr().out


@on_gpu
@pytest.mark.parametrize("case", [case for case in CASES if case not in NEED_A_REFERENCE])
def test_every_method_runs_on_a_gpu_and_goes_on_from_a_checkpoint(case):
    def started():
        task = Stripes() if find(CASES[case][0]).feedback == "image" else Noisy(n=6)
        task.use_devices("cuda")
        return looped(make(case), task, 200)

    first, second = started(), started()
    while first.renders < 80 and not first.stop_reason():
        first.iterate()
    second.load_state(first.state())
    while not second.stop_reason():
        second.iterate()
    theta = second.method.recommend()
    assert theta.device.type == "cuda" and theta.isfinite().all()
    assert second.renders <= 200 and second.ledger.failed == 0


@on_gpu
def test_a_run_on_a_gpu_and_a_cpu_ends_near_that_of_a_cpu():
    alone, in_parts = found(None, 200), found(["cuda", "cpu"], 200)
    assert (alone.theta - in_parts.theta).abs().max() < 0.05
    every = found("all", 200)
    assert (alone.theta - every.theta).abs().max() < 0.05


@on_gpu
def test_a_run_folder_is_made_on_a_gpu(tmp_path):
    common = ["fit", "--data", "texture", "--data.size", "16", "--wandb", "disabled", "--out", str(tmp_path / "run")]
    assert main([*common, "--devices", "cuda", "--max-renders", "300"]) == 0
    assert main([*common, "--max-renders", "600", "--resume"]) == 0
    assert (tmp_path / "run" / "result.png").is_file()


@on_gpu
@pytest.mark.parametrize("estimator", ["sampled", "surrogate", "jacobian"])
def test_a_layer_trains_on_a_gpu(estimator):
    layer = zg.Layer(lambda x: x.sin(), estimator=estimator, sigma=0.1, pairs=2).cuda()
    x = torch.linspace(-1, 1, 12, device="cuda").reshape(4, 3).requires_grad_()
    images = layer(x)
    images.sum().backward()
    assert images.device.type == x.grad.device.type == "cuda"
    assert (x.grad - x.detach().cos()).abs().mean() < 0.5
