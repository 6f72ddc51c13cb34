"""EMPP: pre-training, or an auxiliary task, by predicting where a masked atom was."""

import math
import warnings
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch_geometric.data import Data

from molspectra._batch import molecule_of
from molspectra._validation import values_are_free
from molspectra.distributed import global_mean, sum_over_processes
from molspectra.encoders.protocol import Encoder
from molspectra.features import AtomFeatures
from molspectra.heads.position_distribution import PositionDistributionHead
from molspectra.heads.position_readout import locate
from molspectra.layers.position_distribution import PositionDistribution
from molspectra.methods.denoising import Denoised, Denoising
from molspectra.methods.encoding import encode
from molspectra.methods.masked_atom_embedding import FARTHEST_LABEL, MaskedAtomEmbedding
from molspectra.noise.atom_mask import EMPPMask
from molspectra.noise.masked_pairs import MaskedPairs, masked_pairs
from molspectra.objectives.position_distribution import PositionDistributionLoss


class PredictedPosition(NamedTuple):
    """Where an atom was found to be missing."""

    pos: Float[Tensor, "molecules 3"]
    """Predicted position of the atom taken out of each molecule, in Å, (B, 3); NaN where nothing is near it."""
    error: Float[Tensor, " molecules"]
    """Distance to its true position in Å, (B,); NaN likewise."""
    masked: Data
    """The molecules without it (see :class:`~molspectra.noise.EMPPMask`)."""
    pairs: MaskedPairs
    """The atoms that were asked."""
    distribution: PositionDistribution
    """What each of them answered."""


