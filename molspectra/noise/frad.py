"""Frad's noise: chemical noise on the conformation, then coordinate noise, of which the second is predicted."""

import copy
import math
from typing import Literal

import torch
from torch import Tensor
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._batch import molecule_of
from molspectra._config import Configurable
from molspectra._validation import check_choice, check_fields, check_generator, check_std
from molspectra.data._pyg import most_atoms_of
from molspectra.geometry.deformation import deform
from molspectra.noise.coord import CoordNoise
from molspectra.noise.internal import REMEDY, ROTORS, TOPOLOGY, at_atoms, bridge_bonds, find_bridges, perturb


class FradNoise(Configurable):
    """Fractional denoising (Frad; Feng et al., ICML 2023, arXiv:2307.10683; vibrations: 2024, arXiv:2407.11086).

    Chemical noise first changes the conformation as the molecule itself would, x → x'. Coordinate noise then changes
    every coordinate, x'' = x' + σ ε with ε ~ N(0, 1). Adds `pos_target` = σ ε (N, 3) in Å. The learned force is thus
    that of an energy landscape with soft torsions, rather than one that is equally stiff in all directions around each
    conformer. Two kinds of chemical noise:

    * "torsion": Every rotatable bond turns, with `rotatable_std`. Molecules without rotatable bonds get coordinate
      noise only.
    * "vibration": Every bond, angle and torsion changes that can do so without opening a ring, with `bond_std`,
      `angle_std` and `rotatable_std`, or `torsion_std` about bonds that are not rotatable, such as double bonds.

    Needs the fields of `data.transforms.AddTopology`. Runs on the device of the data, for all molecules at once. The
    chemical noise keeps the first atom of each molecule in place. Position and orientation of x' in space do not matter
    for coordinate noise.

    Args:
        std: σ of the coordinate noise in Å.
        mode: "torsion" (called RN in the paper) or "vibration" (VRN).
        rotatable_std: Standard deviation of torsions about rotatable bonds in rad. The default is 2° in mode "torsion"
            and 1 rad in mode "vibration".
        bond_std: Standard deviation of bond lengths in Å, in mode "vibration".
        angle_std: Standard deviation of bond angles in rad, in mode "vibration".
        torsion_std: Standard deviation of torsions about other bonds in rad, in mode "vibration".
        decay: Multiply `rotatable_std` by decay^(d - 1) for the d-th rotatable bond from one end of the molecule
            (`data.rotatable_depth`), since turning an inner bond moves more atoms. The released code contains a value
            of 0.2 but does not use it.
        remove_translation: See :class:`CoordNoise`.
        as_released: Reproduce the released arithmetic. Mode "vibration" then takes numbers in rad for degrees, turns
            each torsion once for every neighbor but one of the second atom of its bond, and leaves molecules without a
            rotatable bond unchanged. With `decay`, the standard deviation in degrees is squared. `pos_target` is the
            rounded difference of positions.

    Raises:
        ValueError: a standard deviation is negative, or `decay` is given in mode "vibration". When called: the topology
            is missing.

    Example:
        >>> molecules = ms.data.MiniSpectra(transform=ms.data.transforms.AddTopology())
        >>> noisy = ms.noise.FradNoise()(Batch.from_data_list(list(molecules[:4])))
        >>> noisy.pos.shape == noisy.pos_target.shape
        True
    """

    def __init__(
        self,
        std: float = 0.04,
        mode: Literal["torsion", "vibration"] = "torsion",
        *,
        rotatable_std: float | None = None,
        bond_std: float = 0.058,
        angle_std: float = 0.129,
        torsion_std: float = 0.18,
        decay: float | None = None,
        remove_translation: bool = False,
        as_released: bool = False,
    ) -> None:
        check_choice("mode", mode, ("torsion", "vibration"))
        if rotatable_std is None:
            rotatable_std = math.radians(2) if mode == "torsion" else 1.0
        check_std("rotatable_std", rotatable_std, "rad")
        check_std("bond_std", bond_std, "Å")
        check_std("angle_std", angle_std, "rad")
        check_std("torsion_std", torsion_std, "rad")
        check_std("decay", decay or 0.0, "a factor")
        if decay is not None and mode == "vibration":
            raise ValueError("decay is for mode='torsion'; got it with mode='vibration'. Leave it out.")
        self.coord = CoordNoise(std, remove_translation)
        self.mode = mode
        self.rotatable_std = rotatable_std
        self.bond_std = bond_std
        self.angle_std = angle_std
        self.torsion_std = torsion_std
        self.decay = decay
        self.as_released = as_released

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Data:
        """Return a shallow copy of `data` with perturbed `pos` and added `pos_target`."""
        changed = copy.copy(data)
        changed.pos = self.conformation(data, generator)
        noisy = self.coord(changed, generator)
        if self.as_released:  # the rounded difference, equal to the drawn noise only in exact arithmetic
            noisy.pos_target = noisy.pos - changed.pos
        return noisy

    def conformation(self, data: Data, generator: torch.Generator | None = None) -> Tensor:
        """Return the positions (N, 3) in Å after the chemical noise alone."""
        fields = ROTORS if self.mode == "torsion" else TOPOLOGY
        check_fields(data, fields, "FradNoise", REMEDY)
        check_generator(generator)
        with record_function("molspectra::frad_noise.conformation"):
            return self._rotated(data, generator) if self.mode == "torsion" else self._vibrated(data, generator)

    def _rotated(self, data: Data, generator: torch.Generator | None) -> Tensor:
        pos, bonds = data.pos, data.rotatable_index[1:3]
        std = self.rotatable_std
        if self.decay is not None:
            check_fields(data, ["rotatable_depth"], "FradNoise with decay", REMEDY)
            if self.as_released:  # which multiplies by the standard deviation twice, in degrees
                std = math.radians(math.degrees(std) ** 2)
            std = std * self.decay ** (data.rotatable_depth.to(pos.dtype) - 1)
        turns = std * torch.randn(bonds.shape[1:], generator=generator, dtype=pos.dtype, device=pos.device)
        # A rotatable bond is a bridge, and turns with the subtree of its child.
        twist = at_atoms(data, bridge_bonds(data, bonds)[0], turns)
        return deform(pos, data.parent_index, data.bridge, twist=twist, max_atoms=most_atoms_of(data))

    def _vibrated(self, data: Data, generator: torch.Generator | None) -> Tensor:
        pos = data.pos
        # A bond is named by its child in the spanning forest: mark those that are rotatable, and look up the bond of
        # every torsion among them.
        rotatable = bridge_bonds(data, data.rotatable_index[1:3])[0]
        rotates = at_atoms(data, rotatable, torch.ones_like(rotatable))
        bridges = find_bridges(data)
        child, is_bridge = bridges.of_torsions
        about_rotatable = is_bridge & (rotates.index_select(0, child) > 0)
        torsion_std = pos.new_full(child.shape, self.torsion_std).masked_fill(about_rotatable, self.rotatable_std)
        bond_std = pos.new_full(data.bond_index.shape[1:], self.bond_std)
        angle_std = pos.new_full(data.angle_index.shape[1:], self.angle_std)
        std = torch.cat([bond_std, angle_std, torsion_std])
        changed = perturb(data, std, generator, self.as_released, bridges)
        if not self.as_released:
            return changed
        # The released code falls back to coordinate noise for molecules without a rotatable bond.
        molecule = molecule_of(data)
        has_rotatable = at_atoms(data, molecule, rotates)[molecule] > 0
        return torch.where(has_rotatable.unsqueeze(1), changed, pos)
