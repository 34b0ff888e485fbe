"""How much the surrogate's gradient g varies while θ stands still, with memory and without: the paper's hysteresis.

    variance = mean |g − mean g|² / |mean g|²        bias = 1 − cos(mean g, ∇L)

over the later iterations of a run, with the gradient of h at θ₀ read after every iteration. The learning rate STILL
holds θ in place. Both numbers are independent of the network's scale. ∇L is the gradient at θ₀ of the loss that h is
fitted to, smoothed as in the run, from many renders.

Without memory h starts again from fresh weights in every iteration. With the few steps of an iteration it then has
about the gradient of random weights; the control trains it as long as the memory has trained when the reading begins.
"""

from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any

from baselines.compare.grid import PUBLISHED
from baselines.compare.names import OURS_PUBLISHED
from baselines.compare.rows import Row
from paper.plan import Preset, Variant, compose_run, setting_of
from paper.probes import Probe, start_loop
from zg.config.compose import Config

if TYPE_CHECKING:
    from torch import Tensor

    from zg.objective import Objective

# The forms of memory. The last one is the control.
MEMORY = WITH, WITHOUT, CONTROL = "with memory", "without memory", "without memory, trained"
# The learning rate of θ.
STILL = 1e-12
# The share of the iterations after which the gradient is read. Until then the surrogate learns.
WARM_UP = 0.5
# ∇L is smoothed as in the run, or where that is not smoothed by this share of σ.
NARROW = 0.1
# The least number of pairs of renders for ∇L, the number of a batch, and the largest n for which ∇L is measured.
PAIRS, BATCH, MOST_N = 2048, 128, 4096


def variance_probes(preset: Preset, tasks: Sequence[str], out: Path) -> list[Probe]:
    """A probe for each task, seed and form of memory."""
    found = []
    iterations = preset.variance["iterations"]
    for task, seed, label in product(tasks, range(preset.variance["seeds"]), MEMORY):
        variant = Variant(OURS_PUBLISHED, put={"memory": label == WITH, "lr_theta": STILL})
        config, _ = compose_run(task, variant, seed, {"max_renders": 10**9}, "paper")
        if label == CONTROL:
            steps = setting_of(config["model"], "k_phi") * iterations * WARM_UP
            config["model"]["init_args"]["k_phi"] = max(1, round(steps))
        path = out / "probes" / "variance" / f"{task}-{label.replace(' ', '_')}-{seed}.json"
        about = {"task": task, "seed": seed, "memory": label, "published": (PUBLISHED / f"{task}.yaml").is_file()}
        found.append(Probe(about, path, measure_variance, (config, iterations)))
    return found


def measure_variance(config: Config, iterations: int, beat: Callable[[int, int], None]) -> Row:
    """Relative variance and bias of the surrogate's gradient at the start θ₀ of the task."""
    import torch

    loop = start_loop(config)
    method: Any = loop.method  # it has a surrogate
    warm = round(WARM_UP * iterations)
    for i in range(warm if method.settings.memory else 0):  # fresh weights have nothing to warm up
        loop.iterate()
        beat(i, iterations)
    gradients = []
    for i in range(warm, iterations):
        loop.iterate()
        gradients.append(method.surrogate_gradient(loop.objective.start))
        beat(i, iterations)
    found = torch.stack(gradients)
    mean = found.mean(0)
    spread = (found - mean).square().sum(1).mean()
    width = max(method.settings.inner_sigma, NARROW) * method.settings.sigma / method.space.scale
    truth = loss_gradient(loop.objective, width, beat) if len(mean) <= MOST_N else None
    loop.objective.task.close()
    cosine = None if truth is None else torch.nn.functional.cosine_similarity(mean.to(truth), truth, dim=0)
    return {
        "variance": float(spread / mean.square().sum()),
        "bias": None if cosine is None else 1 - float(cosine),
        "iterations": iterations,
        "n": len(mean),
        "k_phi": method.settings.k_phi,
    }


def loss_gradient(objective: "Objective", width: "Tensor", beat: Callable[[int, int], None]) -> "Tensor":
    """The gradient [n] at the start of the loss that is smoothed by a Gaussian of this width [n] (scaled units).

        ∇L = mean over z of z (L(θ₀ + width z) − L(θ₀ − width z)) / (2 width)

    The z of a block of n are orthogonal, with the lengths of Gaussian vectors: a linear loss costs n pairs, not more.
    """
    import torch

    n = len(objective.start)
    generator = torch.Generator().manual_seed(0)
    blocks = max(1, -(-PAIRS // n))
    total = torch.zeros(n, dtype=torch.double)
    for block in range(blocks):
        turned = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.double)).Q
        z = turned * torch.randn(n, n, generator=generator, dtype=torch.double).norm(dim=1, keepdim=True)
        for part in z.split(BATCH):
            step = (width * part).to(objective.start)
            above, below = (objective.evaluate(objective.start + sign * step, 0).losses.double() for sign in (1, -1))
            total += ((above - below)[:, None] / 2 * part).sum(0)
        beat(block, blocks)
    return total / (blocks * n * width.double())
