# %% [markdown]
# # Reading W&B
#
# Two methods are run with Weights & Biases, offline; then their curves are read. Offline needs no account and no
# network: `wandb sync` uploads later.

# %%
import json
from pathlib import Path

import matplotlib.pyplot as plt
import pandas as pd

from baselines.es import ES
from tasks.toy import Toy
from zg.budget import Budget
from zg.run.run import run
from zg.zerograds.method import ZeroGrads

methods = {"zerograds": ZeroGrads(), "es": ES()}
for name, method in methods.items():
    settings = {"wandb": "offline", "group": "mine", "video": False, "curve_points": 20}
    result = run(Toy(), method, Budget(200), folder=Path(name), **settings)
    print(f"{name}: loss {result.row['init_loss']:.3g} -> {result.loss:.3g}")

# %% [markdown]
# On the command line that is `zg fit --data toy --model es --wandb offline --group mine`. A run folder holds what W&B
# gets, and its id, under which a resumed run goes on:

# %%
for name in methods:
    (written,) = Path(name).glob("wandb/offline-run-*/*.wandb")
    size = written.stat().st_size / 1000
    print(f"{name:10} id {Path(name, 'wandb-id').read_text()}, {size:.0f} kB in {written.name}")

# %% [markdown]
# `history.csv` and `row.json` have the same numbers as the run in W&B, so that curves need no account:

# %%
plt.figure(figsize=(6, 3))
for name in methods:
    history = pd.read_csv(f"{name}/history.csv").dropna(subset="loss")
    plt.loglog(history["renders"] + 1, history["loss"].clip(lower=1e-16), label=name)
plt.xlabel("renders + 1")
plt.ylabel("loss, at least 1e-16")
plt.legend()
plt.show()
rows = pd.DataFrame({name: json.loads(Path(name, "row.json").read_text()) for name in methods})
rows.loc[["init_loss", "final_loss", "renders", "stop_reason"]].map(
    lambda one: one if isinstance(one, str) else f"{one:.3g}"
)

# %% [markdown]
# After `wandb login` and `wandb sync zerograds/wandb/offline-run-* es/wandb/offline-run-*` the same comes from the
# server:
#
# ```python
# import wandb
#
# for run in wandb.Api().runs("ENTITY/zerograds", {"group": "mine"}):
#     curve = run.history(keys=["renders", "loss"], pandas=True)  # a DataFrame
#     print(run.name, run.config["method"], run.summary["final_loss"], len(curve))
# ```
#
# Names, groups, tags and the settings of a saved view: [tracking](../tracking.md).
