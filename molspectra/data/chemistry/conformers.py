"""Conformers of RDKit molecules: embedded, relaxed and checked."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from molspectra.data.chemistry._rdkit import import_rdkit
from molspectra.data.chemistry.bond_lengths import expected_lengths
from molspectra.data.chemistry.polyhedra import centers, ideal_distances
from molspectra.data.chemistry.relaxation import Pair, known_force_fields, relax
from molspectra.data.chemistry.soundness import find_faults

_TOLERANCES = (0.005, 0.02, 0.08)  # Å, of the distances within a polyhedron, tried in turn
_NEAR, _FAR = 1.8, 1000.0  # Å, bounds of unknown distances
_SEEDS = 5
_SEED_STEP = 7919  # between the seeds of one molecule
LARGEST_SEED = 2**31 - 1
"""Largest seed that RDKit takes."""


def make_conformer(mol: Any, smiles: str, seed: int, optimize: bool) -> None:
    """Add the first conformer without faults to a molecule.

    Args:
        mol: An RDKit molecule with all hydrogens, which receives the conformer.
        smiles: Its SMILES, for messages.
        seed: Seed of the first attempt.
        optimize: Relax the positions with a force field.

    Raises:
        ValueError: none can be made, or none is without faults.
    """
    try:
        _search(mol, smiles, seed, optimize)
    except RuntimeError as error:  # a violated invariant of RDKit's own
        raise ValueError(
            f"RDKit fails to make a conformer for smiles {smiles!r}: {error}. Make coordinates elsewhere and use "
            "from_rdkit or from_ase."
        ) from error


def _search(mol: Any, smiles: str, seed: int, optimize: bool) -> None:
    """Try seeds and force fields until a conformer has no faults.

    Raises:
        RuntimeError: RDKit fails.
        ValueError: none can be made, or none is without faults.
    """
    lengths = expected_lengths(mol)
    shapes = ideal_distances(mol, lengths)
    faults: list[str] = []
    for attempt in range(_SEEDS):
        _embed(mol, smiles, (seed + attempt * _SEED_STEP) % (LARGEST_SEED + 1) if attempt else seed, shapes)
        for positions in _candidates(mol, smiles, lengths, shapes, optimize):
            faults = find_faults(mol, positions, lengths, shapes)
            if not faults:
                set_positions(mol, positions)
                return
    shown = "; ".join(faults[:3]) + (f"; and {len(faults) - 3} more" if len(faults) > 3 else "")
    raise ValueError(
        f"No sound geometry was found for smiles {smiles!r} with {_SEEDS} seeds; the last one has {shown}. Make "
        "coordinates elsewhere and use from_rdkit or from_ase."
    )


def _candidates(
    mol: Any, smiles: str, lengths: Sequence[float], shapes: Mapping[Pair, float], optimize: bool
) -> Iterator[np.ndarray]:
    """Yield the embedded positions of a molecule, or those relaxed by each force field that knows it."""
    if not optimize:
        yield mol.GetConformer().GetPositions()
        if not shapes:
            return  # polyhedra that the embedding misses are mended by a force field
    force_fields = known_force_fields(mol, shapes)
    if optimize and not force_fields:
        raise ValueError(
            f"Neither MMFF94 nor UFF has parameters for all atoms of smiles {smiles!r}. Pass optimize=False to take "
            "the conformer as embedded, or make coordinates elsewhere and use from_rdkit or from_ase."
        )
    for force_field in force_fields:
        try:
            yield relax(mol, force_field, lengths, shapes)
        except RuntimeError:  # a term of the atom in a polyhedron, which the force field may not know
            if not shapes:
                raise
    if shapes:
        yield mol.GetConformer().GetPositions()


def _embed(mol: Any, smiles: str, seed: int, shapes: Mapping[Pair, float]) -> None:
    """Add a conformer by distance geometry (ETKDGv3), in place of the one before."""
    geometry = import_rdkit("from_smiles").Chem.rdDistGeom
    # Random start coordinates are slower, but succeed for cages and large rings.
    for random, tolerance in itertools.product((False, True), _TOLERANCES if shapes else (0.0,)):
        parameters = geometry.ETKDGv3()
        parameters.randomSeed = seed
        parameters.useRandomCoords = random
        if shapes:
            parameters.SetBoundsMat(_bounds(mol, shapes, tolerance))
        if geometry.EmbedMolecule(mol, parameters) >= 0:
            return
    raise ValueError(
        f"No conformer could be embedded for smiles {smiles!r}. Try another seed, look for stereochemistry "
        "that its rings rule out, or make coordinates elsewhere and use from_rdkit or from_ase."
    )


def _bounds(mol: Any, shapes: Mapping[Pair, float], tolerance: float) -> np.ndarray:
    """Return RDKit's bounds of distances, upper ones above the diagonal, narrowed to those of polyhedra."""
    rdkit = import_rdkit("from_smiles")
    bounds = rdkit.Chem.rdDistGeom.GetMoleculeBoundsMatrix(mol)
    hops = rdkit.Chem.GetDistanceMatrix(mol)
    for center in centers(mol):
        # All other distances across the atom follow from angles of RDKit's that the polyhedron does not have.
        across = hops[center][:, None] + hops[center] == hops
        across &= (hops > 1) & (hops < len(hops))
        across[center], across[:, center] = False, False
        upper = np.triu(np.ones_like(across))
        bounds[across & (upper > 0)], bounds[across & (upper == 0)] = _FAR, _NEAR
    for (i, j), distance in shapes.items():
        bounds[i, j], bounds[j, i] = distance + tolerance, distance - tolerance
    rdkit.DistanceGeometry.DoTriangleSmoothing(bounds)
    return bounds


def set_positions(mol: Any, positions: np.ndarray) -> None:
    """Set the positions (N, 3) of a molecule's conformer, Å."""
    conformer = mol.GetConformer()
    for atom, position in enumerate(positions.tolist()):
        conformer.SetAtomPosition(atom, position)
