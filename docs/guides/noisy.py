# %% [markdown]
# # Noisy renderers
#
# A Monte Carlo renderer gives another picture each time. This one shades a ball by two random points of a lamp; the
# lamp's place and size are to be found. The default measures the noise and does not chase it; but the loss has to be
# one whose mean is lowest at the solution.

# %%
import matplotlib.pyplot as plt
import numpy as np

import zg

draws = np.random.default_rng(0)
v, u = (np.mgrid[:48, :64] - [[[23.5]], [[31.5]]]) / 24
ball = np.clip(0.49 - u**2 - v**2, 0, None)
normal = np.stack([u, -v, np.sqrt(ball)], -1) / 0.7


def render(x, samples=2):  # x: azimuth and height of the lamp, and its size
    total = 0
    for _ in range(samples):
        spread = x[2] * draws.normal(size=(2, 48, 64))
        a, h = x[0] + spread[0], x[1] + spread[1]
        light = np.stack([np.cos(h) * np.sin(a), np.sin(h), np.cos(h) * np.cos(a)], -1)
        total = total + np.clip((normal * light).sum(-1), 0, None)
    return np.where(ball > 0, 0.05 + 0.9 * total / samples, 0.02).clip(0, 1)


truth = np.array([0.7, 0.6, 0.3])
reference = render(truth, samples=256)
task = {"x0": np.array([-0.5, 0.0, 0.1]), "bounds": [(-1.5, 1.5), (-1, 1), (0, 0.8)], "max_renders": 400}
squared = zg.optimize(render, reference=reference, feedback="loss", **task)
print("by mean squared error:", squared.x.round(2), "for", truth)

# %% [markdown]
# The place is right, and the size is wrong: the mean of a squared error is the error of the mean picture **plus the
# variance** of a pixel, and a lamp without size has no noise. Two independent renders a and b have no such term: (a −
# reference)(b − reference) is, on average, the squared error of the mean picture. A single value may be below 0.


# %%
def product(x):
    return float(((render(x, 1) - reference) * (render(x, 1) - reference)).mean())


result = zg.minimize(product, **task)
print("by two renders:", result.x.round(2), "for", truth)

# %%
shown = {"one render": render(truth), "reference": reference}
shown |= {"squared error": render(squared.x, 256), "two renders": render(result.x, 256)}
figure, axes = plt.subplots(1, 4, figsize=(8, 1.8))
for one, (name, picture) in zip(axes, shown.items(), strict=True):
    one.imshow(picture, cmap="gray", vmin=0, vmax=1)
    one.set_title(name, fontsize=9)
    one.set_axis_off()
plt.show()

# %% [markdown]
# The lowest loss that a run has seen is a lucky one, so `result.loss` is measured again. Some more renders of the
# result say how large the noise is, and whether anything is left above it:

# %%
print(f"measured again {result.loss:.5f}, lowest of the run {result.row['best_loss']:.5f}")
print(result.explain(renders=40))
