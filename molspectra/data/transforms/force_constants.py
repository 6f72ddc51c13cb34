"""Harmonic force constants of bonds, angles and torsions, from a force field or generic ones."""

import os
from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import BaseTransform

from molspectra._validation import check_fields, checked
from molspectra.data.chemistry._rdkit import import_rdkit
from molspectra.data.chemistry.rdkit import to_rdkit
from molspectra.data.chemistry.smirnoff import SmirnoffForceField, Term, oriented
from molspectra.data.transforms.force_fields import (
    MISSING,
    Constant,
    mmff_constants,
    openff_constants,
    uff_constants,
)

# Fallback standard deviations of the released SliDe at kT = 1 kcal/mol, in Å, rad, rad, rad. A constant is 1/σ^2.
_BOND_STD, _ANGLE_STD, _ROTATABLE_STD, _TORSION_STD = 0.058, 0.129, 1.0, 0.18


class ForceConstants(BaseTransform):
    """Transform that adds the force constants of a molecule's bonds, angles and torsions, for SliDe.

    =================  ========================  ====================================================================
    field              shape, dtype of `pos`     meaning
    =================  ========================  ====================================================================
    `bond_k`           (B,)                      kcal/mol/Å^2, for `bond_index`
    `angle_k`          (A,)                      kcal/mol/rad^2, for `angle_index`
    `torsion_k`        (T,)                      kcal/mol/rad^2, for `torsion_index`: the curvature, n^2 included
    `torsion_frozen`   (T,) bool                 :meth:`from_offxml` only: marks a first Fourier coefficient of 0 or
                                                 less. The released SliDe draws no noise for such a torsion
    =================  ========================  ====================================================================

    The constants k belong to E = Σ k/2 (x - x0)^2, so that 1/√k is a standard deviation at kT = 1 kcal/mol. A term
    without a parameter, or with a constant of 0 or less, gets the generic constant. The sources:

    * "uff": UFF (Rappé et al. 1992, 10.1021/ja00051a040), for all elements, but not in every coordination. Torsions get
      the curvature in a minimum, V n^2 / 2, divided by the number of pairs of ends about the bond.
    * "mmff": MMFF94 (Halgren 1996), for molecules if it has types for all of their atoms. Torsions get the scale of the
      curvature, Σ n^2 |V_n| / 2, the sum for all terms in a minimum.
    * :meth:`from_offxml`: An OpenFF force field, as in the released SliDe (Ni et al. 2024, arXiv:2311.02124). Bonds and
      angles get k, torsions k_1 n_1^2 of the first Fourier term, without the divider.
    * "generic" or :meth:`generic`: The fallback values of the released SliDe, equal for all terms of a kind: 1/σ^2 with
      σ = 0.058 Å for bonds, 0.129 rad for angles, 1 rad for torsions about rotatable bonds and 0.18 rad about others.

    Needs the fields of :class:`molspectra.data.transforms.AddTopology` and, except for "generic", RDKit. Bond orders
    and formal charges are read as by :func:`molspectra.data.to_rdkit`. Use it as the `pre_transform` or `transform` of
    a data set, or call it on a `Data`.

    Args:
        source: "uff", "mmff", "generic" or a :class:`molspectra.data.chemistry.smirnoff.SmirnoffForceField`.

    Raises:
        ValueError: the source is unknown. When called: the input is a `Batch`, terms are missing, the molecule is
            invalid, or MMFF94 has no types for it.
        ImportError: when called, RDKit is not installed.

    Example:
        >>> from molspectra.data import from_smiles
        >>> from molspectra.data.transforms import AddTopology
        >>> water = ForceConstants("mmff")(AddTopology()(from_smiles("O")))
        >>> water.bond_k, water.angle_k, water.torsion_k.shape
        (tensor([1134.1881, 1134.1881]), tensor([94.7076]), torch.Size([0]))
    """

    @checked
    def __init__(self, source: str | SmirnoffForceField = "uff") -> None:
        if not isinstance(source, SmirnoffForceField) and source not in ("uff", "mmff", "generic"):
            raise ValueError(
                f"source must be 'uff', 'mmff', 'generic' or a SmirnoffForceField; got {source!r}. For an .offxml file "
                "use ForceConstants.from_offxml(path)."
            )
        self.source = source

    @classmethod
    def from_offxml(cls, path: str | os.PathLike[str]) -> "ForceConstants":
        """Read an OpenFF force field from a file, once.

        SliDe uses openff-2.0.0.offxml from openforcefield/openff-forcefields on GitHub. Its license is CC BY 4.0, which
        requires to name the Open Force Field Initiative. The file is not part of this package.

        Args:
            path: A SMIRNOFF `.offxml` file.

        Raises:
            See :class:`molspectra.data.chemistry.smirnoff.SmirnoffForceField`.
        """
        return cls(SmirnoffForceField(path))

    @classmethod
    def generic(cls) -> "ForceConstants":
        """Return the transform with one constant for all terms of a kind, which does not need RDKit."""
        return cls("generic")

    def forward(self, data: Data) -> Data:
        """Add the fields to `data`, which PyG's `BaseTransform` has already copied."""
        check_fields(data, (), "ForceConstants", "")
        _check(data)
        bonds, angles, torsions = self._raw(data)
        data.bond_k = _positive(bonds, _generic(_BOND_STD)).to(data.pos)
        data.angle_k = _positive(angles, _generic(_ANGLE_STD)).to(data.pos)
        data.torsion_k = _positive(torsions, _generic_torsions(data)).to(data.pos)
        if isinstance(self.source, SmirnoffForceField):
            data.torsion_frozen = (torsions <= 0).to(data.pos.device)
        elif "torsion_frozen" in data:  # from another force field
            del data.torsion_frozen
        return data

    def __repr__(self) -> str:
        if isinstance(self.source, SmirnoffForceField):
            return f"ForceConstants.from_offxml({self.source.name!r})"
        return f"ForceConstants({self.source!r})"

    def _raw(self, data: Data) -> list[Float[Tensor, " terms"]]:
        """Return the constants of bonds, angles and torsions from the source, NaN for missing ones."""
        terms = [_terms(data[field]) for field in ("bond_index", "angle_index", "torsion_index")]
        if self.source == "generic":
            return [torch.full((len(part),), MISSING, dtype=torch.float64) for part in terms]
        mol = to_rdkit(data)
        with import_rdkit("ForceConstants").rdBase.BlockLogs():  # UFF logs every atom without a type
            if isinstance(self.source, SmirnoffForceField):
                constants = openff_constants(mol, self.source)
            else:
                constants = uff_constants(mol) if self.source == "uff" else mmff_constants(mol, _name(data))
            return [_evaluate(constant, part) for constant, part in zip(constants, terms, strict=True)]


