"""Harmonic force constants of bonds, angles and torsions, from a force field or generic."""

import math
import os
from collections.abc import Callable, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import BaseTransform

from molspectra.data.chemistry._rdkit import import_rdkit
from molspectra.data.chemistry.rdkit import to_rdkit
from molspectra.data.chemistry.smirnoff import SmirnoffForceField, Term, oriented
from molspectra.data.units import MMFF94_MILLIDYNE

# Standard deviations at kT = 1 kcal/mol (Å, rad, rad, rad), of which constants are 1/σ^2: those of the released SliDe.
_BOND_STD, _ANGLE_STD, _ROTATABLE_STD, _TORSION_STD = 0.058, 0.129, 1.0, 0.18
_CHALCOGENS = {8, 16, 34, 52, 84}
_MISSING = math.nan

# Constants of a bond (i, j), an angle (i, j, k) and a torsion (i, j, k, l).
_Constant = Callable[..., float]
_Constants = tuple[_Constant, _Constant, _Constant]


class ForceConstants(BaseTransform):
    """Add the force constants of a molecule's bonds, angles and torsions, which SliDe reads.

    =================  ========================  ====================================================================
    field              shape, dtype of `pos`     meaning
    =================  ========================  ====================================================================
    `bond_k`           (B,)                      kcal/mol/Å^2, for `bond_index`
    `angle_k`          (A,)                      kcal/mol/rad^2, for `angle_index`
    `torsion_k`        (T,)                      kcal/mol/rad^2, for `torsion_index`: the curvature, n^2 included
    `torsion_frozen`   (T,) bool                 :meth:`from_offxml` only: the first Fourier coefficient is 0 or less;
                                                 the released SliDe draws no noise for such a torsion
    =================  ========================  ====================================================================

    They are those of E = Σ k/2 (x - x0)^2, so that 1/√k is a standard deviation at kT = 1 kcal/mol. A term without a
    parameter, or with a constant of 0 or less, gets the generic one. The sources:

    * "uff": UFF (Rappé et al. 1992, 10.1021/ja00051a040), for all elements, if not in every coordination. Torsions:
      V n^2 / 2 over the number of pairs of ends about the bond, the curvature in a minimum.
    * "mmff": MMFF94 (Halgren 1996), for molecules all of whose atoms it has types for. Torsions: Σ n^2 |V_n| / 2, the
      scale of the curvature: what the terms would add up to, were each in a minimum.
    * :meth:`from_offxml`: an OpenFF force field, as in the released SliDe (Ni et al. 2024, arXiv:2311.02124): bonds and
      angles k; torsions k_1 n_1^2 of the first Fourier term, divider ignored.
    * "generic" or :meth:`generic`: the fall-back values of the released SliDe, the same for all terms of a kind: 1/σ^2
      with σ = 0.058 Å, 0.129 rad, and for torsions 1 rad about a rotatable bond and 0.18 rad about any other.

    Needs the fields that :class:`molspectra.data.transforms.AddTopology` adds, and RDKit except for "generic"; bond
    orders and formal charges are read as :func:`molspectra.data.to_rdkit` reads them. For use as `pre_transform`, or
    `transform`, of a data set, or called on a `Data`.

    Args:
        source: "uff", "mmff", "generic" or a :class:`molspectra.data.chemistry.smirnoff.SmirnoffForceField`.

    Raises:
        ValueError: there is no such source. When called: a `Batch` is given, terms are missing, the molecule is not
            valid, or MMFF94 has no types for it.
        ImportError: when called, RDKit is not installed.

    Example:
        >>> from molspectra.data import from_smiles
        >>> from molspectra.data.transforms import AddTopology
        >>> water = ForceConstants("mmff")(AddTopology()(from_smiles("O")))
        >>> water.bond_k, water.angle_k, water.torsion_k.shape
        (tensor([1134.1881, 1134.1881]), tensor([94.7076]), torch.Size([0]))
    """

    def __init__(self, source: str | SmirnoffForceField = "uff") -> None:
        if not isinstance(source, SmirnoffForceField) and source not in ("uff", "mmff", "generic"):
            raise ValueError(
                f"source must be 'uff', 'mmff', 'generic' or a SmirnoffForceField; got {source!r}. For an .offxml file "
                "use ForceConstants.from_offxml(path)."
            )
        self.source = source

    @classmethod
    def from_offxml(cls, path: str | os.PathLike[str]) -> "ForceConstants":
        """Constants of an OpenFF force field, read once from a file.

        SliDe uses openff-2.0.0.offxml, which is found in openforcefield/openff-forcefields on GitHub, CC BY 4.0 (name
        the Open Force Field Initiative where you use it), and does not come with this package.

        Args:
            path: A SMIRNOFF `.offxml` file.

        Raises:
            See :class:`molspectra.data.chemistry.smirnoff.SmirnoffForceField`.
        """
        return cls(SmirnoffForceField(path))

    @classmethod
    def generic(cls) -> "ForceConstants":
        """One constant for all terms of a kind; does without RDKit."""
        return cls("generic")

    def forward(self, data: Data) -> Data:
        """Add the fields; `data` is a copy already where the transform is called."""
        _check(data)
        bonds, angles, torsions = self._raw(data)
        data.bond_k = _positive(bonds, _generic(_BOND_STD)).to(data.pos)
        data.angle_k = _positive(angles, _generic(_ANGLE_STD)).to(data.pos)
        data.torsion_k = _positive(torsions, _generic_torsions(data)).to(data.pos)
        if isinstance(self.source, SmirnoffForceField):
            data.torsion_frozen = (torsions <= 0).to(data.pos.device)
        elif "torsion_frozen" in data:  # another force field's
            del data.torsion_frozen
        return data

    def __repr__(self) -> str:
        if isinstance(self.source, SmirnoffForceField):
            return f"ForceConstants.from_offxml({self.source.name!r})"
        return f"ForceConstants({self.source!r})"

    def _raw(self, data: Data) -> list[Float[Tensor, " terms"]]:
        """Constants of bonds, angles and torsions as the source has them, NaN where it has none."""
        terms = [_terms(data[field]) for field in ("bond_index", "angle_index", "torsion_index")]
        if self.source == "generic":
            return [torch.full((len(part),), _MISSING, dtype=torch.float64) for part in terms]
        mol = to_rdkit(data)
        with import_rdkit("ForceConstants").rdBase.BlockLogs():  # UFF tells of each atom that it has no type for
            if isinstance(self.source, SmirnoffForceField):
                constants = _openff(mol, self.source)
            else:
                constants = _uff(mol) if self.source == "uff" else _mmff(mol, data)
            return [_evaluate(constant, part) for constant, part in zip(constants, terms, strict=True)]


