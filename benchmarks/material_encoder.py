"""The material encoder by each of its gradients, on equal renders, and each photo on its own.

    python -m benchmarks.material_encoder [--variants surrogate …] [--seeds 0 1 2] [--max-renders N] [--table]

The settings are those of configs/material_encoder.yaml, but for those of the variant. `mitsuba` is differentiated by
Mitsuba itself, and needs a variant with derivatives; `labels` learns from the true parameters, which nobody has of a
photo; `labels_all` names all eleven numbers of the material, with four times as many rows: what a photo tells. A render
is a row of the forward or of the backward step; `mitsuba` and `labels` have none in the backward step, so they make
more steps.

each_photo_K optimises K renders for each of some unseen photos by `zg.optimize`, from the middle of the space. With the
2,000 photos of the training set, the encoder's 10,000 renders are 5 for each of them.

A row of the file is one run: the mean error of each parameter on unseen photos, relative to that of guessing the mean.
`--table` makes the means over seeds from the rows alone.
"""

from pathlib import Path
from statistics import mean
from time import process_time
from typing import Any

import torch

import zg
from benchmarks.rows import groups, train_variants
from tasks.balls import Balls
from tasks.brdf import HIDDEN
from tasks.material_encoder import MaterialEncoder
from zg.config.compose import compose, read_yaml
from zg.config.registry import CONFIGS
from zg.run.provenance import machine, revision

CONFIG = read_yaml(CONFIGS / "material_encoder.yaml")
ROWS = Path(__file__).parents[1] / "results" / "material_encoder.csv"
LABELS = ("variant", "seed", "max_renders", "photos", "renders", "steps")
#: Columns of the table; the other parameters, which no photo shows, have one column together.
SHOWN = 4
COLUMNS = (*LABELS, *HIDDEN, "photo", "cpu_seconds", "mitsuba", "revision", "machine")
# Photos that are optimised one by one, and the prefix of such variants.
SOME, EACH = 40, "each_photo_"
#: The settings of each variant.
VARIANTS: dict[str, dict[str, Any]] = {
    "surrogate": {},
    "mitsuba": {"gradient": "mitsuba"},
    "sampled": {"gradient": "sampled", "options": None},
    "labels": {"gradient": "labels"},
    "surrogate_anisotropic": {"named": ["base_color", "roughness", "metallic", "anisotropic"]},
    "labels_all": {"gradient": "labels", "named": list(HIDDEN)},
    **{f"{EACH}{renders}": {} for renders in (5, 50)},
}


def measure(variant: str, seed: int, max_renders: int) -> dict[str, Any]:
    """Train one variant, or optimise each photo, and return the row."""
    settings = compose(CONFIG)["training"]["init_args"]
    model = MaterialEncoder(**{**settings, **VARIANTS[variant]})
    model.start(seed, 4 * max_renders if variant == "labels_all" else max_renders)
    start = process_time()
    if variant.startswith(EACH):
        each = int(variant.removeprefix(EACH))
        found, counts = (
            optimise(model, each, seed),
            {"max_renders": SOME * each, "photos": SOME, "renders": SOME * each},
        )
    else:
        while model.has_budget:
            model.advance()
        found = model.measure()
        counts = {"max_renders": model.max_renders, "photos": model.counts[0]}
        counts |= {"renders": 0 if model.gradient == "labels" else model.renders, "steps": model.steps}
    measured = {name.removesuffix("_error"): f"{value:.4g}" for name, value in found.items()}
    about = {"mitsuba": model.balls.scene.variant, "revision": revision(), "machine": machine()}
    seconds = f"{process_time() - start:.0f}"
    return {"variant": variant, "seed": seed, **counts, **measured, "cpu_seconds": seconds, **about}


def optimise(model: MaterialEncoder, renders: int, seed: int) -> dict[str, float]:
    """The errors of unseen photos that are optimised one by one."""
    ball = Balls(*model.camera, together=1)
    materials, photos = (part[:SOME] for part in model.unseen)
    found = []
    for photo in photos:
        result = zg.optimize(
            lambda **material: ball(**{name: torch.as_tensor(value)[None] for name, value in material.items()})[0],
            space=model.space,
            reference=photo,
            max_renders=renders,
            seed=seed,
            linear=True,  # so that values over 1 are not warned of
            curve_points=0,
        )
        found.append(model.space.to_scaled(result.theta))
    return model.errors(torch.stack(found).float(), materials, photos)


def table(path: Path) -> str:
    """Means over seeds as a Markdown table; errors are relative to those of guessing the mean."""
    by_variant = groups(path)
    names = [name for name in HIDDEN if any(row[name] for found in by_variant.values() for row in found)]
    shown, others = names[:SHOWN], names[SHOWN:]
    lines = [
        f"| variant | seeds | renders | steps | {' | '.join(shown)} | others | photo | CPU s |",
        "|" + "---|" * (7 + len(shown)),
    ]
    order = list(VARIANTS)
    for (_, variant), found in sorted(by_variant.items(), key=lambda item: (order.index(item[0][1]), item[0][0])):
        errors = {name: mean(float(row[name]) for row in found) for name in names if found[0][name]}
        cells = [f"{errors[name]:.2f}" if name in errors else "" for name in shown]
        unseen = [errors[name] for name in others if name in errors]
        cells.append(f"{min(unseen):.2f} … {max(unseen):.2f}" if unseen else "")
        photo, seconds = (mean(float(row[name]) for row in found) for name in ("photo", "cpu_seconds"))
        counts = [f"{int(found[0][name]):,}" if found[0][name] else "" for name in ("renders", "steps")]
        cells = [variant, str(len(found)), *counts, *cells, f"{1e4 * photo:.1f}e-4", f"{seconds:.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    train_variants(__doc__, list(VARIANTS), CONFIG["max_renders"], measure, table, COLUMNS, ROWS)
