"""DeNS: denoising of structures away from equilibrium, told where they were by their forces."""

from collections.abc import Mapping, Sequence
from typing import Literal

import torch
from torch import Tensor, nn
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._batch import of_each_atom
from molspectra._transforms import in_eager_mode
from molspectra._validation import check_choice, check_weights
from molspectra.encoders.protocol import Encoder
from molspectra.features import AtomFeatures
from molspectra.heads.energy import differentiable, forces_of
from molspectra.heads.scalar import ScalarHead
from molspectra.heads.vector import VectorHead
from molspectra.methods.encoding import encode
from molspectra.methods.force_encoding import ForceEncoding
from molspectra.methods.labels import labels_of
from molspectra.methods.pretext_task import PretextTask, TaskOutput
from molspectra.methods.regression import Regression, mean_error
from molspectra.noise.dens import DeNSNoise
from molspectra.objectives.vector_error import VectorErrorLoss
from molspectra.objectives.weighted_sum import WeightedSum
from molspectra.uncertainty import Distribution, mean_of


class DeNS(PretextTask):
    """Denoising of non-equilibrium structures (DeNS, Liao et al., TMLR 2024, arXiv:2403.09549) beside their labels.

    Training on labelled structures, with denoising as an auxiliary task. Away from equilibrium, a perturbed structure
    does not tell which one it came from. The forces of the original structure do: they are encoded, and enter the
    encoder with the perturbed positions.

    * Atoms that were moved: their force is encoded, and their displacement is predicted.
    * All other atoms: no force is encoded, and their force in the original structure is predicted.
    * The energy of the original structure is predicted always.

    L = w₁ ⟨|Ê - E|⟩/s + w₂ ⟨|F̂_i - F_i|⟩/s + w₃ ⟨|n̂_i - n_i/σ|⟩ with s = `label_std` and means over molecules, unmoved
    atoms and moved atoms.

    The encoder must take vectors as context (EquivariantTransformer, GET, PaiNN, IrrepsTransformer). An atom that was
    not moved gets no context, so the trained encoder works without any. In evaluation mode nothing is moved. Use
    `regression` to predict and to evaluate: `method.regression.predict(encoder, batch)`.

    Args:
        channels: Width F of the encoder's features (`encoder.out_channels`).
        std: Standard deviation σ of the noise in Å. With a pair (low, high), each molecule draws its own.
        molecule_ratio: Probability that a molecule is drawn.
        atom_ratio: Probability that an atom of a drawn molecule is moved.
        head: Energy head, `head(atoms, data) -> (B, 1)`. Default: a :class:`~molspectra.heads.ScalarHead`.
        label: Field with energies, (B,) or (B, 1).
        forces: Field with forces (N, 3), in units of the label per Å. Atoms of NaN are not moved.
        fixed: Field of booleans (N,), True for atoms that are never moved; None for none.
        prediction: Forces are the negative "gradient" of the energy, or a "vector" of the encoder.
        label_std: Standard deviation s of the energies, in whose unit energies and forces are compared and encoded.
        l_max: Highest degree of the encoded forces, at most that of the encoder.
        weights: Weights of "property", "forces" and "denoising". Default: 1, 80 and 5, as published for MD17. The
            release lowers the last one linearly to 0 over the training: set `method.total.weights["denoising"]`.
        as_released: Encode forces in units of the label, whose size the encoder then has to cope with (MD17's ethanol:
            37 kcal/mol/Å), and reproduce the released arithmetic of the heads.

    Example:
        >>> encoder = ms.encoders.PaiNN(32, num_layers=2)
        >>> train = ms.methods.DeNS(channels=32, label_std=0.5)
        >>> batch = Batch.from_data_list(list(ms.data.MiniSpectra()[:4]))
        >>> batch.forces = torch.randn_like(batch.pos)
        >>> sorted(train(encoder, batch))
        ['denoising', 'forces', 'loss', 'property']
    """

    def __init__(
        self,
        channels: int,
        std: float | Sequence[float] = 0.05,
        *,
        molecule_ratio: float = 0.25,
        atom_ratio: float = 0.25,
        head: nn.Module | None = None,
        label: str = "energy",
        forces: str = "forces",
        fixed: str | None = None,
        prediction: Literal["gradient", "vector"] = "gradient",
        label_std: float = 1.0,
        l_max: int = 1,
        weights: Mapping[str, float] | None = None,
        as_released: bool = False,
    ) -> None:
        check_choice("prediction", prediction, ("gradient", "vector"))
        if not 0 < label_std < float("inf"):
            raise ValueError(f"label_std must be positive and finite, in units of the label; got {label_std}.")
        super().__init__()
        self.noise = DeNSNoise(std, molecule_ratio, atom_ratio, forces=forces, fixed=fixed)
        self.force_encoding = ForceEncoding(channels, l_max)
        self.noise_head = VectorHead(channels, as_released)
        self.regression = Regression(
            ScalarHead(channels, std=label_std, as_released=as_released) if head is None else head,
            label=label,
            forces=forces,
            force_head=VectorHead(channels, as_released) if prediction == "vector" else None,
        )
        self.objective = VectorErrorLoss()
        self.total = WeightedSum(check_weights(weights, {"property": 1.0, "forces": 80.0, "denoising": 5.0}))
        self.label_std = label_std
        self.as_released = as_released

    def run(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> TaskOutput:
        """Move some atoms, encode with the forces on them, predict energy, forces and displacements, compare."""
        with record_function("molspectra::noise"):
            noisy = in_eager_mode(self.noise, batch, generator) if self.training else self._unmoved(batch)
        energy, forces, atoms, noisy = self._predict(encoder, noisy)
        with record_function("molspectra::head"):
            denoised = self.noise_head(atoms, noisy)
        # In units of σ, as the noise differs between molecules where a range is given.
        target = noisy.pos_target / of_each_atom(noisy.noise_scale, noisy).unsqueeze(1)
        name = self.regression.forces
        assert name is not None
        with record_function("molspectra::loss"):
            of_energy = mean_error("l1", energy, self.regression.labels(energy, batch), self.training)
            of_forces = self.objective(forces, labels_of(batch, name, forces), ~noisy.corrupted)
            losses = self.total(
                {
                    "property": of_energy / self.label_std,
                    "forces": of_forces / self.label_std,
                    "denoising": self.objective(denoised, target, noisy.corrupted),
                }
            )
        return TaskOutput(losses.pop("loss"), atoms, noisy, losses)

    def _predict(self, encoder: Encoder, noisy: Data) -> tuple[Tensor | Distribution, Tensor, AtomFeatures, Data]:
        """Return energies (B, 1), forces (N, 3), features, and the molecules from whose positions they are computed."""
        context = self._context(noisy) if self.training else None
        force_head = self.regression.force_head
        if force_head is not None:
            atoms = encode(encoder, noisy, context=context)
            with record_function("molspectra::head"):
                return self.regression.read(atoms, noisy), force_head(atoms, noisy), atoms, noisy
        with torch.enable_grad():
            noisy = differentiable(noisy)
            atoms = encode(encoder, noisy, context=context)
            with record_function("molspectra::head"):
                energy = self.regression.read(atoms, noisy)
            with record_function("molspectra::forces"):
                forces = forces_of(mean_of(energy), noisy.pos, create_graph=self.training)
        return energy, forces, atoms, noisy

    def _context(self, noisy: Data) -> AtomFeatures:
        """Encode the forces of the original structure on atoms that were moved."""
        forces = noisy[self.regression.forces].to(noisy.pos.dtype)
        # Of order 1, as the other inputs of the encoder are.
        return self.force_encoding(forces if self.as_released else forces / self.label_std, noisy.corrupted)

    def _unmoved(self, batch: Data) -> Data:
        nothing = torch.zeros(batch.pos.shape[0], dtype=torch.bool, device=batch.pos.device)
        return self.noise.corrupt(batch, nothing, torch.zeros_like(batch.pos))
