"""Fine-tuning on labels: a property of each molecule, and forces."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra._repr import fields_repr
from molspectra._validation import check_choice, check_weights
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
    """Predictions for a batch of molecules."""

    property: Tensor
    """Property (B, 1), or (B, 3) of a vector head."""
    forces: Tensor | None
    """Forces (N, 3) in units of the property per Å, None without forces."""

    def __repr__(self) -> str:
        return fields_repr(self)


class Regression(Configurable, nn.Module):
    """Regression of a property of each molecule, and of forces, from an encoder's features.

    Forces are the negative gradient of the property, an energy, which conserves it. With `force_head` they are read
    from features, which is faster and does not conserve energy. Labels of NaN are unknown and left out.

    Args:
        head: Property head, `head(atoms, data) -> (B, 1)`.
        label: Field with the property, (B,) or (B, 1), or as the head predicts.
        forces: Field with forces (N, 3), in units of the label per Å; None for no forces.
        force_head: Head `head(atoms, data) -> (N, 3)` that replaces the gradient.
        weights: Weights of "property" and, with forces, "forces". Default: 1, or 0.2 and 0.8, the values of Coord and
            Frad on MD17.
        loss: Comparison of predictions and labels.

    Raises:
        ValueError: A force head comes without a label for forces, the loss is unknown, or the weights are of other
            losses.

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
        check_choice("loss", loss, tuple(_COMPARE))
        self.compare = _COMPARE[loss]
        default = {"property": 1.0} if forces is None else {"property": 0.2, "forces": 0.8}
        self.total = WeightedSum(check_weights(weights, default))

    def forward(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            encoder: Encoder `(z, pos, batch) -> AtomFeatures`. It receives bonds if its signature has them.
            batch: Molecules with labels.
            generator: Ignored. All methods share one call form.

        Returns:
            "loss", "property" and, with forces, "forces", scalars.

        Raises:
            ValueError: A label is missing or has a wrong shape.
        """
        return self.total(self.losses(encoder, batch))

    def losses(self, encoder: Encoder, batch: Data) -> dict[str, Tensor]:
        """Compute the losses by name, without their sum."""
        predicted = self.predict(encoder, batch)
        with record_function("molspectra::loss"):
            losses = {"property": self.error(predicted.property, batch, self.label)}
            if self.forces is not None:
                assert predicted.forces is not None
                losses["forces"] = self.error(predicted.forces, batch, self.forces)
        return losses

    def predict(self, encoder: Encoder, batch: Data) -> Predicted:
        """Predict the property of each molecule and, on request, forces.

        Forces as a gradient work under `torch.no_grad()` as well. In evaluation mode they carry no graph.
        """
        if self.forces is None or self.force_head is not None:
            atoms = encode(encoder, batch)
            with record_function("molspectra::head"):
                forces = None if self.force_head is None else self.force_head(atoms, batch)
                return Predicted(self.read(atoms, batch), forces)
        with torch.enable_grad():
            batch = differentiable(batch)
            atoms = encode(encoder, batch)
            with record_function("molspectra::head"):
                energy = self.read(atoms, batch)
            with record_function("molspectra::forces"):
                # A loss of forces differentiates them by the weights: training needs the graph of the gradient.
                return Predicted(energy, forces_of(energy, batch.pos, create_graph=self.training))

    def read(self, atoms: AtomFeatures, data: Data) -> Tensor:
        """Predict the property from the features of molecules."""
        return self.head(atoms, data)

    def error(self, predicted: Tensor, batch: Data, label: str) -> Tensor:
        """Compute the mean loss over all known labels."""
        target = batch.get(label)
        if target is None or target.numel() != predicted.numel():
            got = "none" if target is None else f"{tuple(target.shape)}"
            raise ValueError(
                f"The batch must have the field {label!r} of shape {tuple(predicted.shape)}; got {got}. Its fields are "
                f"{list(batch.keys())}; name another with label= or forces=."
            )
        predicted = at_least_float32(predicted)
        target = target.reshape(predicted.shape).to(predicted.dtype)
        # An unknown label takes the value of the prediction: its error and gradient are 0, without a dynamic shape.
        unknown = target.isnan()
        each = self.compare(predicted, torch.where(unknown, predicted.detach(), target), reduction="none")
        return global_mean(each.sum(), (~unknown).sum(), self.training)