def _evaluate(constant: Constant, terms: Sequence[Term]) -> Float[Tensor, " terms"]:
    return torch.tensor([constant(*term) for term in terms], dtype=torch.float64)


def _positive(raw: Float[Tensor, " terms"], generic: Float[Tensor, "*terms"]) -> Float[Tensor, " terms"]:
    """Replace constants of 0 or less, and NaN, by generic ones."""
    return torch.where(raw > 0, raw, generic)


def _generic(std: float) -> Float[Tensor, ""]:
    return torch.tensor(1 / std**2, dtype=torch.float64)


def _generic_torsions(data: Data) -> Float[Tensor, " torsions"]:
    # Rotation about a single bond is soft (1 rad), about double and ring bonds it is not.
    rotatable = {oriented(bond) for bond in _terms(data.rotatable_index[1:3])}
    is_rotatable = [oriented(bond) in rotatable for bond in _terms(data.torsion_index[1:3])]
    return torch.where(torch.tensor(is_rotatable, dtype=torch.bool), _generic(_ROTATABLE_STD), _generic(_TORSION_STD))


def _name(data: Data) -> str:
    """Return the SMILES of a molecule or, without one, its elements."""
    smiles = data.get("smiles")
    return smiles if isinstance(smiles, str) else f"atomic numbers {sorted(set(data.z.tolist()))}"


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
                f"{field} must have shape ({rows}, n), one column per term; got {tuple(index.shape)}. Take it from "
                "transforms.AddTopology()."
            )
