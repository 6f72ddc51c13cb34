"""Encoder made of any callable."""

import math
from collections.abc import Callable
from typing import Any

from torch.profiler import record_function

from molspectra._function_module import needs_bonds
from molspectra._signature import attribute_of, takes, unwrap
from molspectra._validation import check_context
from molspectra.encoders.adapters.model_attributes import modules_behind, read_cutoff, read_size, refuse_cached_graphs
from molspectra.encoders.adapters.model_outputs import as_atom_features
from molspectra.encoders.base import BaseEncoder, Molecules
from molspectra.features import AtomFeatures


class FunctionEncoder(BaseEncoder):
    """Encoder made of any callable (z, pos, batch): a function, a module, a bound method or a partial application.

    `bond_index`, `bond_order` and `context` are passed on if the signature has them. The callable always gets a tensor
    for `batch`. The modules of a bound method or of a `functools.partial` become part of the encoder. Modules that a
    function finds elsewhere do not, and are not trained with it.

    Inputs and outputs are checked. Test symmetry, smoothness and derivatives by
    :class:`molspectra.testing.EncoderSuite`.

    Args:
        function: Callable. It returns scalars (N, F), a pair of scalars and vectors (N, 3, F), or
            :class:`~molspectra.encoders.AtomFeatures`.
        out_channels: Width F of the features. Default: the attribute of this name of the callable.
        cutoff: r_c in Å. Default: the attribute of this name of the callable, or ∞.
        max_z: Largest atomic number that is accepted. Default: the attribute of this name of the callable, or 118.

    Raises:
        ValueError: Neither the caller nor the callable tells its `out_channels`; a size is not positive; or a layer
            keeps the first graph that it sees (`cached=True`).

    Example:
        >>> def distances(z, pos, batch):
        ...     return torch.linalg.vector_norm(pos, dim=1, keepdim=True)
        >>> encoder = FunctionEncoder(distances, out_channels=1)
        >>> encoder(torch.tensor([8, 1, 1]), torch.randn(3, 3)).scalars.shape
        torch.Size([3, 1])
    """

    def __init__(
        self,
        function: Callable[..., Any],
        out_channels: int | None = None,
        cutoff: float | None = None,
        *,
        max_z: int | None = None,
    ) -> None:
        cutoff = read_cutoff(cutoff, function)
        super().__init__(
            read_size("out_channels", out_channels, function),
            math.inf if cutoff is None else cutoff,
            attribute_of(function, "max_z", 118) if max_z is None else max_z,
        )
        self.function, self.owners = function, modules_behind(function)
        self.needs_bonds = needs_bonds(function)
        self.takes = {name: takes(function, name) for name in ("bond_index", "bond_order", "context")}
        refuse_cached_graphs(self)

    def encode(self, molecules: Molecules) -> AtomFeatures:
        """Compute the features that the callable returns."""
        context = molecules.context
        if context is not None:
            if not self.takes["context"]:
                raise ValueError(
                    f"{_name(self.function)} does not take `context`. Give "
                    "it the keyword context=None, (N, F), added to its initial scalars, or call the encoder without."
                )
            check_context(context, (molecules.num_atoms, self.out_channels))
        optional = {"bond_index": molecules.bond_index, "bond_order": molecules.bond_order, "context": context}
        keywords = {name: value for name, value in optional.items() if value is not None and self.takes[name]}
        with record_function("molspectra::function_encoder"):
            returned = self.function(molecules.z, molecules.pos, molecules.batch_or_zeros, **keywords)
        return as_atom_features(returned, molecules, self.out_channels)


def _name(function: Callable[..., Any]) -> str:
    inner = unwrap(function)
    return getattr(inner, "__name__", type(inner).__name__)