class EMPP(Denoising):
    """Equivariant masked position prediction (An et al., ICLR 2025, arXiv:2502.08209).

    One atom of each molecule is taken out. Told its element and, optionally, a property of the whole molecule, each
    atom within 5 Å of the gap predicts distributions of the direction and the distance at which it was.

    By itself it pre-trains on equilibrium structures. As an auxiliary task hand it to
    :class:`~molspectra.methods.NoisyNodes` with `separate=True`, with or without the property as `label`. It needs an
    encoder with vectors that takes `context`.

    Differences from the release, undone by `as_released=True`: directions are weighted with the area they stand for and
    distances have a normalised label (see :class:`~molspectra.heads.PositionDistributionHead` and
    :class:`~molspectra.objectives.PositionDistributionLoss`); every molecule weighs the same, however many atoms are
    near its gap; and copies are averaged, as in the paper, where the release adds them up. In both modes the
    conditioning goes into the encoder once (see :class:`.MaskedAtomEmbedding`).

    Args:
        channels: Width of the encoder's features (`encoder.out_channels`).
        num_masked: Copies of each molecule, each without another atom, that make one larger batch.
        heavy_only: Take out hydrogens only where there is nothing else.
        cutoff: Å, how far from the gap atoms predict. Distances are predicted up to 6 Å.
        l_max: Highest degree of the predicted signals.
        label: Field with a property of the molecule, (B,) or (B, 1), to be told; None for none. A label of NaN is a
            missing one.
        label_mean: Mean of the property over the training set. Labels further than 3.3 standard deviations from it
            count as missing; a warning says so where most of them do.
        label_std: Standard deviation of the property.
        temperature: T of predicted and true distributions of directions.
        reduce: What counts equally: "molecule" or "pair"; by default "molecule", or "pair" `as_released`.
        as_released: Reproduce the released arithmetic.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> empp = EMPP(channels=32, label="gap", label_mean=8.0, label_std=2.0)
        >>> batch = Batch.from_data_list(ms.data.MiniSpectra()[:4])
        >>> empp(encoder, batch)["loss"].backward()
        >>> empp.predict_position(encoder, batch).pos.shape
        torch.Size([4, 3])
    """

    noise: EMPPMask
    objective: PositionDistributionLoss
    keeps_atoms = False

    def __init__(
        self,
        channels: int,
        *,
        num_masked: int = 1,
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
        if reduce not in ("pair", "molecule", None):
            raise ValueError(f'reduce must be "pair" or "molecule"; got {reduce!r}.')
        super().__init__(
            EMPPMask(num_masked, heavy_only, () if label is None else (label,)),
            PositionDistributionHead(channels, l_max, temperature=temperature, as_released=as_released),
            PositionDistributionLoss(temperature, l_max=l_max, reduce=reduce, as_released=as_released),
        )
        self.condition = MaskedAtomEmbedding(channels, label is not None)
        self.cutoff = cutoff
        self.label = label
        self.label_mean = label_mean
        self.label_std = label_std
        self.reduce = reduce or ("pair" if as_released else "molecule")
        self.as_released = as_released

    @property
    def num_masked(self) -> int:
        """Copies of each molecule."""
        return self.noise.num_masked

    def forward(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Mask, encode, predict, compare.

        Args:
            encoder: Maps (z, pos, batch) and `context` to atom features with vectors; bonds are handed over if it takes
                them.
            batch: Molecules with `z` and `pos` and, if there is one, the label.
            generator: Source of randomness, on the batch's device.

        Returns:
            {"loss", "position"}, equal scalars; 0 if no atom is near a gap.

        Raises:
            ValueError: the label is missing, or the encoder takes no context or gives no vectors.
        """
        loss = self._mask_and_compare(encoder, batch, generator).loss
        return {"loss": loss, "position": loss}

    def denoise(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> Denoised:
        """The loss, and the masked molecules with the features of the atoms left, for further losses.

        Raises:
            ValueError: there are several copies of each molecule.
        """
        if self.num_masked != 1:
            raise ValueError(
                f"num_masked must be 1 where further losses read the masked molecules, one for each of the batch; got "
                f"{self.num_masked}. Call the method itself, or pass num_masked=1."
            )
        return self._mask_and_compare(encoder, batch, generator)

    @torch.no_grad()
    def predict_position(
        self,
        encoder: Encoder,
        batch: Data,
        atom: Int[Tensor, " molecules"] | None = None,
        generator: torch.Generator | None = None,
    ) -> PredictedPosition:
        """Take an atom out of every molecule and say where it was, by :func:`~molspectra.heads.locate`: for evaluation.

        Put encoder and method into evaluation mode first. Which atoms are asked is known from the true position (those
        within the cutoff), as in training; in a molecule smaller than that, all are.

        Args:
            encoder: See :meth:`forward`.
            batch: See :meth:`forward`.
            atom: Row of the batch, for each molecule in order, of the atom to take out, (B,); drawn if None.
            generator: Source of randomness for that.

        Returns:
            Predicted positions and their errors, NaN for a molecule that has no atom near the gap; and what they were
            made of.

        Raises:
            ValueError: see :meth:`forward`; or an atom is not in its molecule.
        """
        if atom is None:
            atom = self.noise.draw(batch, generator)
            atom = atom[: atom.shape[0] // self.num_masked]
        masked = self.noise.mask(batch, atom)
        pairs = masked_pairs(masked, self.cutoff)
        distribution = self.head(self._encode(encoder, masked).select(pairs.atom))
        anchor = masked.pos.index_select(0, pairs.atom)
        pos = locate(distribution, anchor, pairs.molecule, masked.masked_z.shape[0])
        error = torch.linalg.vector_norm(pos - masked.masked_pos, dim=1)
        return PredictedPosition(pos, error, masked, pairs, distribution)

    def _mask_and_compare(self, encoder: Encoder, batch: Data, generator: torch.Generator | None) -> Denoised:
        masked = self.noise(batch, generator)
        atoms = self._encode(encoder, masked)
        pairs = masked_pairs(masked, self.cutoff)
        predicted = self.head(atoms.select(pairs.atom))
        if self.reduce == "pair":
            loss = self._of_copies(self.objective.of_pairs(predicted, pairs.displacement), pairs, masked)
        else:
            loss = self.objective(predicted, pairs.displacement, pairs.molecule, masked.masked_z.shape[0])
            loss = loss * self.num_masked if self.as_released else loss
        return Denoised(loss, atoms, masked)

    def _of_copies(self, loss: Tensor, pairs: MaskedPairs, masked: Data) -> Tensor:
        """Losses of pairs averaged over each copy of the batch, as the published batches hold one copy each."""
        copy = pairs.molecule // (masked.masked_z.shape[0] // self.num_masked)
        sums, counts = loss.new_zeros(2, self.num_masked).index_add(1, copy, torch.stack([loss, torch.ones_like(loss)]))
        total = global_mean(sums, counts, self.training).sum()
        if self.as_released:
            return total
        counts = sum_over_processes(counts) if self.training else counts
        return total / counts.count_nonzero().clamp(min=1)

    def _encode(self, encoder: Encoder, masked: Data) -> AtomFeatures:
        """Features of the atoms left, which know what has been taken from their molecule."""
        context = self.condition(masked.masked_z, self._label(masked))
        if masked.z.shape[0] > 0:
            return encode(encoder, masked, context=context.index_select(0, molecule_of(masked)))
        # Nothing is left of molecules of one atom. The encoder is called all the same, on an atom of which nothing is
        # read: its weights get gradients of 0, and other processes do not wait for them.
        atom = Data(z=masked.masked_z[:1], pos=masked.masked_pos[:1], **_no_bonds(masked))
        return encode(encoder, atom, context=context[:1]).select(masked.z)

    def _label(self, masked: Data) -> Tensor | None:
        """The standardised label of each copy."""
        if self.label is None:
            return None
        label = masked[self.label]
        if label.numel() != masked.masked_z.shape[0]:
            raise ValueError(
                f"{self.label!r} must be one number a molecule, (B,) or (B, 1); got rows of shape "
                f"{tuple(label.shape[1:])}. Name another field with label=."
            )
        label = (label.reshape(-1) - self.label_mean) / self.label_std
        if values_are_free(label) and bool((label.abs() > FARTHEST_LABEL).double().mean() > 0.5):
            warnings.warn(
                f"Most labels {self.label!r} are further than {FARTHEST_LABEL} standard deviations from the mean, "
                f"where they count as missing. label_mean={self.label_mean} and label_std={self.label_std} should be "
                "those of the training set.",
                stacklevel=2,
            )
        return label


def _no_bonds(masked: Data) -> dict[str, Tensor]:
    """The (empty) bonds of molecules of which no atom is left, if they have any such fields."""
    return {name: masked[name] for name in ("bond_index", "bond_order") if name in masked}
