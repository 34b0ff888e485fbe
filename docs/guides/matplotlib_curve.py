# %% [markdown]
# # Numbers off a plot, with Matplotlib
#
# A paper shows a damped oscillation as a figure, and no numbers. Here the same figure is drawn until it looks like the
# printed one; the loss compares pixels at several resolutions, so that a curve that lies beside the printed one still
# tells where to go.

# %%
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

import zg

time = np.linspace(0, 10, 200)
figure = Figure(figsize=(3.2, 2), dpi=50)
canvas = FigureCanvasAgg(figure)  # draws into memory, without a window
axes = figure.add_subplot(ylim=(-1.6, 1.6), xlim=(0, 10))
(line,) = axes.plot(time, 0 * time, linewidth=4)


def draw(amplitude, decay, frequency):
    line.set_ydata(amplitude * np.exp(-decay * time) * np.cos(2 * np.pi * frequency * time))
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3]


printed = draw(amplitude=1.3, decay=0.25, frequency=0.4)
result = zg.optimize(
    draw,
    x0={"amplitude": 0.8, "decay": 0.1, "frequency": 0.34},
    bounds={"amplitude": (0.1, 1.5), "decay": (0, 1), "frequency": (0.1, 1)},
    reference=printed,
    loss="multiscale",
    max_renders=160,
    curve_points=20,
)
result.show()

# %%
print({name: round(float(found), 3) for name, found in result.params.items()})
result.plot()

# %% [markdown]
# The printed curve has amplitude 1.3, decay 0.25 and frequency 0.4. A start that is off by a whole period would end in
# another minimum, as with any method that looks around its start; a larger `sigma` or several starts help there.
