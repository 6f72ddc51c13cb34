"""Fields of a molecule in a `torch_geometric.data.Data`, and a check that a data set keeps to them.

=====================  ==================  =====================================================================
field                  shape, dtype        meaning
=====================  ==================  =====================================================================
`z`                    (N,) int64          atomic numbers, 1 to 118
`pos`                  (N, 3) float        positions, Å
`bond_index`           (2, B) int64        covalent bonds, each once, i < j (Frad, SliDe and 3D-EMGP need them)
`bond_order`           (B,) float          1, 1.5 (aromatic), 2, 3
`formal_charge`        (N,) int64          charge of each atom, where known
`angle_index`          (3, A) int64        } from the bonds, with more of the kind, by `transforms.AddTopology`
`torsion_index`        (4, T) int64        }
`rotatable_index`      (4, R) int64        }
`bond_k`               (B,) float          } force constants of these terms, by `transforms.ForceConstants`
`angle_k` `torsion_k`  (A,) (T,) float     }
`uv_vis` `ir` `raman`  (1, L) float        one field for each kind of spectrum, a missing one being a row of NaN
`c_nmr` `ms_ms` …      (1, K, d+1) float   or as K peaks, d positions and an intensity, padded with rows of NaN
`msms` `h_nmr_peaks`   (1, K, d+1) float   a list of K peaks, d positions and an intensity each
`y` `energy` `forces`                      labels, in the units that the data set states
=====================  ==================  =====================================================================

A `Batch` holds the same fields: atoms and bonds one molecule after the other, spectra as (M, L). PyG itself offsets
fields whose name contains `index`. Any other field, and any other kind of spectrum, may be added.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data

from molspectra._validation import check_bonds, check_molecules, check_spectra, refuse_bonds


def validate(data: Data, max_z: int = 118, kinds: Sequence[str] = ("uv_vis", "ir", "raman")) -> None:
    """Check one molecule, or a batch of them, against the field contract (see :mod:`molspectra.data.molecule`).

    Values are checked as well, on any device. This makes an accelerator wait, so check once, before training. Only `z`
    and `pos` are required. Distances between atoms are not checked.

    Args:
        data: A `Data`, or a `Batch` of them.
        max_z: Largest atomic number that the encoder knows.
        kinds: Names of the fields with spectra.

    Raises:
        TypeError: `data` is not a `Data`, or a field has a wrong dtype.
        ValueError: a field is missing, or has a wrong shape or value. The message names it and a remedy.

    Example:
        >>> validate(Data(z=torch.tensor([6, 8]), pos=torch.rand(2, 3), bond_index=torch.tensor([[1], [0]])))
        Traceback (most recent call last):
        ValueError: bond_index must list each bond once, with i < j; got bond 0 = (1, 0). Sort each bond's two atoms...
    """
    if not isinstance(data, Data):
        raise TypeError(
            f"data must be a torch_geometric.data.Data or Batch; got {type(data).__name__}. "
            "Build one with molspectra.data.from_smiles, from_rdkit or from_ase."
        )
    for field in ("z", "pos"):
        if not isinstance(data.get(field), Tensor):
            raise ValueError(f"data must have a tensor {field}; its fields are {list(data.keys())}. Set data.{field}.")
    check_molecules(data.z, data.pos, data.batch, max_z=max_z, values=True)
    num_graphs = data.num_graphs if isinstance(data, Batch) else 1
    if data.batch is not None:
        sizes = torch.bincount(data.batch, minlength=num_graphs)
        if isinstance(data, Batch) and len(sizes) > num_graphs:
            raise ValueError(
                f"batch must lie in 0..{num_graphs - 1}, the batch's molecules; got {int(data.batch[-1])}. Make "
                "batches with torch_geometric.data.Batch.from_data_list."
            )
        num_graphs = len(sizes)
        if bool((sizes == 0).any()):
            raise ValueError(f"Every molecule must have atoms; molecule {int((sizes == 0).nonzero()[0])} has none.")
    _check_bonds(data)
    _check_terms(data)
    for kind in kinds:
        if kind in data:
            _check_spectrum(kind, data[kind], num_graphs)


def _check_bonds(data: Data) -> None:
    bond_index, bond_order = data.get("bond_index"), data.get("bond_order")
    if bond_index is None:
        if bond_order is not None:
            raise ValueError("bond_order needs bond_index (2, B), the bonds it belongs to; data has none. Set both.")
        return
    num_atoms = data.z.shape[0]
    check_bonds(bond_index, num_atoms, values=True)
    i, j = bond_index
    refuse_bonds(
        i >= j,
        bond_index,
        "bond_index must list each bond once, with i < j",
        "Sort each bond's two atoms (bond_index.sort(dim=0)), then drop duplicates and bonds of an atom with itself.",
    )
    pair, count = (i * num_atoms + j).unique(return_counts=True)
    refuse_bonds(
        torch.isin(i * num_atoms + j, pair[count > 1]),
        bond_index,
        "bond_index must list each bond once, and lists one again",
        "Drop duplicates with bond_index.unique(dim=1); of edges in both directions keep those with i < j.",
    )
    if data.batch is not None:
        refuse_bonds(
            data.batch[i] != data.batch[j],
            bond_index,
            "bond_index must join atoms of one molecule",
            "Batch molecules with torch_geometric.data.Batch.from_data_list, which offsets bond_index by itself.",
        )
    if bond_order is None:
        return
    if not bond_order.is_floating_point():
        raise TypeError(f"bond_order must be floating point; got {bond_order.dtype}. Convert with bond_order.float().")
    if bond_order.shape != i.shape:
        raise ValueError(
            f"bond_order must have shape {tuple(i.shape)}, one entry for each bond of bond_index; got "
            f"{tuple(bond_order.shape)}."
        )
    refuse_bonds(
        ~((bond_order > 0) & bond_order.isfinite()),
        bond_index,
        "bond_order must be positive and finite",
        "Use 1, 1.5 (aromatic), 2 or 3, and leave out what is not a covalent bond.",
    )


def _check_terms(data: Data) -> None:
    num_atoms = data.z.shape[0]
    for field, rows, constants in (
        ("bond_index", 2, "bond_k"),
        ("angle_index", 3, "angle_k"),
        ("torsion_index", 4, "torsion_k"),
        ("rotatable_index", 4, None),
    ):
        index, k = data.get(field), data.get(constants) if constants else None
        if index is None and k is None:
            continue
        if index is None:
            raise ValueError(f"{constants} needs {field}, the terms it belongs to; data has none. Set both.")
        if index.dtype != torch.int64 or index.dim() != 2 or index.shape[0] != rows:
            raise ValueError(
                f"{field} must be int64 of shape ({rows}, n), a column for each term; got {index.dtype} of shape "
                f"{tuple(index.shape)}. Take it from molspectra.data.transforms.AddTopology()."
            )
        if index.numel() > 0 and (int(index.min()) < 0 or int(index.max()) >= num_atoms):
            raise ValueError(
                f"{field} must hold atoms 0..{num_atoms - 1}; got {int(index.min())} to {int(index.max())}. Number "
                "atoms from 0, within the molecule; batching offsets them."
            )
        if k is None:
            continue
        if k.shape != index.shape[1:] or not bool((k.isfinite() & (k >= 0)).all()):
            raise ValueError(
                f"{constants} must have shape {tuple(index.shape[1:])}, one finite constant that is not negative for "
                f"each term of {field}; got {tuple(k.shape)}. Set it with molspectra.data.transforms.ForceConstants."
            )


def _check_spectrum(kind: str, spectrum: object, num_graphs: int) -> None:
    if not isinstance(spectrum, Tensor) or not spectrum.is_floating_point():
        got = spectrum.dtype if isinstance(spectrum, Tensor) else type(spectrum).__name__
        raise TypeError(f"{kind} must be a floating-point tensor of shape ({num_graphs}, L); got {got}.")
    if spectrum.dim() == 3 and spectrum.shape[0] == num_graphs and spectrum.shape[2] >= 2:
        _check_peaks(kind, spectrum.detach())
        return
    if spectrum.dim() != 2 or spectrum.shape[0] != num_graphs or spectrum.shape[1] == 0:
        raise ValueError(
            f"{kind} must have shape ({num_graphs}, L), a row for each molecule; got {tuple(spectrum.shape)}. On a "
            f"single molecule set data.{kind} = spectrum.reshape(1, -1); for a missing spectrum, a row of NaN."
        )
    check_spectra({kind: spectrum.detach().cpu()}, {kind: spectrum.shape[1]}, partial=True)


def _check_peaks(kind: str, peaks: Tensor) -> None:
    position, intensity = peaks[..., 0], peaks[..., 1]
    broken = peaks.isinf().any(dim=2) | (position.isnan() != intensity.isnan())
    if bool(broken.any()):
        row, peak = broken.nonzero()[0].tolist()
        raise ValueError(
            f"{kind} of molecule {row} has the peak {peaks[row, peak].tolist()}; expected finite numbers, or NaN in "
            "all of them for padding. Set intensities that are not known to 1."
        )
