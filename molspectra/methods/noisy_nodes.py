"""Noisy Nodes: denoising as an auxiliary task of fine-tuning."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra._signature import attribute_of, unwrap
from molspectra._validation import check_weights, needs
from molspectra.encoders.protocol import Encoder
from molspectra.methods.encoding import check_call
from molspectra.methods.pretext_task import run_task
from molspectra.methods.regression import Level, Loss, Regression
from molspectra.objectives.weighted_sum import WeightedSum


class NoisyNodes(Configurable, nn.Module):
    """Fine-tuning with Noisy Nodes (Godwin et al., ICLR 2022, arXiv:2106.07971), in two forms.

    * In one pass, as Coord, Frad and SliDe are fine-tuned on QM9: property head and denoising head read the same
      features of perturbed molecules.
    * `separate=True`, as on MD17 (Frad, arXiv:2307.10683): energy, and forces as its gradient, come from unperturbed
      molecules, and denoising from a second pass over perturbed ones. Labels of forces do not hold for a perturbed
      frame. EMPP and EMGP need this form too: EMPP removes atoms, and noise of up to 10 Å leaves nothing of a molecule.

    In evaluation mode nothing is perturbed in either form.

    The released settings: on QM9 `Coord(channels, std=0.005)` and weight 0.1 of the denoising; on MD17
    `Frad(channels, std=0.005, rotatable_std=math.radians(20))`, `separate=True`, `forces="forces"`, a smooth L1 loss,
    and weights of 0.2, 0.8 and 0.1 for energy, forces and denoising. These weights are the defaults here.

    Args:
        task: The pretext task, also within a wrapper.
        head: Property head, `head(atoms, data) -> (B, 1)`.
        label: Field with the property, (B,) or (B, 1), an energy if there are forces.
        level: "molecule", or "atom" for a property of each atom, see :class:`Regression`.
        mask: Field of booleans, in the shape of the label. Labels where it is False are left out.
        forces: Field with forces (N, 3), in units of the label per Å; None for no forces.
        separate: Denoise in a separate pass.
        weights: Weights of "property", "denoising" and, with forces, "forces".
        loss: Comparison of predictions and labels.

    Raises:
        ValueError: Forces, or EMPP, which removes atoms, are requested in one pass, or the weights are of other losses.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> finetune = ms.methods.NoisyNodes(ms.methods.Coord(32, std=0.005), ms.heads.ScalarHead(32), label="gap")
        >>> sorted(finetune(encoder, Batch.from_data_list(ms.data.MiniSpectra()[:4])))
        ['denoising', 'loss', 'property']
    """

    def __init__(
        self,
        task: nn.Module,
        head: nn.Module,
        *,
        label: str = "y",
        level: Level = "molecule",
        mask: str | None = None,
        forces: str | None = None,
        separate: bool = False,
        weights: Mapping[str, float] | None = None,
        loss: Loss = "mse",
    ) -> None:
        super().__init__()
        if forces is not None and not separate:
            raise ValueError(f"forces={forces!r} needs separate=True: labels hold for unperturbed molecules only.")
        if not (separate or attribute_of(task, "preserves_atoms", True)):
            raise ValueError(
                f"{type(unwrap(task)).__name__} removes atoms, so that labels no longer hold. Pass separate=True, "
                "for a separate pass."
            )
        self.task = task
        self.regression = Regression(head, label=label, level=level, mask=mask, forces=forces, loss=loss)
        self.separate = separate
        self.total = WeightedSum(check_weights(weights, {**self.regression.total.weights, "denoising": 0.1}))

    @needs("encoder", "batch", form="method(encoder, batch)")
    def forward(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            encoder: Encoder `(z, pos, batch) -> AtomFeatures`. It receives bonds if its signature has them.
            batch: Molecules with labels and the fields that the noise needs.
            generator: Source of randomness, on the batch's device.

        Returns:
            "loss", "property", "denoising" and, with forces, "forces", scalars. In evaluation mode "denoising" is 0.

        Raises:
            ValueError: A label is missing or has a wrong shape.
        """
        check_call(self, encoder, batch, generator)
        regression = self.regression
        if self.training and not self.separate:
            # The property of the unperturbed molecule is the label of the perturbed one: noise regularizes.
            denoising, atoms, noisy, _ = run_task(self.task, encoder, batch, generator)
            if noisy.pos.shape != batch.pos.shape:
                raise ValueError(
                    f"task must preserve the atoms of the batch, for which the labels hold; got {noisy.pos.shape[0]} "
                    f"atoms for {batch.pos.shape[0]}. Pass separate=True, and set preserves_atoms = False in the task."
                )
            losses = {"property": regression.error(regression.read(atoms, noisy), batch)}
        else:
            losses = regression.losses(encoder, batch)
            # An energy and its forces hold at exact positions, so the denoising gets a pass of its own.
            denoising = torch.zeros((), dtype=batch.pos.dtype, device=batch.pos.device)
            if self.training:
                denoising = self.task(encoder, batch, generator)["loss"]
        return self.total({**losses, "denoising": denoising})
