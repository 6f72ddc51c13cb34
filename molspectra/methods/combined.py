"""Several methods as one, with the weighted sum of their losses."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._signature import attribute_of, unwrap
from molspectra._validation import check_module_names, needs
from molspectra.encoders.protocol import Encoder
from molspectra.methods.pretext_task import PretextTask, TaskOutput, keep, run_task
from molspectra.objectives.weighted_sum import WeightedSum


class Combined(PretextTask):
    """Weighted sum of methods on one encoder, L = Σ_k w_k L_k, as one module for an optimizer or a wrapper.

    Each method makes its own pass over the batch. The result holds "loss", and every entry of a method under its name
    and a slash: "empp/loss", "empp/position", "frad/loss", "frad/denoising". Entries of methods are not weighted.

    Any method can take part, also :class:`Regression` and :class:`MaskedReconstruction`. Where a combination serves as
    a pretext task, as in :class:`MolSpectra` and :class:`NoisyNodes`, the first pretext task that preserves atoms
    represents it: its features and molecules are those of :meth:`run`. If none does, it is the first pretext task.

    Args:
        methods: Name → (method, weight). Methods of weight 0 run and are reported, without a gradient.

    Raises:
        ValueError: There is no method, a name cannot be that of a module, or a weight is not finite.
        TypeError: An entry is no pair of a method and a weight.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> both = Combined({"coord": (ms.methods.Coord(32), 1.0), "emgp": (ms.methods.EMGP(32), 0.5)})
        >>> sorted(both(encoder, Batch.from_data_list(ms.data.MiniSpectra()[:4])))
        ['coord/denoising', 'coord/loss', 'emgp/denoising', 'emgp/loss', 'emgp/noise_scale', 'loss']
    """

    def __init__(self, methods: Mapping[str, Any]) -> None:
        super().__init__()
        check_module_names("methods", methods)
        for name, entry in methods.items():
            if not (isinstance(entry, tuple | list) and len(entry) == 2 and isinstance(entry[0], nn.Module)):
                raise TypeError(
                    f"methods[{name!r}] must be a pair (method, weight); got {entry!r:.80}. Write "
                    f'Combined({{"{name}": (method, 1.0)}}).'
                )
        self.methods = nn.ModuleDict({name: method for name, (method, _) in methods.items()})
        self.total = WeightedSum({name: weight for name, (_, weight) in methods.items()})
        tasks = [name for name, method in self.methods.items() if isinstance(unwrap(method), PretextTask)]
        preserving = [name for name in tasks if attribute_of(self.methods[name], "preserves_atoms")]
        self.representative = next(iter([*preserving, *tasks]), None)

    @property
    def num_copies(self) -> int:
        """Number of altered copies of each molecule, of the task that represents the combination."""
        return attribute_of(self._task, "num_copies")

    @property
    def preserves_atoms(self) -> bool:  # type: ignore[override]
        """True if a pretext task preserves atoms, and represents the combination."""
        return attribute_of(self._task, "preserves_atoms")

    @property
    def needs_encoder(self) -> bool:  # type: ignore[override]
        """True if a method encodes molecules."""
        return any(attribute_of(method, "needs_encoder", True) for method in self.methods.values())

    @needs("encoder", "batch", form="method(encoder, batch)")
    def forward(
        self, encoder: Encoder | None, batch: Data, generator: torch.Generator | None = None
    ) -> dict[str, Tensor]:
        """Compute the losses of a batch.

        Args:
            encoder: Encoder `(z, pos, batch) -> AtomFeatures`.
            batch: Molecules with the fields that the methods need.
            generator: Source of randomness, on the device of the batch. The methods draw from it in order.

        Returns:
            "loss" and the losses of each method, "name/loss" and "name/part", scalars.

        Raises:
            ValueError: See the methods.
        """
        if self.representative is None:
            return self._losses({name: method(encoder, batch, generator) for name, method in self.methods.items()})
        output = self.run(encoder, batch, generator)  # type: ignore[arg-type]
        keep(output)
        return {"loss": output.loss, **output.parts}

    def run(self, encoder: Encoder, batch: Data, generator: torch.Generator | None = None) -> TaskOutput:
        """Compute the losses of a batch, and return the molecules and features of the representing task with them."""
        outputs, represented = {}, None
        task = self._task
        for name, method in self.methods.items():
            if method is task:
                represented = run_task(method, encoder, batch, generator)
                outputs[name] = {"loss": represented.loss, **represented.parts}
            else:
                outputs[name] = method(encoder, batch, generator)
        assert represented is not None
        losses = self._losses(outputs)
        return TaskOutput(losses.pop("loss"), represented.atoms, represented.data, losses)

    @property
    def _task(self) -> nn.Module:
        if self.representative is None:
            raise ValueError(
                f"A pretext task must be among the methods {list(self.methods)} for features and altered molecules; "
                "got none. Add one (Coord, Frad, SliDe, EMGP, EMPP), or call the combination itself."
            )
        return self.methods[self.representative]

    def _losses(self, outputs: Mapping[str, Mapping[str, Tensor]]) -> dict[str, Tensor]:
        total = self.total({name: output["loss"] for name, output in outputs.items()})["loss"]
        return {"loss": total} | {f"{name}/{part}": loss for name, out in outputs.items() for part, loss in out.items()}
