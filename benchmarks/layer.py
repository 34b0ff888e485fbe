"""The gradient of a layer against the truth, for each estimator and number of renders a row.

    python -m benchmarks.layer [--estimators sampled …] [--n 6 60] [--steps 1000] [--out results/layer.csv] [--table]

Renderers of `tests.zg.layer.renderers`: a smooth image, and hard edges in n coordinates. Truth: the derivative of the
image convolved with a Gaussian of width σ; for hard edges in closed form, for the smooth image the mean of 1,000 exact
derivatives. Every step draws new rows, so the rows that are measured were never seen before.

cosine: mean over 64 rows, of single estimates. bias: |mean of 40 estimates − truth| / |truth| over all rows, less what
is expected of its noise. Estimators with memory are measured after `steps` backward steps of 32 rows each. Rows of the
table are appended to the file.
"""

import argparse
import copy
import csv
from collections.abc import Callable, Iterator, Sequence
from itertools import product
from pathlib import Path
from time import process_time
from typing import Any, cast, get_args

import torch
from torch import Tensor

import zg
from benchmarks.rows import append
from tests.zg.layer.renderers import PIXELS, hard, hard_smoothed, smooth, vector_jacobian
from zg.layer.module import Name
from zg.layer.surrogate import Surrogate
from zg.run.provenance import machine, revision

ROWS = Path(__file__).parents[1] / "results" / "layer.csv"
COLUMNS = (
    "renderer n estimator draws correction renders_a_row steps cosine bias share explained ms_a_step revision machine"
)
# The least bias that the table shows.
SHOWN_BIAS = 0.05
SIGMA, BATCH, MEASURED, REPEATS, TRUTH = 0.1, 32, 64, 40, 1000
RENDERERS: dict[str, Callable[[Tensor], Tensor]] = {"smooth": smooth, "hard": hard}


def batch(rows: int, n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Rows x [B, n] and upstream gradients v [B, D]."""
    generator = torch.Generator().manual_seed(seed)
    x = 0.5 * torch.randn(rows, n, generator=generator, dtype=torch.float64)
    return x.requires_grad_(), torch.randn(rows, PIXELS, generator=generator, dtype=torch.float64)


def truth(name: str, x: Tensor, v: Tensor) -> Tensor:
    """The smoothed derivative vᵀ ∂(I ∗ κ)/∂x [B, n]."""
    if name == "hard":
        return vector_jacobian(hard_smoothed(x, SIGMA), x, v)
    generator = torch.Generator().manual_seed(1)
    offsets = torch.randn(TRUTH, *x.shape, generator=generator, dtype=x.dtype)
    return torch.stack([vector_jacobian(smooth(x + SIGMA * one), x, v) for one in offsets]).mean(0)


def accuracy(layer: zg.Layer, x: Tensor, v: Tensor, wanted: Tensor) -> tuple[float, float]:
    """Cosine of single estimates, and bias."""
    found = []
    for repeat in range(REPEATS):
        one = copy.deepcopy(layer)  # it learns nothing from what it is measured on
        one.estimator.generator.manual_seed(repeat)
        found.append(one.gradient(x.detach(), v))
    estimates = torch.stack(found)
    off = (estimates.mean(0) - wanted).square().sum() - estimates.var(0).sum() / REPEATS
    return float(torch.cosine_similarity(estimates, wanted, dim=2).mean()), float(
        off.clamp_min(0).sqrt() / wanted.norm()
    )


def layers(name: str, n: int, steps: int, estimators: Sequence[Name]) -> Iterator[tuple[zg.Layer, dict[str, Any]]]:
    """Each layer, trained if it learns, with what stands in its row."""
    common: dict[str, Any] = {"batched": True, "tensors": True, "sigma": SIGMA}
    for pairs in (1, 5, 16) if "sampled" in estimators else ():
        for draws in ("gaussian", "orthogonal", "fr22"):
            layer = zg.Layer(RENDERERS[name], estimator="sampled", pairs=pairs, draws=draws, **common)
            yield layer, {"estimator": "sampled", "draws": draws, "renders_a_row": 2 * pairs}
    for estimator, pairs in product([name for name in estimators if name != "sampled"], (1, 5)):
        layer, start = zg.Layer(RENDERERS[name], estimator=estimator, pairs=pairs, **common), process_time()
        for step in range(steps):
            x, v = batch(BATCH, n, seed=step)
            vector_jacobian(layer(x), x, v)
        row = {"estimator": estimator, "draws": "orthogonal", "renders_a_row": 2 * pairs, "steps": steps}
        row["ms_a_step"] = f"{1e3 * (process_time() - start) / steps:.2f}"
        row |= {key: f"{layer.status()[key]:.3f}" for key in ("share", "explained")}
        for correction in (1.0, 0.2, 0.0):
            cast(Surrogate, layer.estimator).correction = correction
            yield layer, {**row, "correction": correction}


def measure(name: str, n: int, steps: int, estimators: Sequence[Name]) -> Iterator[dict[str, Any]]:
    """The rows of one renderer."""
    x, v = batch(MEASURED, n, seed=-1)
    wanted = truth(name, x, v)
    for layer, row in layers(name, n, steps, estimators):
        cosine, bias = accuracy(layer, x, v, wanted)
        measured = {"renderer": name, "n": n, "cosine": f"{cosine:.3f}", "bias": f"{bias:.3f}"}
        yield {**row, **measured, "revision": revision(), "machine": machine()}


def table(path: Path) -> str:
    """The rows of a file as a Markdown table: cosine, and bias where it is 0.05 or more."""
    found: dict[tuple[str, ...], dict[str, str]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            name = f"{row['estimator']}, {row['draws']}"
            if row["correction"]:
                name = f"{row['estimator']}, correction {float(row['correction']):g}, {int(row['steps']):,} steps"
            bias = f" ({float(row['bias']):.2f})" if float(row["bias"]) >= SHOWN_BIAS else ""
            cells = found.setdefault((name, row["renders_a_row"]), {})
            cells[f"{row['renderer']}, n = {row['n']}"] = f"{float(row['cosine']):.2f}{bias}"
    columns = sorted({column for cells in found.values() for column in cells}, key=lambda name: name.split(" = "))
    lines = [f"| estimator | renders a row | {' | '.join(columns)} |", "|" + "---|" * (2 + len(columns))]
    for (name, renders), cells in found.items():
        lines.append(f"| {name} | {renders} | {' | '.join(cells.get(column, '') for column in columns)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--estimators", nargs="+", choices=get_args(Name), default=get_args(Name))
    parser.add_argument("--n", type=int, nargs="+", default=(6, 60))
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--out", type=Path, default=ROWS)
    parser.add_argument("--table", action="store_true")
    options = parser.parse_args()
    if not options.table:
        cases = product(options.n, RENDERERS)
        rows = (row for n, name in cases for row in measure(name, n, options.steps, options.estimators))
        append(options.out, COLUMNS.split(), rows)
    print(table(options.out))


if __name__ == "__main__":
    main()
