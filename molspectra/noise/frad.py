"""Frad's noise: first on the conformation, as chemistry allows, then on the coordinates; the latter is predicted."""

import copy
import math
from typing import Literal

import torch
from torch import Tensor
from torch_geometric.data import Data

from molspectra._batch import molecule_of
from molspectra._config import Configurable
from molspectra._validation import check_fields, check_std
from molspectra.geometry.deformation import deform
from molspectra.geometry.topology import bridge_of
from molspectra.noise.coord import CoordNoise
from molspectra.noise.internal import REMEDY, ROTORS, TOPOLOGY, apply_change, at_atoms, draw_change


class FradNoise(Configurable):
    """Fractional denoising (Frad; Feng et al., ICML 2023, arXiv:2307.10683; vibrations: 2024, arXiv:2407.11086).

    A conformer is changed as the molecule itself would change, x → x', and then every coordinate, x'' = x' + σ ε with
    ε ~ N(0, 1). Adds `pos_target` = σ ε (N, 3) in Å, so that the force learnt is that of a landscape with soft torsions
    and not of a ball around each conformer. Two kinds of change:

    * "torsion": every rotatable bond turns, by `rotatable_std`. Molecules without any get coordinate noise only.
    * "vibration": every bond, angle and torsion that can change on its own, without tearing a ring, does, with
      `bond_std`, `angle_std`, and `rotatable_std` or, about other bonds such as double ones, `torsion_std`.

    Needs the fields of `data.transforms.AddTopology`. Runs on the device of the data, for all molecules at once. Where
    in space a molecule is and how it is turned before coordinate noise is immaterial; its first atom stays put.

    Args:
        std: σ of the coordinate noise in Å.
        mode: "torsion" (RN in the paper's terms) or "vibration" (VRN).
        rotatable_std: rad; by default 2° in mode "torsion" and 1 in mode "vibration".
        bond_std: Å; mode "vibration" only, like the next two.
        angle_std: rad.
        torsion_std: rad, for bonds that are not rotatable.
        decay: Multiply `rotatable_std` by decay^(d - 1) for the d-th bond on the way from one end of the molecule
            (`data.rotatable_depth`), as turning an inner bond moves more; the release has 0.2, switched off.
        remove_translation: See :class:`CoordNoise`.
        as_released: Reproduce the released arithmetic. In mode "vibration" it takes the numbers in rad for degrees,
            turns each torsion once for every neighbour but one of its bond's second atom, and leaves molecules without
            a rotatable bond alone; with `decay`, the standard deviation in degrees is squared. `pos_target` is the
            rounded difference of positions.

    Raises:
        ValueError: a standard deviation is negative, or `decay` is given in mode "vibration"; when called, the topology
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
        if mode not in ("torsion", "vibration"):
            raise ValueError(f"mode must be 'torsion' or 'vibration'; got {mode!r}.")
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
        """A shallow copy of `data` with `pos` perturbed and `pos_target` added."""
        changed = copy.copy(data)
        changed.pos = self.conformation(data, generator)
        noisy = self.coord(changed, generator)
        if self.as_released:
            noisy.pos_target = noisy.pos - changed.pos
        return noisy

    def conformation(self, data: Data, generator: torch.Generator | None = None) -> Tensor:
        """The first half alone: positions (N, 3) in Å with the chemical noise."""
        fields = ROTORS if self.mode == "torsion" else TOPOLOGY
        check_fields(data, fields, "FradNoise", REMEDY)
        return self._rotated(data, generator) if self.mode == "torsion" else self._vibrated(data, generator)

    def _rotated(self, data: Data, generator: torch.Generator | None) -> Tensor:
        pos, (_, i, j, _) = data.pos, data.rotatable_index
        std = self.rotatable_std
        if self.decay is not None:
            check_fields(data, ["rotatable_depth"], "FradNoise with decay", REMEDY)
            if self.as_released:
                std = math.radians(math.degrees(std) ** 2)
            std = std * self.decay ** (data.rotatable_depth.to(pos.dtype) - 1)
        turns = std * torch.randn(i.shape, generator=generator, dtype=pos.dtype, device=pos.device)
        twist = at_atoms(data, bridge_of(data.parent_index, data.bridge, i, j)[0], turns)
        return deform(pos, data.parent_index, data.bridge, twist=twist)

    def _vibrated(self, data: Data, generator: torch.Generator | None) -> Tensor:
        pos = data.pos
        _, i, j, _ = data.rotatable_index
        rotates = at_atoms(data, bridge_of(data.parent_index, data.bridge, i, j)[0], torch.ones_like(i))
        child, is_bridge = bridge_of(data.parent_index, data.bridge, *data.torsion_index[1:3])
        torsion_std = torch.where(
            is_bridge & (rotates.index_select(0, child) > 0), self.rotatable_std, self.torsion_std
        ).to(pos.dtype)
        change = draw_change(
            data,
            pos.new_full(data.bond_index.shape[1:], self.bond_std),
            pos.new_full(data.angle_index.shape[1:], self.angle_std),
            torsion_std,
            generator,
            self.as_released,
        )
        changed = apply_change(data, change)
        if not self.as_released:
            return changed
        molecule = molecule_of(data)
        has_rotatable = at_atoms(data, molecule, rotates)[molecule] > 0
        return torch.where(has_rotatable.unsqueeze(1), changed, pos)

    def __repr__(self) -> str:
        return f"FradNoise(std={self.coord.std}, mode={self.mode!r}, rotatable_std={self.rotatable_std:.4g})"
