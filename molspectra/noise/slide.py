"""SliDe's noise: Gaussian noise on bond lengths, angles and torsions, with the widths of a force field."""

import copy
import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._batch import molecule_of, num_molecules_of
from molspectra._config import Configurable
from molspectra._validation import check_fields, check_generator, check_sizes, check_std, values_are_free
from molspectra.geometry.harmonic import harmonic_gradient
from molspectra.geometry.internal_coordinates import internal_coordinates, wrap_angle
from molspectra.noise.internal import REMEDY, TOPOLOGY, perturb
from molspectra.noise.slicing import finite_difference_slices, least_squares_gradient

_CONSTANTS = {"bond_k": "bond_index", "angle_k": "angle_index", "torsion_k": "torsion_index"}


class SliDeNoise(Configurable):
    """Sliced denoising (SliDe, Ni et al., ICLR 2024, arXiv:2311.02124): noise and forces of one molecular energy.

    Around a conformer with bond lengths r₀, angles θ₀ and torsions φ₀ the energy is harmonic,

        E = ½ Σ k_B (r - r₀)² + ½ Σ k_A (θ - θ₀)² + ½ Σ k_T (φ - φ₀)²,

    with torsion differences wrapped into [-π, π). The noise has the variances kT/k of the Boltzmann distribution of E
    in these coordinates, restricted to those that can change on their own
    (:func:`molspectra.noise.internal.draw_change`). Adds `gradient_target` = ∇E (N, 3) in kcal/mol/Å at the noisy
    positions, which is minus the force, as in the release. One vector-Jacobian product computes it exactly for all
    molecules of a batch. Torsions close to a line at the noisy positions are left out of the target. Their derivative
    grows as 1/sin θ, and a target with them has no finite variance.

    Needs the fields of `data.transforms.AddTopology` and a force constant for each of its terms, as
    `data.transforms.ForceConstants` adds them: `bond_k` (B,) in kcal/mol/Å², `angle_k` (A,) and `torsion_k` (T,) in
    kcal/mol/rad². A term with the constant 0 gets no noise and no energy.

    If no listed term depends on the others, as in H₂O₂, -∇E/kT is the score of the noise in these coordinates. In
    larger molecules some terms are redundant: only five of six angles around an atom with four bonds are independent,
    and nine torsions about a bond turn as one. Terms within rings get no noise of their own. E counts all terms.

    Args:
        thermal_energy: kT in kcal/mol. The published value 1 corresponds to 503 K.
        margin: Least distance in rad from 0 and π of the angles inside a torsion, at the noisy positions, for the
            torsion to count in the target. The default is 10°. :meth:`energy` and :meth:`gradient` count all terms.
        num_slices: Number of slices with `as_released`.
        as_released: Reproduce the released arithmetic. The noise is that of :class:`FradNoise` as released, with angles
            57 times too small, and without noise on torsions marked in `torsion_frozen`. The target is solved by least
            squares from `num_slices` finite differences over 0.001 Å of all terms, which are not divided by 0.001 Å
            (:func:`molspectra.noise.slicing.least_squares_gradient`).

    Raises:
        ValueError: `thermal_energy` is negative, or `num_slices` is below 1. When called: topology or constants are
            missing, or (checked for CPU tensors) a constant is negative or not finite.

    Example:
        >>> water = ms.data.from_smiles("O")
        >>> water = ms.data.transforms.ForceConstants.generic()(ms.data.transforms.AddTopology()(water))
        >>> noise = ms.noise.SliDeNoise()
        >>> noisy = noise(water)
        >>> torch.equal(noisy.gradient_target, noise.gradient(water, noisy.pos))
        True
    """

    def __init__(
        self,
        thermal_energy: float = 1.0,
        *,
        margin: float = math.radians(10),
        num_slices: int = 128,
        as_released: bool = False,
    ) -> None:
        check_std("thermal_energy", thermal_energy, "kcal/mol")
        check_std("margin", margin, "rad")
        check_sizes(num_slices=num_slices)
        self.thermal_energy = thermal_energy
        self.margin = margin
        self.num_slices = num_slices
        self.as_released = as_released

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Data:
        """Return a shallow copy of `data` with perturbed `pos` and added `gradient_target`."""
        noisy = copy.copy(data)
        noisy.pos = self.conformation(data, generator)
        with record_function("molspectra::slide_noise.gradient"):
            if self.as_released:
                noisy.gradient_target = self._sliced_gradient(data, noisy.pos, generator)
            else:
                # Bending noise may bring a torsion close to a line, where its derivative diverges.
                noisy.gradient_target = self._gradient(data, noisy.pos, self.margin)
        return noisy

    def conformation(self, data: Data, generator: torch.Generator | None = None) -> Float[Tensor, "atoms 3"]:
        """Return the perturbed positions (N, 3) in Å without a target."""
        check_fields(data, TOPOLOGY, "SliDeNoise", REMEDY)
        check_generator(generator)
        # Equipartition: k ⟨Δ²⟩ = kT for every harmonic term. Constants of 0 mark terms without noise.
        k = torch.cat(self._constants(data))
        std = torch.where(k > 0, (self.thermal_energy / k).sqrt(), 0.0).to(data.pos.dtype)
        if self.as_released and "torsion_frozen" in data:  # torsions whose first Fourier coefficient is not positive
            others = len(std) - data.torsion_index.shape[1]
            std = torch.cat([std[:others], torch.where(data.torsion_frozen, 0.0, std[others:])])
        return perturb(data, std, generator, self.as_released)

    def energy(self, data: Data, pos: Float[Tensor, "atoms 3"]) -> Float[Tensor, " molecules"]:
        """Return E (M,) in kcal/mol of the molecules at `pos`, about the conformers in `data.pos`."""
        per_atom = torch.zeros_like(pos[:, 0])
        terms = zip(self._constants(data), self._changes(data, pos), _CONSTANTS.values(), strict=True)
        for k, change, index in terms:
            # Credit a term to its second atom, and sum the atoms of each molecule at the end.
            per_atom = per_atom.index_add(0, data[index][1], k.to(pos.dtype) * change.square() / 2)
        return per_atom.new_zeros(num_molecules_of(data)).index_add(0, molecule_of(data), per_atom)

    def gradient(self, data: Data, pos: Float[Tensor, "atoms 3"]) -> Float[Tensor, "atoms 3"]:
        """Return the exact ∇E (N, 3) in kcal/mol/Å at `pos`. Terms without a derivative there contribute 0."""
        return self._gradient(data, pos, margin=None)

    def _gradient(self, data: Data, pos: Tensor, margin: float | None) -> Tensor:
        constants = torch.cat(self._constants(data)).to(pos.dtype)
        return harmonic_gradient(pos, data.pos.to(pos.dtype), *self._terms(data), constants, margin)

    def _terms(self, data: Data) -> tuple[Tensor, Tensor, Tensor]:
        return data.bond_index, data.angle_index, data.torsion_index

    def _constants(self, data: Data) -> list[Tensor]:
        check_fields(data, list(_CONSTANTS.values()), "SliDeNoise", REMEDY)
        check_fields(
            data,
            list(_CONSTANTS),
            "SliDeNoise",
            "Set force constants, after AddTopology(), with molspectra.data.transforms.ForceConstants('uff'), "
            "ForceConstants.from_offxml(path) or, without further packages, ForceConstants.generic().",
        )
        # Constants belong to the terms of one topology, which may have been computed anew since.
        for name, index in _CONSTANTS.items():
            if data[name].shape != data[index].shape[1:]:
                raise ValueError(
                    f"{name} must have shape {tuple(data[index].shape[1:])}, one constant per term of {index}; "
                    f"got {tuple(data[name].shape)}. Run ForceConstants after the last change of the topology."
                )
            if values_are_free(data[name]) and not bool((data[name].isfinite() & (data[name] >= 0)).all()):
                raise ValueError(
                    f"{name} must be finite and not negative; got {data[name].min():g} to {data[name].max():g}. "
                    "Compute it with molspectra.data.transforms.ForceConstants, or set it to 0 to leave a term out."
                )
        return [data[name] for name in _CONSTANTS]

    def _changes(self, data: Data, pos: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return r - r₀, θ - θ₀ and φ - φ₀."""
        r0, theta0, phi0 = internal_coordinates(data.pos.to(pos.dtype), *self._terms(data))
        r, theta, phi = internal_coordinates(pos, *self._terms(data))
        return r - r0, theta - theta0, wrap_angle(phi - phi0)

    def _term_gradients(self, data: Data, pos: Tensor) -> list[Tensor]:
        """Return ∂E/∂r, ∂E/∂θ and ∂E/∂φ of each term: k times its change."""
        terms = zip(self._constants(data), self._changes(data, pos), strict=True)
        return [k.to(pos.dtype) * change for k, change in terms]

    def _sliced_gradient(self, data: Data, pos: Tensor, generator: torch.Generator | None) -> Tensor:
        # Finite differences over 0.001 Å need float64.
        shape = (self.num_slices, *pos.shape)
        slices = torch.randn(shape, generator=generator, dtype=pos.dtype, device=pos.device).double()
        # g·(d(x + h v) - d(x)) instead of E(x + h v) - E(x): the released code never evaluates E itself.
        gradients = [gradient.double() for gradient in self._term_gradients(data, pos)]
        batch = molecule_of(data)
        along = finite_difference_slices(pos.double(), self._terms(data), gradients, slices, batch)
        return least_squares_gradient(along, slices, batch).to(pos.dtype)
