"""The SpecFormer that a method masks, also within a wrapper."""

from torch import nn

from molspectra._signature import unwrap
from molspectra.spectra.specformer import SpecFormer


def specformer_inside(module: nn.Module) -> SpecFormer:
    """Return the SpecFormer inside `torch.compile`, DistributedDataParallel, `peft` and the like, or the module itself.

    A wrapper is called as it is. Kinds and patches are asked of the SpecFormer inside.

    Raises:
        TypeError: there is none.
    """
    inside = unwrap(module)
    if not isinstance(inside, SpecFormer):
        raise TypeError(
            "specformer must be a SpecFormer, whose patches can be masked and reconstructed; got "
            f"{type(inside).__name__}. For a contrast alone call objectives.InfoNCELoss on atoms.pool(batch) and the "
            "spectrum encoder's embedding."
        )
    return inside
