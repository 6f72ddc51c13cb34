"""
Swap and combine objectives
===========================

One encoder, five denoising objectives, sums of them, and an objective of your own.
"""

# %%
# Frad and SliDe read torsions and force constants. A transform adds them once per molecule.

import matplotlib.pyplot as plt
import torch
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import Compose

import molspectra as ms

prepare = Compose(
    [ms.data.transforms.AddTopology(), ms.data.transforms.ForceConstants.generic()]
)
molecules = ms.data.MiniSpectra("train", pre_transform=prepare)[:256]
loader = DataLoader(molecules, batch_size=64, shuffle=True)

# %%
# A method is called `method(encoder, batch)` and returns a dict of losses. One line swaps it.


def train(method, epochs=6):
    torch.manual_seed(0)
    encoder = ms.encoders.EquivariantTransformer(
        hidden_channels=32, num_layers=2, num_heads=4
    )
    optimizer = torch.optim.AdamW(
        [*encoder.parameters(), *method.parameters()], lr=2e-3
    )
    history = []
    for _ in range(epochs):
        for batch in loader:
            losses = method(encoder, batch)
            losses["loss"].backward()
            optimizer.step()
            optimizer.zero_grad()
            history.append({name: loss.item() for name, loss in losses.items()})
    return history


torch.manual_seed(0)
methods = {
    "Coord": ms.methods.Coord(32),
    "Frad": ms.methods.Frad(32),
    "SliDe": ms.methods.SliDe(32),
    "EMPP": ms.methods.EMPP(32),
}
histories = {name: train(method) for name, method in methods.items()}
fig, panels = plt.subplots(1, 4, figsize=(11, 2.6), layout="constrained")
for panel, (name, history) in zip(panels, histories.items(), strict=True):
    ms.plots.training(history, names=["loss"], ax=panel).set_title(name)

# %%
# Losses of different methods have different units, so their sizes do not compare. `Combined` adds several with weights,
# as one module for one optimizer. Entries of a method are found under its name.

both = ms.methods.Combined(
    {"empp": (ms.methods.EMPP(32), 1.0), "frad": (ms.methods.Frad(32), 0.5)}
)
history = train(both, epochs=1)
history[-1]

# %%
# MolSpectra takes any pretext task for its geometry, also a combination.

torch.manual_seed(0)
sizes = {"hidden_channels": 32, "num_layers": 2, "num_heads": 4}
specformer = ms.spectra.SpecFormer(ms.data.MiniSpectra.axes, out_channels=32, **sizes)
method = ms.methods.MolSpectra(both, specformer)
encoder = ms.encoders.EquivariantTransformer(**sizes)
method(encoder, next(iter(loader)))

# %%
# An objective of your own needs a noise: a function that moves atoms and stores the displacements. This one moves whole
# molecules apart by a breathing motion and adds noise of equal size.


def breathing(molecules, generator=None):
    noisy = ms.noise.CoordNoise(std=0.02)(molecules, generator)
    scale = 0.05 * torch.randn(molecules.num_graphs, 1, generator=generator)
    center = torch.zeros(molecules.num_graphs, 3).scatter_reduce(
        0,
        molecules.batch[:, None].expand(-1, 3),
        molecules.pos,
        "mean",
        include_self=False,
    )
    breath = scale[molecules.batch] * (molecules.pos - center[molecules.batch])
    noisy.pos = noisy.pos + breath
    noisy.pos_target = noisy.pos_target + breath
    return noisy


own = ms.methods.Denoising(
    breathing, ms.heads.VectorHead(32), ms.objectives.DenoisingLoss()
)
history = train(own, epochs=6)
first, last = history[0]["loss"], history[-1]["loss"]
print(f"error relative to predicting none: {first:.2f} at first, {last:.2f} at last")

# %%
# The noises differ in the internal coordinates that they change.

phenol = next(molecule for molecule in molecules if molecule.smiles == "Oc1ccccc1")
noises = {
    "Coord": ms.noise.CoordNoise(0.04),
    "Frad": ms.noise.FradNoise(),
    "SliDe": ms.noise.SliDeNoise(),
}
ms.plots.noise(noises, phenol)
