# %% [markdown]
# # Your own function
#
# A renderer is a function from parameters to a picture. Ten lines are enough to find the parameters of a picture,
# though the function has no derivatives: its disc has hard edges.

# %%
import numpy as np

import zg

rows, columns = np.mgrid[:64, :64]


def render(x):  # x: row, column and radius of a disc
    return ((rows - x[0]) ** 2 + (columns - x[1]) ** 2 < x[2] ** 2).astype(float)


picture = render([40, 24, 12])
result = zg.optimize(render, x0=[28, 34, 8], bounds=(0, 64), reference=picture, max_renders=200)
result

# %% [markdown]
# `result.params` has the parameters as they were given, `result.image` the render, and `result.explain()` says how sure
# each parameter is. An edge that jumps from pixel to pixel leaves a little room around the disc: several discs cover
# the same pixels.

# %%
print(result.x.round(2))
print(result.explain())

# %% [markdown]
# The other settings of the call are in [functions](../functions.md).
