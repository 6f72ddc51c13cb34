"""Molecules with lists of peaks: shifts of CASCADE, and the published samples of the multimodal data set."""

from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from torch import Tensor
from torch_geometric.data import Data

import molspectra as ms

CARBON = ms.data.PeakAxis("c_nmr", "ppm", (-20, 300), resolution=0.25)
LABELS = {name: number for number, name in enumerate(("s", "d", "t", "q", "dd", "dt", "td", "ddd", "m"))}
MULTIMODAL = (
    ms.data.PeakAxis("c_nmr", "ppm", (-20, 240), resolution=0.25),
    ms.data.PeakAxis("h_nmr", "ppm", (-2, 14), resolution=0.02, labels=tuple(LABELS)),
    ms.data.PeakAxis("hsqc", "ppm", [(-20, 240), (-2, 14)], resolution=[0.25, 0.02]),
    ms.data.PeakAxis("ms_ms", "m/z", (0, 1000), precursor="precursor_mz"),
)
PROTON_MASS = 1.00727647  # u
PROTON = ms.data.PeakAxis("h_nmr", "ppm", (-5, 20), resolution=0.02)


def shifts(path: Path, limit: int | None):
    """Read `cascade_nmr.npz`: geometries with DFT shifts of 1H and 13C, and measured ones of 13C for two thirds.

    Shifts of atoms that the bonds do not tell apart are averaged, as they are in solution, and one peak stands for all
    of them. Protons have an integral, carbons do not. Shifts beyond the axes, 1 in 10,000, are left out.
    """
    table = dict(np.load(path))
    molecules = []
    for row, smiles in enumerate(table["smiles"][:limit]):
        atoms = slice(*table["atom_offset"][row : row + 2])
        bonds = table["bond_index"][slice(*table["bond_offset"][row : row + 2])].astype(np.int64)
        z = table["z"][atoms].astype(np.int64)
        classes = equivalence(z, bonds)
        data = Data(z=torch.from_numpy(z), pos=torch.from_numpy(table["pos"][atoms]).float(), smiles=str(smiles))
        for field, column, element, axis in (
            ("c_dft", "shift_dft", 6, CARBON),
            ("h_dft", "shift_dft", 1, PROTON),
            ("c_measured", "shift_measured", 6, CARBON),
        ):
            data[field] = peaks_of(table[column][atoms], classes, z == element, axis)
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


def multimodal(path: Path, limit: int | None):
    """Read the multimodal data set: computed IR on its grid, and peaks of NMR, HSQC and MS/MS (CFM-ID, 20 eV).

    The precursor is the protonated molecule. A conformer of RDKit stands for the structure.
    """
    records = [record for shard in sorted(path.glob("*.parquet")) for record in pq.read_table(shard).to_pylist()]
    molecules = []
    for record in records[:limit]:
        data = ms.data.from_smiles(record["smiles"])
        data.smiles = record["smiles"]
        data.ir = torch.tensor([record["ir_spectra"]], dtype=torch.float32).clamp(min=0)
        data.c_nmr = rows(record["c_nmr_peaks"], ["delta (ppm)", "intensity"])
        data.h_nmr = rows(record["h_nmr_peaks"], ["centroid", "nH"])
        classes = [LABELS.get(peak["category"], LABELS["m"]) for peak in record["h_nmr_peaks"]]
        data.h_nmr = torch.cat([data.h_nmr, torch.tensor(classes, dtype=torch.float32)[None, :, None]], dim=2)
        data.hsqc = rows(record["hsqc_nmr_peaks"], ["13C_centroid", "1H_centroid", "nH"])
        data.ms_ms = torch.tensor([record["msms_cfmid_positive_20ev"]], dtype=torch.float32)
        data.precursor_mz = torch.tensor([[ms.data.monoisotopic_mass(data.z) + PROTON_MASS]], dtype=torch.float32)
        molecules.append(data)
    axes = {"ir": ms.data.MultimodalSpectra.axes["ir"]} | {axis.name: axis for axis in MULTIMODAL}
    views = {
        "IR, on a grid": ["ir"],
        "13C NMR": ["c_nmr"],
        "1H NMR": ["h_nmr"],
        "HSQC": ["hsqc"],
        "MS/MS": ["ms_ms", "precursor_mz"],
        "all five": ["ir", "c_nmr", "h_nmr", "hsqc", "ms_ms", "precursor_mz"],
    }
    # Half of the batches have all kinds, the others one.
    return molecules, axes, views, [*views.values(), *[views["all five"]] * 4]


def rows(peaks: list[dict], columns: list[str]) -> Tensor:
    """Return columns of a table of peaks, (1, K, columns)."""
    return torch.tensor([[[peak[column] for column in columns] for peak in peaks]], dtype=torch.float32)
