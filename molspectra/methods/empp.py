"""EMPP: prediction of the position of a masked atom, for pre-training or as an auxiliary task."""

import math
import warnings
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._batch import molecule_of
from molspectra._repr import fields_repr
from molspectra._transforms import in_eager_mode
from molspectra._validation import values_are_free
from molspectra.encoders.protocol import Encoder
from molspectra.features import AtomFeatures
from molspectra.heads.position_distribution import PositionDistributionHead
from molspectra.layers.position_distribution import PositionDistribution
from molspectra.methods.encoding import encode
from molspectra.methods.masked_atom_embedding import FARTHEST_LABEL, MaskedAtomEmbedding
from molspectra.methods.position_readout import locate
from molspectra.methods.pretext_task import PretextTask, TaskOutput
from molspectra.noise.atom_mask import AtomMask
from molspectra.noise.masked_pairs import MaskedPairs, masked_pairs
from molspectra.objectives.position_distribution import PositionDistributionLoss


class PredictedPosition(NamedTuple):
    """Predicted positions of masked atoms."""

    pos: Float[Tensor, "molecules 3"]
    """Predicted position of the masked atom of each molecule in Å, (B, 3), NaN if no atom is near it."""
    error: Float[Tensor, " molecules"]
    """Distance to its true position in Å, (B,), NaN likewise."""
    masked: Data
    """Molecules without the masked atoms (see :class:`~molspectra.noise.AtomMask`)."""
    pairs: MaskedPairs
    """Pairs of neighboring and masked atoms."""
    distribution: PositionDistribution
    """Predicted distribution of each pair."""

    def __repr__(self) -> str:
        return fields_repr(self)


