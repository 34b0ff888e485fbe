# %% [markdown]
# # A game engine, through files
#
# A game engine runs its own loop and opens no socket for us. It looks into a folder, renders the parameters that it
# finds there, and puts a picture beside them. Here a small Python program is the engine; in Godot or Unity the same
# loop is ten lines of a script.

# %%
import json
import subprocess
import sys
import time
from pathlib import Path

from PIL import Image

import zg

Path("engine.py").write_text("""
import json, os, time
from pathlib import Path
import numpy as np
from PIL import Image

v, u = np.mgrid[:90, :160] / 90.0
while not Path("stop").exists():                       # the engine's own loop, a frame each time
    order = Path("order.json")
    if not order.exists():
        time.sleep(0.001)
        continue
    x = json.loads(order.read_text())
    order.unlink()
    picture = np.stack([0.95 - 0.5 * v, 0.75 - 0.3 * v, 0.55 + 0.2 * v], -1)  # the evening sky
    sun = (u - x["sun"]) ** 2 + (v - x["height"]) ** 2
    picture += 0.8 * np.exp(-sun / 0.03)[..., None] * [1.0, 0.8, 0.3]
    for k in range(5):                                 # hills in the mist
        ridge = 0.45 + 0.1 * k + 0.06 * np.sin(4 * u * (1 + 0.4 * k) + 2 * k) + 0.02 * np.sin(17 * u + k)
        clear = np.exp(-x["mist"] * (5 - k))
        hill = clear * np.array([0.1, 0.15, 0.2]) + (1 - clear) * picture
        picture = np.where((v > ridge)[..., None], hill, picture)
    Image.fromarray((255 * picture.clip(0, 1)).astype(np.uint8)).save("new.png")
    os.replace("new.png", "frame.png")                 # whole, or not there
""")
engine = subprocess.Popen([sys.executable, "engine.py"])

# %% [markdown]
# A file is written under another name and then renamed, so that neither side ever reads half of it. A frame that does
# not come within ten seconds is a failed render: `None`.

# %%


def render(sun, height, mist):
    Path("frame.png").unlink(missing_ok=True)
    order = {"sun": float(sun), "height": float(height), "mist": float(mist)}
    Path("new.json").write_text(json.dumps(order))
    Path("new.json").rename("order.json")
    late = time.monotonic() + 10
    while not Path("frame.png").exists():
        if time.monotonic() > late or engine.poll() is not None:
            return None
        time.sleep(0.001)
    with Image.open("frame.png") as frame:
        return frame.convert("RGB")


concept = render(sun=1.2, height=0.3, mist=0.35)
bounds = {"sun": (0, 1.78), "height": (0, 0.6), "mist": (0.02, 1)}
result = zg.optimize(render, bounds=bounds, reference=concept, max_renders=150)
Path("stop").touch()
engine.wait()
result.show()

# %%
print({name: round(float(found), 3) for name, found in result.params.items()})

# %% [markdown]
# The concept has its sun at 1.2, 0.3 and mist 0.35. Several engines at once, each in a folder of its own, are
# [processes](../functions.md#several-calls-at-once).
