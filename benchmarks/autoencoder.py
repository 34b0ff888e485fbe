"""The spline autoencoder by each of its gradients, on equal renders.

    python -m benchmarks.autoencoder [--variants surrogate …] [--seeds 0 1 2] [--max-renders N] [--table]

The settings are those of configs/spline_vae.yaml, but for those of the variant. `soft` draws with soft edges and is
differentiated, the upper bound; `sampled` and `spsa` have no surrogate; `surrogate_rendered` takes no steps on
predictions; `plain` is a decoder of pixels with the same hidden layers, which has no strokes and no renderer. A render
is a row of the forward or of the backward step; `soft` and `plain` have none in the backward step, so they make more
steps. A row of the file is one run: the squared error a pixel of held-out digits, drawn with hard edges, and the share
of them that a classifier reads. `--table` makes the means over seeds from the rows alone.
"""

from pathlib import Path
from statistics import mean
from time import process_time
from typing import Any

from benchmarks.rows import groups, train_variants
from tasks.spline_vae import SplineVAE
from zg.config.compose import compose, read_yaml
from zg.config.registry import CONFIGS
from zg.run.provenance import machine, revision

CONFIG = read_yaml(CONFIGS / "spline_vae.yaml")
ROWS = Path(__file__).parents[1] / "results" / "autoencoder.csv"
COLUMNS = (
    "variant seed max_renders renders steps parameters reconstruction readable readable_digits cpu_seconds "
    "revision machine"
).split()


#: The settings of each variant.
VARIANTS: dict[str, dict[str, Any]] = {
    "surrogate": {},
    "soft": {"gradient": "soft"},
    "sampled": {"gradient": "sampled", "options": None},
    "sampled_pairs": {"gradient": "sampled", "options": None, "pairs": None},
    "spsa": {"gradient": "spsa", "options": None},
    "surrogate_rendered": {"predicted": 0},
    "plain": {"gradient": "plain"},
}


def measure(variant: str, seed: int, max_renders: int) -> dict[str, Any]:
    """Train one variant, and return the row."""
    settings = compose(CONFIG)["training"]["init_args"]
    model, start = SplineVAE(**{**settings, **VARIANTS[variant]}), process_time()
    model.start(seed, max_renders)
    while model.has_budget:
        model.advance()
    seconds = process_time() - start
    found = {name: f"{value:.4f}" for name, value in model.measure().items()}
    counts = {"renders": model.renders, "steps": model.steps}
    counts["parameters"] = sum(weights.numel() for weights in model.parameters())
    labels = {"variant": variant, "seed": seed, "max_renders": max_renders}
    measured = {"cpu_seconds": f"{seconds:.0f}", "revision": revision(), "machine": machine()}
    return {**labels, **counts, **found, **measured}


def table(path: Path) -> str:
    """Means over seeds as a Markdown table. error ÷ bound: relative to `soft` at the same budget."""
    by_variant = groups(path)
    errors = {key: mean(float(row["reconstruction"]) for row in found) for key, found in by_variant.items()}
    lines = ["| renders | variant | seeds | steps | error | ÷ bound | read | CPU s |", "|" + "---|" * 8]
    for (renders, variant), found in sorted(by_variant.items(), key=lambda item: (item[0][0], errors[item[0]])):
        bound, error = errors.get((renders, "soft")), errors[renders, variant]
        read, seconds = (mean(float(row[name]) for row in found) for name in ("readable", "cpu_seconds"))
        shown = [
            f"{renders:,}",
            variant,
            len(found),
            f"{mean(int(row['steps']) for row in found):,.0f}",
            f"{error:.4f}",
        ]
        shown += [f"{error / bound:.2f}" if bound else "", f"{100 * read:.0f} %", f"{seconds:.0f}"]
        lines.append(f"| {' | '.join(map(str, shown))} |")
    return "\n".join(lines)


if __name__ == "__main__":
    train_variants(__doc__, list(VARIANTS), CONFIG["max_renders"], measure, table, COLUMNS, ROWS)
