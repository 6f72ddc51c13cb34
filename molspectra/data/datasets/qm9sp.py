"""QM9SP: QM9S as prepared by the authors of MolSpectra, joined with the properties of QM9."""

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch_geometric.data import Data

from molspectra._validation import check_molecules
from molspectra.data.datasets.qm9 import QM9
from molspectra.data.datasets.stored import StoredDataset, check_count
from molspectra.data.io.pickled import numbers_of, read_collated
from molspectra.spectra.axis import IR, RAMAN, UV_VIS_QM9S, SpectrumAxis

_FILE = "data_with_uv_ir_raman.pt"
_SPECTRA = {"uv_vis": "uv", "ir": "ir", "raman": "raman"}  # field → its name in the file


class QM9SP(StoredDataset):
    """QM9S with QM9's properties, from the file that the released MolSpectra code reads (Wang et al. 2025).

    ====================================  ============  ============================================
    field                                 shape         unit, meaning
    ====================================  ============  ============================================
    `z` `pos`                             (N,) (N, 3)   atomic number, Å
    `uv_vis` `ir` `raman`                 (1, L)        as in the file, on `axes` (701, 3501, 3501)
    `mu` … `rotational_c`, see `targets`  (1,)          in the units of :class:`QM9`, float32
    `name`                                str           "gdb_<n>"
    ====================================  ============  ============================================

    The file is a pickle of torch_geometric objects. It is read without running code from it, and its tensors stay on
    disk. Its graph is not read, because in known copies the edges join all pairs of atoms while the edge types belong
    to bonds. For methods that need bonds set `bond_index` and `bond_order` in `pre_transform`, for example by
    :func:`molspectra.data.perceive_bonds`. This class cannot download the file: put `data_with_uv_ir_raman.pt` of
    `qm9sp.zip` (https://osf.io/wrvcn) into `<root>/raw`. The arguments are those of :class:`StoredDataset`.

    Raises:
        FileNotFoundError: the file is missing.
        ValueError: the file is damaged, lacks fields, or would have to run code to be read.

    Example:
        >>> QM9SP.axes["uv_vis"].length, QM9SP.units["gap"], QM9SP.targets[4]
        (701, 'eV', 'gap')
    """

    axes: ClassVar[Mapping[str, SpectrumAxis]] = MappingProxyType({"uv_vis": UV_VIS_QM9S, "ir": IR, "raman": RAMAN})
    targets: ClassVar[tuple[str, ...]] = QM9.targets
    """Fields of the 19 properties, in the order of PyG's `y`."""
    units: ClassVar[Mapping[str, str]] = MappingProxyType(
        {"pos": "Å", **dict.fromkeys(_SPECTRA, "as published"), **{name: QM9.units[name] for name in QM9.targets}}
    )
    license: ClassVar[str] = "as stated at `source`"
    source: ClassVar[str] = "https://osf.io/wrvcn"
    citation: ClassVar[str] = (
        "L. Wang et al., MolSpectra: Pre-training 3D molecular representation with multi-modal energy spectra, ICLR "
        "(2025), arXiv:2502.16284; Z. Zou et al., Nat. Comput. Sci. 3, 957 (2023), doi:10.1038/s43588-023-00550-y; "
        "R. Ramakrishnan et al., Sci. Data 1, 140022 (2014), doi:10.1038/sdata.2014.22"
    )

    @property
    def raw_file_names(self) -> list[str]:
        """Name of the published file."""
        return [_FILE]

    def molecules(self) -> Iterator[Data]:
        """Read the file, one molecule at a time, in its order."""
        (path,) = self.raw_paths
        found = 0
        for found, fields in enumerate(read_collated(path, ("z", "pos", "y", "name", *_SPECTRA.values())), 1):
            try:
                data = _molecule(fields, self.axes)
            except ValueError as error:
                self.broken(path, found - 1, error)
                continue
            yield data
        check_count(path, found, self.num_molecules)


def _molecule(fields: Mapping[str, Any], axes: Mapping[str, SpectrumAxis]) -> Data:
    values = {name: numbers_of(fields, name) for name in ("z", "pos", "y", *_SPECTRA.values())}
    data = Data(z=values["z"].long(), pos=values["pos"].float())
    check_molecules(data.z, data.pos, batch=None)
    for kind, name in _SPECTRA.items():
        spectrum = values[name].float().reshape(1, -1)  # (1, L) or (L,) in the file
        if spectrum.shape[1] != axes[kind].length or not bool(spectrum.isfinite().all()):
            raise ValueError(
                f"{name} must have {axes[kind].length} finite intensities; got {spectrum.shape[1]}, of which "
                f"{int(spectrum.isfinite().sum())} are finite."
            )
        data[kind] = spectrum
    y = values["y"].float().reshape(-1)
    if len(y) != len(QM9.targets) or not bool(torch.isfinite(y).all()):
        raise ValueError(f"y must have {len(QM9.targets)} finite numbers; got {y.tolist()}.")
    for name, value in zip(QM9.targets, y, strict=True):
        data[name] = value.reshape(1)
    data.name = str(fields["name"])
    return data
