"""Splits of molecules into training, validation and test parts that stay as they are when molecules are added.

A molecule goes where the hash of its group sends it: u = h / 2⁶⁴ with h the first 8 bytes (big-endian) of the BLAKE2b
digest of "seed:group" in UTF-8, to training for u < fractions[0], and so on. Each group lies in one part. Sizes of the
parts are therefore close to the fractions, not equal to them, and large groups move them.
"""

import hashlib
import itertools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from jaxtyping import Int
from torch import Tensor

from molspectra._repr import fields_repr
from molspectra._validation import checked
from molspectra.data.chemistry._rdkit import import_rdkit
from molspectra.retrieval.likeness import parse_all, skeleton_key

__all__ = ["Split", "by_group", "formula", "random", "scaffold"]


def __dir__() -> list[str]:
    return __all__


FRACTIONS = (0.8, 0.1, 0.1)


class Split(NamedTuple):
    """Numbers of the molecules of each part, ascending."""

    train: Int[Tensor, " train"]
    """Training."""
    validation: Int[Tensor, " validation"]
    """Choice of settings."""
    test: Int[Tensor, " test"]
    """Final measurement."""

    def __repr__(self) -> str:
        return fields_repr(self)


@checked
def random(smiles: Sequence[str], fractions: Sequence[float] = FRACTIONS, seed: int = 0) -> Split:
    """Split by molecule: entries with one first block of the InChIKey, such as stereoisomers, stay together.

    Args:
        smiles: The molecules.
        fractions: Shares of training, validation and test.
        seed: Another seed gives another split.

    Raises:
        ImportError: RDKit is not installed.
        TypeError: `smiles` is no sequence of texts.
        ValueError: a SMILES cannot be parsed, or the fractions are not three shares that sum to 1.

    Example:
        >>> split = ms.retrieval.splits.random(["C" * n for n in range(1, 101)])
        >>> split
        Split(train=[76], validation=[16], test=[8])
    """
    return by_group([skeleton_key(molecule) for molecule in parse_all("smiles", smiles)], fractions, seed)


@checked
def scaffold(smiles: Sequence[str], fractions: Sequence[float] = FRACTIONS, seed: int = 0) -> Split:
    """Split by Bemis-Murcko scaffold: rings and the chains between them (J. Med. Chem. 39, 2887 (1996)).

    Molecules without a ring have no scaffold. They are split by molecule, as in `random`, not as one large group.
    Arguments and errors are those of `random`. Scaffolds are compared as RDKit's canonical SMILES without
    stereochemistry, which may differ between versions of RDKit.
    """
    return by_group([_scaffold(molecule) for molecule in parse_all("smiles", smiles)], fractions, seed)


@checked
def formula(smiles: Sequence[str], fractions: Sequence[float] = FRACTIONS, seed: int = 0) -> Split:
    """Split by molecular formula: isomers stay together. Arguments and errors are those of `random`.

    For molecules without a SMILES use `by_group` with :func:`molspectra.data.molecular_formula`.
    """
    molecules = parse_all("smiles", smiles)
    describe = import_rdkit("splits.formula").Chem.rdMolDescriptors.CalcMolFormula
    return by_group([describe(molecule) for molecule in molecules], fractions, seed)


@checked
def by_group(groups: Sequence[str], fractions: Sequence[float] = FRACTIONS, seed: int = 0) -> Split:
    """Split by the name of a group, such as a family of compounds or an instrument.

    Args:
        groups: Group of each molecule.
        fractions: Shares of training, validation and test.
        seed: Another seed gives another split.

    Raises:
        TypeError: the groups are one text, or not texts.
        ValueError: the fractions are not three shares that sum to 1.
    """
    if not all(isinstance(group, str) for group in groups):
        raise TypeError("groups must be a sequence of texts, one for each molecule; convert with [str(g) for g in …].")
    if len(fractions) != 3 or not all(0 <= share <= 1 for share in fractions) or not math.isclose(sum(fractions), 1):
        raise ValueError(f"fractions must be three shares that sum to 1, as in {FRACTIONS}; got {tuple(fractions)}.")
    ends = list(itertools.accumulate(fractions))
    part_of = {group: _part(group, ends, seed) for group in set(groups)}
    parts = torch.tensor([part_of[group] for group in groups], dtype=torch.int64)
    return Split(*((parts == part).nonzero().squeeze(1) for part in range(3)))


def _part(group: str, ends: Sequence[float], seed: int) -> int:
    """Return the part that the hash of a group falls into."""
    digest = hashlib.blake2b(f"{seed}:{group}".encode()).digest()
    share = int.from_bytes(digest[:8], "big") / 2**64
    return 0 if share < ends[0] else 1 if share < ends[1] else 2


def _scaffold(molecule: Any) -> str:
    rdkit = import_rdkit("splits.scaffold")
    scaffold = rdkit.Chem.Scaffolds.MurckoScaffold.MurckoScaffoldSmiles(mol=molecule, includeChirality=False)
    return scaffold or skeleton_key(molecule)