def _openff(mol: Any, force_field: SmirnoffForceField) -> _Constants:
    labels = force_field.label(mol)

    def bond(*term: int) -> float:
        parameter = labels.bonds.get(oriented(term))
        return _MISSING if parameter is None else parameter.k

    def angle(*term: int) -> float:
        parameter = labels.angles.get(oriented(term))
        return _MISSING if parameter is None else parameter.k

    def torsion(*term: int) -> float:
        parameter = labels.torsions.get(oriented(term))
        return _MISSING if parameter is None else parameter.k[0] * parameter.periodicity[0] ** 2

    return bond, angle, torsion


def _uff(mol: Any) -> _Constants:
    rdkit = import_rdkit("ForceConstants")
    helpers = rdkit.Chem.rdForceFieldHelpers
    around = [{neighbor.GetIdx() for neighbor in atom.GetNeighbors()} for atom in mol.GetAtoms()]

    def bond(i: int, j: int) -> float:
        parameters = helpers.GetUFFBondStretchParams(mol, i, j)
        return _MISSING if parameters is None else parameters[0]

    def angle(i: int, j: int, k: int) -> float:
        parameters = helpers.GetUFFAngleBendParams(mol, i, j, k)
        return _MISSING if parameters is None else parameters[0]

    def torsion(i: int, j: int, k: int, l: int) -> float:
        barrier = None if i == l else helpers.GetUFFTorsionParams(mol, i, j, k, l)
        if barrier is None:
            return _MISSING
        num_pairs = (len(around[j]) - 1) * (len(around[k]) - 1) - len(around[j] & around[k])
        return barrier * _uff_periodicity(mol, i, j, k, l) ** 2 / 2 / num_pairs

    return bond, angle, torsion


