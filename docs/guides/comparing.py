# %% [markdown]
# # Comparing methods
#
# Which method for this renderer? Each gets the same start, budget and seeds, and is judged by the loss of what it
# recommends, rendered again; never by the lowest loss that it happened to see.

# %%
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd

import zg

v, u = np.mgrid[-1:1:24j, -1:1:24j]


def render(x):  # six parameters: place, size, turn, stretch and brightness of a spot
    c, s = np.cos(x[3]), np.sin(x[3])
    a, b = c * (u - x[0]) + s * (v - x[1]), c * (v - x[1]) - s * (u - x[0])
    return x[5] * np.exp(-((a * x[4]) ** 2 + b**2) / x[2] ** 2)


solution = np.array([0.3, -0.2, 0.35, 0.6, 2.0, 0.9])
problem = {
    "x0": np.array([-0.1, 0.1, 0.5, 0.0, 1.3, 0.6]),
    "bounds": [(-1, 1), (-1, 1), (0.1, 1), (-1.5, 1.5), (1, 3), (0.1, 1)],
    "reference": render(solution),
}
rows, curves = [], {}
for method in ("zerograds-image", "zerograds", "cmaes", "snes", "random_search"):
    for seed in range(3):
        settings = {"method": method, "seed": seed, "max_renders": 200, "curve_points": 15}
        result = zg.optimize(render, **problem, **settings)
        rows.append({"method": method, "told": result.row["feedback"], "loss": result.loss})
        curve = result.history.dropna(subset="loss")
        logarithms = np.log10(curve["loss"].clip(lower=1e-30))
        curves.setdefault(method, []).append(np.interp(range(201), curve["renders"], logarithms))
groups = pd.DataFrame(rows).groupby(["method", "told"])["loss"]
table = groups.agg(["min", "median", "max"]).sort_values("median").map("{:.1e}".format)
table.reset_index().set_index("method").rename_axis(None)

# %%
plt.figure(figsize=(6, 3.5))
for method, found in curves.items():
    plt.plot(10 ** np.median(found, axis=0), label=method)
plt.yscale("log")
plt.xlabel("renders")
plt.ylabel("loss, median of three seeds")
plt.legend()
plt.show()

# %% [markdown]
# Two groups must not be mixed up: methods that are told the picture, and methods that are told a number. Three seeds
# and one problem are an impression. `zg compare` runs the grid in processes of their own, resumes, and reports with
# tests:
#
#     zg compare --tasks texture16,toy --methods zerograds,es --seeds 5 --out runs/grid
#
# [Comparisons](../comparisons.md) says how it judges, and [results](../results/index.md) what it found.