class EMPP(PretextTask):
    """Equivariant masked position prediction (An et al., ICLR 2025, arXiv:2502.08209).

    The task removes one atom from each molecule. Every atom within 5 Å of the gap predicts distributions of the
    direction and the distance of the removed atom, given its element and, optionally, a property of the whole molecule.

    EMPP pre-trains on equilibrium structures. As an auxiliary task, pass it to :class:`~molspectra.methods.NoisyNodes`
    with `separate=True`, with or without the property as `label`. The encoder must give vectors and take `context`.

    Differences from the release, undone by `as_released=True`:

    * directions are weighted by area, and distances have a normalized label (see
      :class:`~molspectra.heads.PositionDistributionHead` and :class:`~molspectra.objectives.PositionDistributionLoss`),
    * every molecule has equal weight, however many atoms are near its gap,
    * copies are averaged, as in the paper, while the release adds them up.

    In both modes the conditioning enters the encoder once (see :class:`.MaskedAtomEmbedding`).

    Args:
        channels: Width of the encoder's features (`encoder.out_channels`).
        num_copies: Copies of each molecule, each without another atom, that form one larger batch.
        heavy_only: Mask hydrogens only in molecules without other atoms.
        cutoff: Distance in Å from the gap up to which atoms predict. Predicted distances reach 6 Å.
        l_max: Highest degree of the predicted signals.
        label: Field with a property of the molecule, (B,) or (B, 1), as condition; None for none. NaN is a missing
            label.
        label_mean: Mean of the property over the training set. Labels further than 3.3 standard deviations from it
            count as missing, with a warning if most of them do.
        label_std: Standard deviation of the property.
        temperature: Temperature T of predicted and true distributions of directions.
        reduce: Unit of equal weight, "molecule" or "pair". Default: "molecule", or "pair" `as_released`.
        as_released: Reproduce the released arithmetic.

    Raises:
        ValueError: An argument is out of range.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> empp = EMPP(channels=32, label="gap", label_mean=8.0, label_std=2.0)
        >>> batch = Batch.from_data_list(ms.data.MiniSpectra()[:4])
        >>> empp(encoder, batch)["loss"].backward()
        >>> empp.predict_position(encoder, batch).pos.shape
        torch.Size([4, 3])
    """

    preserves_atoms = False

    def __init__(
        self,
        channels: int,
        *,
        num_copies: int = 1,
        heavy_only: bool = False,
        cutoff: float = 5.0,
        l_max: int = 2,
        label: str | None = None,
        label_mean: float = 0.0,
        label_std: float = 1.0,
        temperature: float = 0.1,
        reduce: Literal["pair", "molecule"] | None = None,
        as_released: bool = False,
    ) -> None:
        if not cutoff > 0:
            raise ValueError(f"cutoff must be positive (Å); got {cutoff}.")
        if not (0 < label_std < math.inf and math.isfinite(label_mean)):
            raise ValueError(
                f"label_mean and label_std > 0 must be finite, in units of the label; got {label_mean} and {label_std}."
            )
        super().__init__()
        self.noise = AtomMask(num_copies, heavy_only, () if label is None else (label,))
        self.head = PositionDistributionHead(channels, l_max, temperature=temperature, as_released=as_released)
        self.objective = PositionDistributionLoss(temperature, l_max=l_max, reduce=reduce, as_released=as_released)
        self.condition = MaskedAtomEmbedding(channels, label is not None)
        self.cutoff = cutoff
        self.label = label
        self.label_mean = label_mean
        self.label_std = label_std

    @property
    def num_copies(self) -> int:
        """Number of masked copies of each molecule."""
        return self.noise.num_copies

    def run(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> TaskOutput:
        """Mask, encode, predict positions, compare. The loss is 0 if no atom is near a masked one."""
        with record_function("molspectra::noise"):
            masked = in_eager_mode(self.noise, batch, generator)
        atoms = self._encode(encoder, masked)
        # Distant atoms know too little about the gap. Distances beyond 6 Å are not on the grid of the head.
        pairs = in_eager_mode(masked_pairs, masked, self.cutoff)
        with record_function("molspectra::head"):
            predicted = self.head(atoms.select(pairs.atom))
        with record_function("molspectra::loss"):
            loss = self.objective(
                predicted, pairs.displacement, pairs.molecule, masked.masked_z.shape[0], num_copies=self.num_copies
            )
        return TaskOutput(loss, atoms, masked, {"position": loss})

    @torch.no_grad()
    def predict_position(
        self,
        encoder: Encoder,
        batch: Data,
        atom: Int[Tensor, " molecules"] | None = None,
        generator: torch.Generator | None = None,
    ) -> PredictedPosition:
        """Mask an atom of every molecule and predict its position by :func:`~molspectra.methods.locate`.

        Put encoder and method into evaluation mode first. As in training, the atoms within the cutoff of the true
        position predict. In a molecule smaller than the cutoff, these are all atoms.

        Args:
            encoder: See :meth:`forward`.
            batch: See :meth:`forward`.
            atom: Row in the batch of the atom to mask, for each molecule in order, (B,); drawn if None.
            generator: Source of randomness for the draw.

        Returns:
            Predicted positions and their errors, NaN for a molecule without an atom near the gap, and their
            ingredients.

        Raises:
            ValueError: See :meth:`forward`. Also raised if an atom is not in its molecule.
        """
        if atom is None:
            # Of several copies, the first is enough: one row of the batch per molecule.
            atom = self.noise.draw(batch, generator)
            atom = atom[: atom.shape[0] // self.num_copies]
        masked = self.noise.mask(batch, atom)
        pairs = masked_pairs(masked, self.cutoff)
        atoms = self._encode(encoder, masked).select(pairs.atom)
        with record_function("molspectra::head"):
            distribution = self.head(atoms)
        with record_function("molspectra::locate"):
            anchor = masked.pos.index_select(0, pairs.atom)
            pos = locate(distribution, anchor, pairs.molecule, masked.masked_z.shape[0])
        error = torch.linalg.vector_norm(pos - masked.masked_pos, dim=1)
        return PredictedPosition(pos, error, masked, pairs, distribution)

    def _encode(self, encoder: Encoder, masked: Data) -> AtomFeatures:
        """Encode the remaining atoms, conditioned on the element that was removed from their molecule."""
        # Without its element, a hydrogen and a carbon would have to share one prediction.
        context = self.condition(masked.masked_z, self._label(masked))
        if masked.z.shape[0] > 0:
            return encode(encoder, masked, context=context.index_select(0, molecule_of(masked)))
        # Only molecules of one atom, of which nothing remains. Encode one atom and read nothing from it: the weights
        # then get gradients of 0, and DistributedDataParallel does not wait for them.
        atom = Data(z=masked.masked_z[:1], pos=masked.masked_pos[:1], **_no_bonds(masked))
        return encode(encoder, atom, context=context[:1]).select(masked.z)

    def _label(self, masked: Data) -> Tensor | None:
        """Return the standardized label of each copy."""
        if self.label is None:
            return None
        label = masked[self.label]
        if label.numel() != masked.masked_z.shape[0]:
            raise ValueError(
                f"{self.label!r} must be one number per molecule, (B,) or (B, 1); got rows of shape "
                f"{tuple(label.shape[1:])}. Name another field with label=."
            )
        label = (label.reshape(-1) - self.label_mean) / self.label_std
        # A wrong unit or a forgotten mean puts all labels out of range of the Gaussians. Checked on the CPU only, where
        # it does not wait for a device.
        if values_are_free(label) and bool((label.abs() > FARTHEST_LABEL).double().mean() > 0.5):
            warnings.warn(
                f"Most labels {self.label!r} are further than {FARTHEST_LABEL} standard deviations from the mean, "
                f"where they count as missing. label_mean={self.label_mean} and label_std={self.label_std} should be "
                "those of the training set.",
                stacklevel=2,
            )
        return label


def _no_bonds(masked: Data) -> dict[str, Tensor]:
    """Return the empty bonds of molecules without remaining atoms, if the batch has bonds."""
    return {name: masked[name] for name in ("bond_index", "bond_order") if name in masked}
