"""
Look around
===========

Molecules, their spectra, an encoder of geometries and one of spectra.
"""

# %%
# The bundled data set holds 735 real molecules with computed UV-Vis, IR and Raman spectra. A molecule is a
# `torch_geometric.data.Data` with atomic numbers `z`, positions `pos` in Å, bonds, spectra and labels.

import torch
from torch_geometric.loader import DataLoader

import molspectra as ms

molecules = ms.data.MiniSpectra("train")
phenol = next(molecule for molecule in molecules if molecule.smiles == "Oc1ccccc1")
phenol

# %%
# Every spectrum lies on an axis of its own, with a start, a stop, a step and a unit.

ms.plots.molecule(phenol)
ms.plots.spectrum(phenol, molecules.axes)

# %%
# PyG's loader puts molecules into batches. An encoder maps atomic numbers, positions and the molecule of each atom to
# features of atoms: scalars, and vectors that rotate with the molecule.

batch = next(iter(DataLoader(molecules, batch_size=16)))
encoder = ms.encoders.EquivariantTransformer(hidden_channels=64, num_layers=2)
atoms = encoder(batch.z, batch.pos, batch.batch)
atoms

# %%
# Pooling gives one row per molecule.

atoms.pool(batch.batch, "mean").shape

# %%
# SpecFormer cuts spectra into patches and encodes them. Its output holds a feature per patch and one per molecule.

specformer = ms.spectra.SpecFormer(molecules.axes, hidden_channels=64, num_heads=8)
specformer(batch)

# %%
# Both are modules of PyTorch, and take part in any network, optimizer and training loop.

sum(parameter.numel() for parameter in specformer.parameters())

# %%
# Scalars are invariant and vectors equivariant. A rotation of the molecules shows it.

rotation = torch.linalg.qr(torch.randn(3, 3)).Q
rotated = encoder(batch.z, batch.pos @ rotation.T, batch.batch)
scalars = (rotated.scalars - atoms.scalars).abs().max()
vectors = (rotated.vectors - rotation @ atoms.vectors).abs().max()
print(f"largest changes: scalars {scalars:.1e}, vectors {vectors:.1e}")
