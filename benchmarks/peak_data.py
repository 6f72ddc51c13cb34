"""Molecules with lists of peaks: shifts of CASCADE, and the published samples of the multimodal data set."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

import molspectra as ms

CARBON = ms.data.PeakAxis("c_nmr", "ppm", (-20, 300), resolution=0.25)
PROTON = ms.data.PeakAxis("h_nmr", "ppm", (-5, 20), resolution=0.02)


def shifts(_: Path | None, limit: int | None):
    """Read geometries with DFT shifts of 1H and 13C, and measured ones of 13C for two thirds (CascadeNMR).

    Shifts of atoms that the bonds do not tell apart are averaged, as they are in solution, and one peak stands for all
    of them. Protons have an integral, carbons do not. Shifts beyond the axes are left out.
    """
    molecules = []
    for molecule in list(ms.data.CascadeNMR("all"))[:limit]:
        z = molecule.z.numpy()
        classes = equivalence(z, molecule.bond_index.T.numpy())
        data = Data(z=molecule.z, pos=molecule.pos, smiles=molecule.smiles)
        for field, column, element, axis in (
            ("c_dft", "shift_dft", 6, CARBON),
            ("h_dft", "shift_dft", 1, PROTON),
            ("c_measured", "shift_measured", 6, CARBON),
        ):
            data[field] = peaks_of(molecule[column].numpy(), classes, z == element, axis)
        if not bool(data.c_dft.isnan().all()):
            molecules.append(data)
    views = {
        "DFT, 13C": ["c_nmr=c_dft"],
        "DFT, 1H": ["h_nmr=h_dft"],
        "DFT, 13C and 1H": ["c_nmr=c_dft", "h_nmr=h_dft"],
        "measured, 13C": ["c_nmr=c_measured"],
    }
    return molecules, {"c_nmr": CARBON, "h_nmr": PROTON}, views, list(views.values())


def equivalence(z: np.ndarray, bonds: np.ndarray) -> list[int]:
    """Return a class for each atom, equal for atoms that their bonds do not tell apart (Weisfeiler and Leman)."""
    neighbors = defaultdict(list)
    for i, j in bonds:
        neighbors[i].append(j)
        neighbors[j].append(i)
    colors = [int(number) for number in z]
    for _ in range(len(z)):
        described = [(colors[i], *sorted(colors[j] for j in neighbors[i])) for i in range(len(z))]
        names = {text: name for name, text in enumerate(sorted(set(described)))}
        refined = [names[text] for text in described]
        if len(set(refined)) == len(set(colors)):
            return refined
        colors = refined
    return colors


def peaks_of(values: np.ndarray, classes: list[int], wanted: np.ndarray, axis: ms.data.PeakAxis) -> Tensor:
    """Return one peak for each class of atoms, (1, K, 2), or a single row of NaN without any."""
    low, high = axis.ranges[0]
    groups = defaultdict(list)
    for value, of, is_wanted in zip(values, classes, wanted, strict=True):
        if is_wanted and low <= value <= high:
            groups[of].append(float(value))
    counts = axis is PROTON
    rows = [[sum(group) / len(group), len(group) if counts else 1.0] for group in groups.values()]
    return torch.tensor([rows or [[torch.nan, torch.nan]]], dtype=torch.float32)


def multimodal(path: Path | None, limit: int | None):
    """Read the multimodal data set: computed IR on its grid, and peaks of NMR, HSQC and MS/MS (CFM-ID, 20 eV)."""
    lists = {
        "13C NMR": "c_nmr_peaks",
        "1H NMR": "h_nmr_peaks",
        "HSQC": "hsqc_peaks",
        "MS/MS": "msms_positive_20ev_peaks",
    }
    if path is None:
        raise SystemExit("multimodal needs --root, a folder with the shards in its folder raw.")
    dataset = ms.data.MultimodalSpectra(path, kinds=["ir", *lists.values()])
    molecules = list(dataset)[:limit]
    for molecule in molecules:
        molecule.ir = molecule.ir.clamp(min=0)  # for the logarithm: it is slightly negative in places
    views = {"IR, on a grid": ["ir"]} | {name: [kind] for name, kind in lists.items()}
    views["MS/MS"].append("precursor_mz_positive")
    views["all five"] = [field for view in views.values() for field in view]
    # Nearly half of the batches have all kinds, the others one.
    return molecules, dataset.axes | dataset.peak_axes, views, [*views.values(), *[views["all five"]] * 4]
