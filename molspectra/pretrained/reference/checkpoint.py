"""The parts of a published checkpoint."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from molspectra._repr import fields_of, html_table, shape_of
from molspectra.heads import EnergyHead, ScalarHead, VectorHead
from molspectra.methods.noise_scale_classifier import NoiseScaleClassifier
from molspectra.objectives import TargetNormalizer
from molspectra.spectra import SpecFormer
from molspectra.spectra.patch_decoder import PatchDecoder


@dataclass(frozen=True, repr=False)
class ReferenceCheckpoint:
    """Published parts, in `as_released` form and evaluation mode. A part that is not in the file is None."""

    encoder: nn.Module
    """(z, pos, batch) → :class:`~molspectra.encoders.AtomFeatures`. The encoder of 3D-EMGP needs `bond_index` too."""
    hyper_parameters: Mapping[str, Any]
    """Options of the training that the file records, none for 3D-EMGP."""
    noise_head: VectorHead | None = None
    """Atom features → predicted normalized displacement (N, 3). In a SliDe without `force_head` it predicts the
    gradient of SliDe's energy instead."""
    property_head: ScalarHead | None = None
    """Atom features → one number per molecule (B, 1)."""
    position_normalizer: TargetNormalizer | None = None
    """Displacements in Å → normalized displacements, (N, 3)."""
    specformer: SpecFormer | None = None
    """The spectrum encoder."""
    reconstruction_head: PatchDecoder | None = None
    """Spectrum tokens → scaled patches."""
    energy_head: EnergyHead | None = None
    """Atom features → one energy per molecule (B,), whose negative gradient is the predicted force."""
    noise_scale_head: NoiseScaleClassifier | None = None
    """Classifier of noise levels: `energy_head.pool(atoms, data)` of clean and noisy molecules → logits (B, L)."""
    noise_scales: Tensor | None = None
    """Standard deviations σ of the noise levels in Å, (L,), largest first."""
    force_head: VectorHead | None = None
    """Atom features → normalized gradient of SliDe's energy (N, 3), in files that denoise coordinates as well."""
    force_normalizer: TargetNormalizer | None = None
    """Gradients of SliDe's energy → normalized gradients, (N, 3), in files that denoise coordinates as well."""
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    """Tensors of parts without counterpart here, by their published names: Frad's and SliDe's heads and normalizers for
    changes of bonds, angles and torsions (trained by no loss), and for masked atoms, scales of forces, and the heads of
    the baselines of 3D-EMGP."""

    def __repr__(self) -> str:
        return f"ReferenceCheckpoint({', '.join(f'{name}={text}' for name, text in self._parts().items())})"

    def _repr_html_(self) -> str:
        sizes = {
            name: f"{sum(parameter.numel() for parameter in part.parameters()):,}"
            for name, part in fields_of(self).items()
            if isinstance(part, nn.Module)
        }
        rows = [(name, text, sizes.get(name, "")) for name, text in self._parts().items()]
        return html_table("ReferenceCheckpoint", ("part", "", "parameters"), rows)

    def _parts(self) -> dict[str, str]:
        """Return a text for each part of the file, the number of entries for options and extras."""
        present = {name: part for name, part in fields_of(self).items() if part is not None}
        counted = {name: len(present.pop(name)) for name in ("hyper_parameters", "extras")}
        return {
            **{name: shape_of(part) for name, part in present.items()},
            **{name: f"{count} entries" for name, count in counted.items() if count},
        }
