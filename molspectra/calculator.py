"""ASE calculator of fine-tuned energies and forces."""

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._function_module import needs_bonds
from molspectra._signature import unwrap
from molspectra.data.chemistry.ase import from_ase
from molspectra.data.chemistry.bonds import perceive_bonds
from molspectra.data.units import ENERGY
from molspectra.embedding.models import Model, load_encoder
from molspectra.methods.regression import Regression
from molspectra.uncertainty import mean_of


def ase_calculator(
    encoder: Model,
    regression: nn.Module,
    *,
    unit: Literal["eV", "kcal/mol", "Hartree"] = "eV",
    bond_index: Tensor | None = None,
) -> Any:
    """Make an ASE calculator from an encoder and its fine-tuned regression.

    Both are put into evaluation mode and stay on their device. Molecules must not be periodic.

    Args:
        encoder: Any encoder, `encoder(z, pos, batch) -> AtomFeatures`, or what else :func:`molspectra.embed` takes.
        regression: Regression of energies and, unless its forces are None, of forces, also within a wrapper.
        unit: Unit of the training energies. Forces are in this unit per Å.
        bond_index: Bonds (2, B), if the encoder needs any. By default they are perceived from the first positions,
            and again when atoms are exchanged.

    Returns:
        An `ase.calculators.calculator.Calculator` with "energy" in eV and, if trained, "forces" in eV/Å. Forces from a
        gradient conserve the energy, and forces from a separate head need not.

    Raises:
        ImportError: ASE is not installed.
        TypeError: `encoder` is no encoder, or `regression` no Regression.
        ValueError: The unit is unknown, or the regression is of a property of atoms.

    Warns:
        UserWarning: Bonds were perceived, once for the same atoms.

    Example:
        >>> from ase import Atoms
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> finetune = ms.methods.Regression(ms.heads.ScalarHead(32), label="energy", forces="forces")
        >>> water = Atoms("OH2", [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
        >>> water.calc = ms.ase_calculator(encoder, finetune)
        >>> water.get_forces().shape
        (3, 3)
    """
    try:
        from ase.calculators.calculator import Calculator, all_changes
    except ImportError as error:
        raise ImportError("ase_calculator needs ASE; install it with `pip install molspectra[ase]`.") from error
    if unit not in ENERGY:
        raise ValueError(f"unit must be one of {', '.join(ENERGY)}; got {unit!r}. Convert the labels to one of these.")
    module = load_encoder(encoder)[0].eval()
    method = _regression_inside(regression).eval()
    if method.level != "molecule":
        raise ValueError(
            f"regression must predict an energy of molecules; got level={method.level!r}. Read properties of atoms "
            "with regression.predict(encoder, data)."
        )

    class FineTuned(Calculator):
        """Energies and forces of a fine-tuned encoder."""

        implemented_properties = ["energy"] if method.forces is None else ["energy", "forces"]
        perceived: tuple[list[int], Tensor, Tensor] | None = None  # elements, bonds and their orders

        def calculate(self, atoms: Any = None, properties: Any = None, system_changes: Any = all_changes) -> None:
            super().calculate(atoms, properties, system_changes)
            energy, forces = method.predict(module, self._molecule(self.atoms))
            self.results["energy"] = mean_of(energy).item() * ENERGY[unit]
            if forces is not None:
                self.results["forces"] = forces.detach().double().cpu().numpy() * ENERGY[unit]

        def _molecule(self, atoms: Any) -> Data:
            molecule = from_ase(atoms)  # refuses what is periodic
            weight = next(module.parameters(), molecule.pos)
            # From ASE's own positions, in float64: a model in float64 loses no digits.
            pos = torch.from_numpy(atoms.get_positions()).to(weight)
            molecule = Data(z=molecule.z.to(weight.device), pos=pos)
            if bond_index is not None:
                molecule.bond_index = bond_index.to(weight.device)
            elif needs_bonds(module):
                molecule.bond_index, molecule.bond_order = (part.to(weight.device) for part in self._bonds(molecule))
                molecule.bond_order = molecule.bond_order.to(weight.dtype)
            return molecule

        def _bonds(self, molecule: Data) -> tuple[Tensor, Tensor]:
            elements = molecule.z.tolist()
            # Bonds stay as they are while atoms move, as in a force field: an energy that jumps conserves nothing.
            if self.perceived is None or self.perceived[0] != elements:
                self.perceived = (elements, *perceive_bonds(molecule.z.cpu(), molecule.pos.cpu()))
            return self.perceived[1:]

    return FineTuned()


def _regression_inside(module: nn.Module) -> Regression:
    """Return the regression inside a wrapper such as `AveragedModel`, or the module itself.

    Raises:
        TypeError: there is none.
    """
    inside = unwrap(module)
    if not (hasattr(inside, "predict") and hasattr(inside, "forces")):
        raise TypeError(
            f"regression must be a methods.Regression of energies; got a {type(inside).__name__}. Of NoisyNodes pass "
            "method.regression, of DeNS too, and of TrainingModule model.method."
        )
    return inside  # type: ignore[return-value]
