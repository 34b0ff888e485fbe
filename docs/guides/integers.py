# %% [markdown]
# # Integers and categories
#
# How many petals, of which kind, at which angle? A space says that the first is a whole number, the second a choice
# without an order, and the others real; the renderer gets an `int` and a word.

# %%
import numpy as np

import zg

v, u = np.mgrid[-1:1:64j, -1:1:64j]
distance, around = np.hypot(u, v), np.arctan2(v, u)


def flower(petals, kind, angle, heart):
    wave = np.cos(petals * (around - angle))
    edge = {
        "round": 0.6 + 0.3 * wave,
        "pointed": 0.9 - 0.6 * np.abs(np.sin(petals * (around - angle) / 2)),
        "star": 0.3 + 0.6 * np.abs(wave),
    }[kind]
    inside = 1 / (1 + np.exp(30 * (distance - edge)))
    middle = 1 / (1 + np.exp(30 * (distance - heart)))
    green, pink, yellow = np.array([[0.1, 0.25, 0.15], [0.9, 0.35, 0.5], [0.95, 0.85, 0.2]])
    petal = middle[..., None] * yellow + (1 - middle)[..., None] * pink
    return inside[..., None] * petal + (1 - inside)[..., None] * green


reference = flower(7, "pointed", 0.3, 0.25)
space = {
    "petals": zg.Block(4, low=3, high=12, kind="integer"),
    "kind": zg.Block("round", choices=["round", "pointed", "star"]),
    "angle": zg.Block(0.0, low=-0.5, high=0.5),
    "heart": zg.Block(0.1, low=0.05, high=0.5),
}
results = [
    zg.optimize(flower, space=space, reference=reference, max_renders=700, curve_points=10, seed=seed)
    for seed in range(3)
]
for one in results:
    print(f"loss {one.loss:.1e}", {name: one.params[name] for name in ("petals", "kind")})

# %% [markdown]
# A count has minima of its own: a flower of six petals hides many of seven. Slopes do not lead from one to the other,
# so several seeds are tried, and the best result is kept.

# %%
result = min(results, key=lambda one: one.loss)
print(result.params)
result.show()

# %% [markdown]
# The reference has seven pointed petals at 0.3 rad, and a heart of 0.25. Where choices are many, `method="genetic"` is
# worth a try. Kinds and their details: [parameters](../parameters.md#with-a-space).
