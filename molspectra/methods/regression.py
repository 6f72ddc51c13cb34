"""Fine-tuning on labels: a property of each molecule or of each atom, and forces."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra._evaluation import evaluating
from molspectra._function_module import modules_inside
from molspectra._repr import fields_repr
from molspectra._signature import attribute_of, unwrap
from molspectra._validation import check_choice, check_weights, needs
from molspectra.distributed import global_mean
from molspectra.encoders.protocol import Encoder
from molspectra.features import AtomFeatures
from molspectra.heads.element_scale import ElementScale
from molspectra.heads.energy import differentiable, forces_of
from molspectra.heads.evidential import EvidentialHead
from molspectra.layers.precision import at_least_float32
from molspectra.methods.encoding import check_call, encode
from molspectra.methods.evaluation import Errors, join_errors
from molspectra.methods.labels import labels_of, mask_of
from molspectra.objectives.evidential import EvidentialLoss
from molspectra.objectives.weighted_sum import WeightedSum
from molspectra.uncertainty import Calibration, Distribution, Ensemble, Evidence, calibration, mean_of

Loss = Literal["mse", "l1", "smooth_l1", "evidential"] | EvidentialLoss
Level = Literal["molecule", "atom"]
_COMPARE = {"mse": F.mse_loss, "l1": F.l1_loss, "smooth_l1": F.smooth_l1_loss}


class Predicted(NamedTuple):
    """Predictions for a batch of molecules."""

    property: Tensor | Distribution
    """Property (B, 1), or (B, 3) of a vector head. With `level="atom"`, (N, 1) or (N, 3). A head that predicts
    uncertainties gives a distribution, with its `mean` and `std`."""
    forces: Tensor | None
    """Forces (N, 3) in units of the property per Å, None without forces."""

    def __repr__(self) -> str:
        return fields_repr(self)


class Regression(Configurable, nn.Module):
    """Regression of a property of each molecule or of each atom, and of forces, from an encoder's features.

    Forces are the negative gradient of the property, an energy, which conserves it. With `force_head` they are read
    from features, which is faster and does not conserve energy. Labels of NaN are unknown and left out.

    Args:
        head: Property head, `head(atoms, data) -> (B, 1)`. With `level="atom"` one value per atom, (N, 1), from
            :class:`~molspectra.heads.AtomHead`, or a vector, (N, 3), from :class:`~molspectra.heads.VectorHead`.
            :class:`~molspectra.heads.EvidentialHead` and :class:`~molspectra.heads.EnsembleHead` predict uncertainties.
        label: Field with the property, (B,) or (B, 1), or as the head predicts. With `level="atom"` (N,) or (N, 1).
        level: "molecule", or "atom" for a property of each atom: chemical shifts, charges. Every atom with a label then
            counts alike.
        mask: Field of booleans, in the shape of the label. Labels where it is False are left out.
        forces: Field with forces (N, 3), in units of the label per Å; None for no forces.
        force_head: Head `head(atoms, data) -> (N, 3)` that replaces the gradient.
        weights: Weights of "property" and, with forces, "forces". Default: 1, or 0.2 and 0.8, the values of Coord and
            Frad on MD17.
        loss: Comparison of predictions and labels. An evidential head needs "evidential", or an
            :class:`~molspectra.objectives.EvidentialLoss` with settings of its own.

    Raises:
        ValueError: A force head comes without a label for forces, forces are to be the gradient of a property of atoms,
            the loss or the level is unknown, or the weights are of other losses.

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
        level: Level = "molecule",
        mask: str | None = None,
        forces: str | None = None,
        force_head: nn.Module | None = None,
        weights: Mapping[str, float] | None = None,
        loss: Loss = "mse",
    ) -> None:
        super().__init__()
        if force_head is not None and forces is None:
            raise ValueError('force_head needs forces=, the field with their labels; got None. Say forces="forces".')
        check_choice("level", level, ("molecule", "atom"))
        if level == "atom" and forces is not None and force_head is None:
            raise ValueError(
                f'forces={forces!r} are the gradient of an energy of molecules; got level="atom". Leave forces out, or '
                "read them from features with force_head=VectorHead(channels)."
            )
        self.head = head
        self.label = label
        self.level = level
        self.mask = mask
        self.forces = forces
        self.force_head = force_head
        if not isinstance(loss, EvidentialLoss):
            check_choice("loss", loss, (*_COMPARE, "evidential"))
        self.loss = EvidentialLoss() if loss == "evidential" else loss
        evidential = isinstance(self.loss, EvidentialLoss)
        if isinstance(unwrap(head), EvidentialHead) and not evidential:
            raise ValueError(
                f'An EvidentialHead needs loss="evidential", or its uncertainty means nothing; got {loss!r}.'
            )
        if evidential and forces is not None:
            raise ValueError(f'forces={forces!r} have no evidence; got loss="evidential". Take "mse" or "l1".')
        default = {"property": 1.0} if forces is None else {"property": 0.2, "forces": 0.8}
        self.total = WeightedSum(check_weights(weights, default))

    @needs("encoder", "batch", form="method(encoder, batch)")
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
        check_call(self, encoder, batch, generator)
        return self.total(self.losses(encoder, batch))

    def losses(self, encoder: Encoder, batch: Data) -> dict[str, Tensor]:
        """Compute the losses by name, without their sum."""
        predicted = self.predict(encoder, batch)
        with record_function("molspectra::loss"):
            losses = {"property": self.error(predicted.property, batch)}
            if self.forces is not None:
                assert predicted.forces is not None
                target = labels_of(batch, self.forces, predicted.forces)
                losses["forces"] = mean_error(self.loss, predicted.forces, target, self.training)
        return losses

    def predict(self, encoder: Encoder, batch: Data) -> Predicted:
        """Predict the property of each molecule, or of each atom, and, on request, forces.

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
                return Predicted(energy, forces_of(mean_of(energy), batch.pos, create_graph=self.training))

    def evaluate(self, encoder: Encoder, batches: Iterable[Data]) -> Errors:
        """Compare predictions with the labels of all batches, in evaluation mode, and leave both in their mode.

        Args:
            encoder: Encoder `(z, pos, batch) -> AtomFeatures`.
            batches: Batches with labels, on the device of the encoder. NaN, and labels that the mask leaves out, do not
                count. Put batches of a loader on a device as `(batch.to(device) for batch in loader)`.

        Returns:
            Predictions and labels, with their mean absolute error `mae`, `rmse` and `r2`.

        Raises:
            ValueError: There is no label, or labels are missing or have a wrong shape.
        """
        modules = [*modules_inside(encoder), self]
        with evaluating(*modules):
            parts = []
            for batch in batches:
                predicted = self.predict(encoder, batch).property
                parts.append((mean_of(predicted), self.labels(predicted, batch)))
        return join_errors(parts)

    def calibrate(self, encoder: Encoder, batches: Iterable[Data], levels: int | Sequence[float] = 19) -> Calibration:
        """Measure how well predicted uncertainties agree with labels, by :func:`~molspectra.uncertainty.calibration`.

        Args:
            encoder: Encoder `(z, pos, batch) -> AtomFeatures`.
            batches: Batches with labels, on the device of the encoder, that training has not seen.
            levels: Levels of the quantiles, or their number.

        Raises:
            TypeError: The head predicts no distribution.
            ValueError: There is no label, or labels are missing or have a wrong shape.
        """
        modules = [*modules_inside(encoder), self]
        parts, targets = [], []
        with evaluating(*modules):
            for batch in batches:
                predicted = self.predict(encoder, batch).property
                if not isinstance(predicted, Distribution):
                    raise TypeError(
                        f"{type(unwrap(self.head)).__name__} predicts numbers without uncertainty. Use "
                        "heads.EvidentialHead or heads.EnsembleHead."
                    )
                parts.append(predicted)
                targets.append(self.labels(predicted, batch))
        if not parts:
            raise ValueError("batches must hold at least one batch; got none.")
        return calibration(type(parts[0]).join(parts), torch.cat(targets), levels)

    def read(self, atoms: AtomFeatures, data: Data) -> Tensor | Distribution:
        """Predict the property from the features of molecules."""
        return self.head(atoms, data)

    def error(self, predicted: Tensor | Distribution, batch: Data) -> Tensor:
        """Compute the mean loss over all known labels of the property.

        Raises:
            ValueError: The labels are missing or have another shape than the predictions, the head predicts no value
                per atom where the level is "atom", or an atom with a label is of an element that the head's scale lacks
                (checked for CPU tensors).
        """
        return mean_error(self.loss, predicted, self.labels(predicted, batch), self.training)

    def labels(self, predicted: Tensor | Distribution, batch: Data) -> Tensor:
        """Return the labels of the property in the shape and dtype of its predictions, NaN where not known."""
        predicted = mean_of(predicted)
        if self.level == "atom" and predicted.shape[0] != batch.pos.shape[0]:
            raise ValueError(
                f'level="atom" needs a head that predicts a value for each of {batch.pos.shape[0]} atoms; '
                f"{type(unwrap(self.head)).__name__} gave {tuple(predicted.shape)}. Use heads.AtomHead or "
                'heads.VectorHead, or level="molecule".'
            )
        target = labels_of(batch, self.label, predicted)
        if self.mask is not None:
            target = target.masked_fill(~mask_of(batch, self.mask, target), torch.nan)
        scale = attribute_of(self.head, "scale")
        if scale is not None and isinstance(inside := unwrap(scale), ElementScale):
            inside.check(batch.z, (~target.isnan()).flatten(1).any(dim=1))
        return target


def mean_error(loss: Any, predicted: Tensor | Distribution, target: Tensor, synchronize: bool) -> Tensor:
    """Return the mean loss over all labels that are not NaN, of all processes if `synchronize`."""
    known = ~target.isnan()
    # Constants in place of both are an error and a gradient of 0, without a dynamic shape.
    target = torch.where(known, target, 0.0)
    if isinstance(predicted, Distribution):
        predicted = predicted.map(at_least_float32).only(known)
    else:
        predicted = torch.where(known, at_least_float32(predicted), 0.0)
    evidential = not isinstance(loss, str)
    if evidential or isinstance(predicted, Evidence):
        if not evidential or not isinstance(predicted, Evidence):
            raise TypeError(
                f"An evidential loss and a head that predicts Evidence need each other; got loss={loss!r} and a "
                f'{type(predicted).__name__}. Use heads.EvidentialHead with loss="evidential".'
            )
        each = torch.where(known, loss(predicted, target), 0.0)
    elif isinstance(predicted, Ensemble):
        # Each member is compared by itself: the error of the mean alone would let members drift apart.
        targets = target.expand_as(predicted.members)
        each = _COMPARE[loss](predicted.members, targets, reduction="none").mean(dim=0)
    else:
        each = _COMPARE[loss](mean_of(predicted), target, reduction="none")
    return global_mean(each.sum(), known.sum(), synchronize)