def _uff_periodicity(mol: Any, i: int, j: int, k: int, l: int) -> int:
    """The number of minima of a torsion in UFF, by the rules that follow equation 16 of Rappé et al. 1992."""
    rdkit = import_rdkit("ForceConstants")
    hybridizations = rdkit.Chem.HybridizationType
    atoms = [mol.GetAtomWithIdx(atom) for atom in (i, j, k, l)]
    outer, inner = (atoms[0], atoms[3]), (atoms[1], atoms[2])
    single = mol.GetBondBetweenAtoms(j, k).GetBondType() == rdkit.Chem.BondType.SINGLE
    sp3 = [atom for atom in inner if atom.GetHybridization() == hybridizations.SP3]
    chalcogens = [atom for atom in inner if atom.GetAtomicNum() in _CHALCOGENS]
    if len(sp3) == 2:
        return 2 if single and len(chalcogens) == 2 else 3
    if len(sp3) == 0:
        return 2
    if single and len(chalcogens) == 1 and chalcogens[0].GetIdx() == sp3[0].GetIdx():
        return 2
    if single and any(atom.GetHybridization() == hybridizations.SP2 for atom in outer):
        return 3
    return 6


def _mmff(mol: Any, data: Data) -> _Constants:
    helpers = import_rdkit("ForceConstants").Chem.rdForceFieldHelpers
    properties = helpers.MMFFGetMoleculeProperties(mol)
    if properties is None:
        smiles = data.get("smiles")
        name = smiles if isinstance(smiles, str) else f"atomic numbers {sorted(set(data.z.tolist()))}"
        raise ValueError(
            f"MMFF94 must have types for all atoms of the molecule; it has none for some of {name}. Use "
            "ForceConstants('uff'), which has all elements, or ForceConstants.generic()."
        )

    def bond(i: int, j: int) -> float:
        parameters = properties.GetMMFFBondStretchParams(mol, i, j)
        return _MISSING if parameters is None else parameters[1] * MMFF94_MILLIDYNE

    def angle(i: int, j: int, k: int) -> float:
        parameters = properties.GetMMFFAngleBendParams(mol, i, j, k)
        return _MISSING if parameters is None else parameters[1] * MMFF94_MILLIDYNE

    def torsion(i: int, j: int, k: int, l: int) -> float:
        parameters = None if i == l else properties.GetMMFFTorsionParams(mol, i, j, k, l)
        if parameters is None:
            return _MISSING
        return sum(n**2 * abs(barrier) for n, barrier in enumerate(parameters[1:], start=1)) / 2

    return bond, angle, torsion


def _evaluate(constant: _Constant, terms: Sequence[Term]) -> Float[Tensor, " terms"]:
    return torch.tensor([constant(*term) for term in terms], dtype=torch.float64)


def _positive(raw: Float[Tensor, " terms"], generic: Float[Tensor, "*terms"]) -> Float[Tensor, " terms"]:
    return torch.where(raw > 0, raw, generic)  # NaN is not


def _generic(std: float) -> Float[Tensor, ""]:
    return torch.tensor(1 / std**2, dtype=torch.float64)


def _generic_torsions(data: Data) -> Float[Tensor, " torsions"]:
    rotatable = {oriented(bond) for bond in _terms(data.rotatable_index[1:3])}
    is_rotatable = [oriented(bond) in rotatable for bond in _terms(data.torsion_index[1:3])]
    return torch.where(torch.tensor(is_rotatable, dtype=torch.bool), _generic(_ROTATABLE_STD), _generic(_TORSION_STD))


def _terms(index: Int[Tensor, "rows terms"]) -> list[Term]:
    return [tuple(term) for term in index.t().tolist()]


def _check(data: Data) -> None:
    if isinstance(data, Batch):
        raise ValueError(
            "data must be one molecule; got a Batch. Use ForceConstants as the transform or pre_transform of a data "
            "set, or on each of batch.to_data_list()."
        )
    for field, rows in (("bond_index", 2), ("angle_index", 3), ("torsion_index", 4), ("rotatable_index", 4)):
        index = data.get(field)
        if not isinstance(index, Tensor):
            raise ValueError(
                f"data must have {field}; its fields are {list(data.keys())}. Put transforms.AddTopology() before "
                "ForceConstants, as in torch_geometric.transforms.Compose."
            )
        if index.dim() != 2 or index.shape[0] != rows:
            raise ValueError(
                f"{field} must have shape ({rows}, n), one column a term; got {tuple(index.shape)}. Take it from "
                "transforms.AddTopology()."
            )
