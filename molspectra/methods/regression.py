"""Fine-tuning on labels: a property of each molecule, and forces."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Data

from molspectra._batch import num_molecules_of
from molspectra._config import Configurable
from molspectra.distributed import global_mean
from molspectra.encoders.protocol import Encoder
from molspectra.features import AtomFeatures
from molspectra.heads.energy import differentiable, forces_of
from molspectra.layers.precision import at_least_float32
from molspectra.methods.encoding import encode
from molspectra.objectives.weighted_sum import WeightedSum

Loss = Literal["mse", "l1", "smooth_l1"]
_COMPARE = {"mse": F.mse_loss, "l1": F.l1_loss, "smooth_l1": F.smooth_l1_loss}


class Predicted(NamedTuple):
    """What a regression says of molecules."""

    property: Tensor
    """(B, 1), or (B, 3) of a head for vectors."""
    forces: Tensor | None
    """(N, 3), in units of the property per Å; None where none were asked for."""


class Regression(Configurable, nn.Module):
    """A property of each molecule from an encoder's features, and forces.

    Forces are minus the gradient of the property, an energy, and so conserve it; or, with `force_head`, read off the
    features, which is faster and conserves nothing. A label of NaN is one that is not known, and is left out.

    Args:
        head: Property head, `head(atoms, z=, pos=, batch=, num_molecules=) -> (B, 1)`.
        label: Field with the property, (B,) or (B, 1), or as the head predicts.
        forces: Field with forces (N, 3), in units of the label per Å; None for no forces.
        force_head: Maps atom features to forces (N, 3), in place of the gradient.
        weights: Weights of "property" and, if there are, "forces"; by default 1, or 0.2 and 0.8 as Coord and Frad are
            fine-tuned on MD17.
        loss: How predictions and labels are compared.

    Raises:
        ValueError: there is a head for forces, and no label for them; or no such loss.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> finetune = ms.methods.Regression(ms.heads.ScalarHead(32, reduce="mean"), label="gap", loss="l1")
        >>> batch = Batch.from_data_list(ms.data.MiniSpectra()[:4])
        >>> sorted(finetune(encoder, batch))
        ['loss', 'property']
        >>> finetune.predict(encoder, batch).property.shape
        torch.Size([4, 1])
    """

    def __init__(
        self,
        head: nn.Module,
        *,
        label: str = "y",
        forces: str | None = None,
        force_head: nn.Module | None = None,
        weights: Mapping[str, float] | None = None,
        loss: Loss = "mse",
    ) -> None:
        super().__init__()
        if force_head is not None and forces is None:
            raise ValueError('force_head needs forces=, the field with their labels; got None. Say forces="forces".')
        self.head = head
        self.label = label
        self.forces = forces
        self.force_head = force_head
        if loss not in _COMPARE:
            raise ValueError(f"loss must be one of {', '.join(_COMPARE)}; got {loss!r}.")
        self.compare = _COMPARE[loss]
        if weights is None:
            weights = {"property": 1.0} if forces is None else {"property": 0.2, "forces": 0.8}
        self.total = WeightedSum(weights)

    def forward(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """The losses of a batch.

        Args:
            encoder: Maps (z, pos, batch) to atom features; bonds are handed over if it takes them.
            batch: Molecules with labels.
            generator: Unused; methods share one signature.

        Returns:
            {"loss", "property"} and, if there are, "forces"; scalars.

        Raises:
            ValueError: a label is missing or has a wrong shape.
        """
        return self.total(self.losses(encoder, batch))

    def losses(self, encoder: Encoder, batch: Data) -> dict[str, Tensor]:
        """The losses by name, without their sum."""
        predicted = self.predict(encoder, batch)
        losses = {"property": self.error(predicted.property, batch, self.label)}
        if self.forces is not None:
            assert predicted.forces is not None
            losses["forces"] = self.error(predicted.forces, batch, self.forces)
        return losses

    def predict(self, encoder: Encoder, batch: Data) -> Predicted:
        """The property of each molecule, and the forces if they are asked for.

        Forces as a gradient are there under `torch.no_grad()` as well. In evaluation mode they carry no graph.
        """
        if self.forces is None or self.force_head is not None:
            atoms = encode(encoder, batch)
            forces = None if self.force_head is None else self.force_head(atoms)
            return Predicted(self.read(atoms, batch), forces)
        with torch.enable_grad():
            pos = differentiable(batch.pos)
            energy = self.read(encode(encoder, batch, pos=pos), batch, pos)
            return Predicted(energy, forces_of(energy, pos, create_graph=self.training))

    def read(self, atoms: AtomFeatures, batch: Data, pos: Tensor | None = None) -> Tensor:
        """The property, from features of the atoms of a batch, or of the same molecules at other positions."""
        pos = batch.pos if pos is None else pos
        return self.head(atoms, z=batch.z, pos=pos, batch=batch.batch, num_molecules=num_molecules_of(batch))

    def error(self, predicted: Tensor, batch: Data, label: str) -> Tensor:
        """The loss of predictions, over what is known of the labels."""
        target = batch.get(label)
        if target is None or target.numel() != predicted.numel():
            got = "none" if target is None else f"{tuple(target.shape)}"
            raise ValueError(
                f"The batch must have the field {label!r} of shape {tuple(predicted.shape)}; got {got}. Its fields are "
                f"{list(batch.keys())}; name another with label= or forces=."
            )
        predicted = at_least_float32(predicted)
        target = target.reshape(predicted.shape).to(predicted.dtype)
        unknown = target.isnan()
        each = self.compare(predicted, torch.where(unknown, predicted.detach(), target), reduction="none")
        return global_mean(each.sum(), (~unknown).sum(), self.training)
