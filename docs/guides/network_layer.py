# %% [markdown]
# # A layer in a network
#
# A network looks at a picture and says the parameters of the renderer that drew it. The renderer has no derivatives; as
# a layer it hands the network an estimate of its gradient, from a few renders and a surrogate that learns along the
# way.

# %%
import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

import zg

torch.manual_seed(0)
v, u = (np.mgrid[:16, :16] + 0.5) / 16


def render(x):  # x: place and radius of a disc with hard edges
    return ((u - x[0]) ** 2 + (v - x[1]) ** 2 < x[2] ** 2).astype(float)


truth = np.random.default_rng(0).uniform([0.3, 0.3, 0.15], [0.7, 0.7, 0.3], size=(40, 3))
photos = torch.from_numpy(np.stack([render(x) for x in truth])).float()  # [40, 16, 16]
space = zg.ParameterSpace(x=zg.Block([0.5, 0.5, 0.25], low=[0, 0, 0.1], high=[1, 1, 0.5], scale=1.0))
layer = zg.Layer(render, space=space, max_renders=40_000)
encoder = nn.Sequential(nn.Flatten(), nn.Linear(256, 64), nn.SiLU(), nn.Linear(64, 3))
adam = torch.optim.Adam(encoder.parameters(), lr=3e-3)
losses = []
for _ in range(220):
    batch = photos[torch.randint(32, (8,))]  # the last eight are kept for the end
    images = layer(space.init.float() + 0.3 * torch.tanh(encoder(batch)))  # [8, 1, 16, 16]
    loss = (images[:, 0] - batch)[layer.valid].square().mean()
    adam.zero_grad()
    loss.backward()
    adam.step()
    losses.append(loss.item())

# %% [markdown]
# Pictures that the network has never seen, above; below, what the renderer draws of its answers:

# %%
with torch.no_grad():
    x = space.init.float() + 0.3 * torch.tanh(encoder(photos[32:]))
    answers = [render(one.numpy()) for one in x]
figure, axes = plt.subplots(2, 8, figsize=(8, 2))
for k in range(8):
    axes[0, k].imshow(photos[32 + k], cmap="gray")
    axes[1, k].imshow(answers[k], cmap="gray")
for one in axes.flat:
    one.set_axis_off()

# %%
plt.figure(figsize=(6, 2.5))
plt.semilogy(losses, linewidth=0.8)
plt.xlabel("step")
plt.ylabel("loss of a batch")
plt.show()
print(f"{layer.status()['renders']:,.0f} renders")
print(f"unseen discs: parameters off by {(x - truth[32:]).abs().mean():.3f}, in pictures that are 1 wide")

# %% [markdown]
# What backward does, its costs and its settings: [a black box as a layer](../layer.md).
