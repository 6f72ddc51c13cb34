"""
Features, and fine-tuning on a CSV of yours
===========================================

From a table of SMILES to features, to a fitted model, and to a fine-tuned encoder.
"""

# %%
# Any table with a column of SMILES will do. This one holds molecules of the bundled data set and their gaps in eV.

import csv
from pathlib import Path
from tempfile import mkdtemp

import matplotlib.pyplot as plt
import torch
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch_geometric.loader import DataLoader

import molspectra as ms

table = Path(mkdtemp()) / "molecules.csv"
with table.open("w", newline="") as file:
    writer = csv.writer(file)
    writer.writerow(["smiles", "gap"])
    for molecule in ms.data.MiniSpectra("train")[::3]:
        writer.writerow([molecule.smiles, f"{molecule.gap.item():.3f}"])
print(table.read_text()[:120])

# %%
# Features of every row
# ---------------------
# `ms.embed` makes a conformer of each SMILES and pools the features of its atoms. The result has a row per molecule, in
# the order of the table. The encoder here has random weights; `ms.pretrained.load` gives trained ones.

torch.manual_seed(0)
encoder = ms.encoders.EquivariantTransformer(hidden_channels=64, num_layers=2)
features = ms.embed(encoder, table, smiles="smiles", pool="mean+sum")
features.shape

# %%
# A linear model
# --------------
# The embedding is also a transformer of scikit-learn. A ridge regression predicts each gap from folds without it.

with table.open() as file:
    rows = list(csv.DictReader(file))
smiles, gaps = [row["smiles"] for row in rows], [float(row["gap"]) for row in rows]
model = make_pipeline(
    ms.sklearn.Embedding(encoder, pool="mean+sum"),
    StandardScaler(),
    RidgeCV([1, 10, 100, 1000]),
)
predicted = cross_val_predict(model, smiles, gaps, cv=3)
fig, ax = plt.subplots(figsize=(4, 4), layout="constrained")
ax.scatter(gaps, predicted, s=8)
ax.axline((7, 7), slope=1, color="0.6", linewidth=1)
error = abs(predicted - gaps).mean()
ax.set(
    xlabel="gap (eV)",
    ylabel="predicted gap (eV)",
    title=f"random weights, ridge: {error:.2f} eV",
)

# %%
# Fine-tuning
# -----------
# `read_molecules` reads the same table as molecules with labels, one after the other. A molecule without a conformer
# has a `problem` in place of a `molecule`.

reads = list(ms.data.read_molecules(table, smiles="smiles", labels=["gap"]))
molecules = [read.molecule for read in reads if read.problem is None]
held_out, train = (
    molecules[::5],
    [molecule for place, molecule in enumerate(molecules) if place % 5],
)
molecules[0]

# %%
# A regression is a method like those of pre-training. Its head and its label are parts. The mean gap is subtracted, so
# that the head starts near the labels.

mean = torch.cat([molecule.gap for molecule in train]).mean()
for molecule in molecules:
    molecule.centered = (molecule.gap - mean).float()
finetune = ms.methods.Regression(
    ms.heads.ScalarHead(64, reduce="mean"), label="centered", loss="l1"
)
optimizer = torch.optim.AdamW([*encoder.parameters(), *finetune.parameters()], lr=1e-3)
batch = next(iter(DataLoader(held_out, batch_size=len(held_out))))
errors = []
for _ in range(12):
    for step in DataLoader(train, batch_size=16, shuffle=True):
        finetune(encoder, step)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()
    with torch.no_grad():
        errors.append(
            (finetune.predict(encoder, batch).property[:, 0] - batch.centered)
            .abs()
            .mean()
            .item()
        )
fig, ax = plt.subplots(layout="constrained")
ax.plot(range(1, 13), errors, marker="o")
ax.axhline(
    batch.centered.abs().mean(),
    color="0.6",
    linestyle="--",
    label="mean of the training labels",
)
ax.set(
    xlabel="epoch", ylabel="error of the gap on held-out molecules (eV)", ylim=(0, None)
)
ax.legend()
