"""Molecules shared by tests: published conformers with their noises, energies and targets, and others."""

import functools

import networkx
import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from molspectra.data import from_smiles
from molspectra.data.transforms import AddTopology, ForceConstants
from molspectra.testing import random_molecules

TOPOLOGY = AddTopology()
GENERIC = ForceConstants.generic()

IDS = [f"m{number:02d}" for number in range(40)]


class PublishedConformers:
    """Arrays of the Frad and SliDe fixtures, by molecule."""

    def __init__(self, folder):
        self.folder = folder

    @functools.cache  # noqa: B019 - lives as long as the test run
    def file(self, name):
        with np.load(self.folder / f"{name}.npz") as archive:
            return dict(archive)

    def __call__(self, name: str, molecule: str, key: str) -> Tensor:
        """One array, (k, n) where the file has a list of n terms of k atoms."""
        array = torch.from_numpy(self.file(name)[f"{molecule}.{key}"])
        return (
            array.t().contiguous()
            if key in ("angles", "bonds", "op_index", "quads", "quads_heavy", "torsions")
            else array
        )

    def molecule(self, molecule: str) -> Data:
        """Fields of the contract in float64, with bonds as published, their two atoms in either order."""
        names = ("z", "pos", "bond_index", "bond_order", "formal_charge")
        return Data(**{name: self("frad/molecules", molecule, name) for name in names})

    def terms(self, molecule: str, clean: bool) -> tuple[Tensor, Tensor, Tensor]:
        """Bonds, angles and torsions: all of them, or those far from linear."""
        bonds, angles, torsions = (self("slide/internal", molecule, name) for name in ("bonds", "angles", "torsions"))
        if clean:
            angles = angles[:, self("slide/energy", molecule, "clean_angle")]
            torsions = torsions[:, self("slide/energy", molecule, "clean_torsion")]
        return bonds, angles, torsions


def prepared_molecule(smiles: str, dtype: torch.dtype = torch.float64, topology: AddTopology = TOPOLOGY) -> Data:
    """A molecule with its topology and generic force constants."""
    data = topology(from_smiles(smiles))
    data.pos = data.pos.to(dtype)
    return GENERIC(data)


def random_batch(sizes: tuple[int, ...] = (3, 1, 6), dtype: torch.dtype = torch.float64) -> Batch:
    """Molecules of random elements at random positions."""
    z, pos, batch = random_molecules(sizes, dtype)
    return Batch.from_data_list([Data(z=z[batch == i], pos=pos[batch == i]) for i in range(len(sizes))])


def distances(pos: Tensor) -> Tensor:
    """All distances, which compare two geometries at any position and orientation."""
    return torch.linalg.vector_norm(pos[:, None] - pos, dim=-1)


def volumes(pos: Tensor) -> Tensor:
    """Signed volumes spanned by each atom and its three successors, which distinguish mirror images."""
    edges = [pos.roll(-step, 0) - pos for step in (1, 2, 3)]
    return (torch.linalg.cross(edges[0], edges[1]) * edges[2]).sum(-1)


def rigid_parts(data: Data) -> list[list[int]]:
    """Atoms of the rings and fused rings of a molecule, the connected parts without its bridges."""
    graph = networkx.Graph(data.bond_index.t().tolist())
    graph.remove_edges_from(list(networkx.bridges(graph)))
    return [sorted(part) for part in networkx.connected_components(graph) if len(part) > 1]
