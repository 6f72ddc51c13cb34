"""Gaussian noise on some atoms of some molecules, of structures that may be away from equilibrium."""

import copy
import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._batch import num_molecules_of, of_each_atom
from molspectra._config import Configurable
from molspectra._validation import check_fields, check_generator, check_positions, check_probability
from molspectra.noise.coord import CoordNoise


class DeNSNoise(Configurable):
    """Corruption of some atoms of some molecules by Gaussian noise (DeNS, Liao et al. 2024, arXiv:2403.09549).

    Each molecule is drawn with the probability p, and each of its atoms with the probability r. Drawn atoms move by
    σ ε, ε ~ N(0, 1), and all others stay. Atoms without a known force (NaN), and atoms marked as fixed, are never
    drawn. Added fields:

    =============  ======  ==========================================================
    `corrupted`    (N,)    True for atoms that were moved
    `pos_target`   (N, 3)  displacement σ ε in Å, 0 for the others
    `noise_scale`  (B,)    σ of each molecule in Å, also of those that were not drawn
    =============  ======  ==========================================================

    Args:
        std: σ in Å, or its smallest and largest value (low, high), of which each molecule draws its own, uniform in
            log σ.
        molecule_ratio: Probability p.
        atom_ratio: Probability r.
        forces: Field with forces (N, 3); None if all are known.
        fixed: Field of booleans (N,), True for atoms that must not move; None for none.

    Raises:
        ValueError: A probability is not in [0, 1], or σ is not positive (see :class:`CoordNoise`).

    Example:
        >>> molecule = Data(z=torch.tensor([8, 1, 1]), pos=torch.zeros(3, 3), forces=torch.ones(3, 3))
        >>> noisy = DeNSNoise(molecule_ratio=1.0, atom_ratio=1.0)(molecule)
        >>> noisy.corrupted, torch.equal(noisy.pos, noisy.pos_target)
        (tensor([True, True, True]), True)
    """

    def __init__(
        self,
        std: float | Sequence[float] = 0.05,
        molecule_ratio: float = 0.25,
        atom_ratio: float = 0.25,
        *,
        forces: str | None = "forces",
        fixed: str | None = None,
    ) -> None:
        check_probability("molecule_ratio", molecule_ratio)
        check_probability("atom_ratio", atom_ratio)
        self.coord_noise = CoordNoise(std)
        if not self.std:
            raise ValueError(f"std must be positive (Å), as displacements are predicted in units of it; got {std}.")
        self.molecule_ratio = molecule_ratio
        self.atom_ratio = atom_ratio
        self.forces = forces
        self.fixed = fixed

    @property
    def std(self) -> float | tuple[float, float]:
        """σ in Å, or its range."""
        return self.coord_noise.std

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Data:
        """Return a shallow copy of `data` with perturbed `pos` and added fields. `data` keeps the clean positions."""
        check_positions(data, "DeNSNoise")
        check_generator(generator)
        with record_function("molspectra::dens_noise"):
            options = {"generator": generator, "dtype": data.pos.dtype, "device": data.pos.device}
            of_molecule = torch.rand(num_molecules_of(data), **options) < self.molecule_ratio
            of_atom = torch.rand(data.pos.shape[0], **options) < self.atom_ratio
            noise = self.coord_noise(data, generator)
            # Each molecule has a σ of its own if a range is given.
            scale = noise.noise_scale if isinstance(self.std, tuple) else None
            return self.corrupt(data, of_each_atom(of_molecule, data) & of_atom, noise.pos_target, scale)

    def corrupt(
        self,
        data: Data,
        drawn: Bool[Tensor, " atoms"],
        displacement: Float[Tensor, "atoms 3"],
        noise_scale: Float[Tensor, " molecules"] | None = None,
    ) -> Data:
        """Move given atoms, unless they are fixed or without a force.

        Args:
            data: Molecules with `pos` and the fields named in the arguments of the class.
            drawn: True for atoms to move, (N,).
            displacement: Displacement of every atom in Å, (N, 3).
            noise_scale: σ of each molecule, (B,). Default: the σ of the class, or the middle of its range.
        """
        fields = [name for name in (self.forces, self.fixed) if name is not None]
        check_fields(data, fields, "DeNSNoise", "Name other fields with forces= and fixed=, or None for none.")
        self._check_shapes(data)
        if self.forces is not None:
            # The force tells where the atom belongs. Without it, the displacement of an atom cannot be known.
            drawn = drawn & data[self.forces].isfinite().all(dim=1)
        if self.fixed is not None:
            drawn = drawn & ~data[self.fixed].bool()
        noisy = copy.copy(data)
        noisy.corrupted = drawn
        noisy.pos_target = torch.where(drawn.unsqueeze(1), displacement, 0.0)
        noisy.pos = data.pos + noisy.pos_target
        noisy.noise_scale = self._scale(data) if noise_scale is None else noise_scale
        return noisy

    def _check_shapes(self, data: Data) -> None:
        num_atoms = data.pos.shape[0]
        for name, shape in ((self.forces, (num_atoms, 3)), (self.fixed, (num_atoms,))):
            if name is not None and data[name].shape != shape:
                raise ValueError(
                    f"{name} must have shape {shape}, a row for each atom; got {tuple(data[name].shape)}. Name another "
                    "field with forces= or fixed=."
                )

    def _scale(self, data: Data) -> Tensor:
        """Return σ of each molecule, (B,): of a range its geometric mean."""
        std = math.sqrt(math.prod(self.std)) if isinstance(self.std, tuple) else self.std
        return torch.full((num_molecules_of(data),), std, dtype=data.pos.dtype, device=data.pos.device)
