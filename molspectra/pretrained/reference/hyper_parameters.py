"""Options that a Lightning checkpoint was trained with."""

from collections.abc import Mapping
from typing import Any

# Values that the importer implements, for each of the released command-line options that change the arithmetic.
_SUPPORTED: dict[str, tuple[Any, ...]] = {
    "model": ("equivariant-transformer", "equivariant-transformerf2d", "equivariant-transformerf2d_org"),
    "rbf_type": ("expnorm",),
    "activation": ("silu",),
    "attn_activation": ("silu",),
    "distance_influence": ("both",),
    "neighbor_embedding": (True,),
    "aggr": ("add",),
    "cutoff_lower": (0.0,),
    "prior_model": (None,),
    "output_model": ("Scalar",),
    "reduce_op": ("add", "mean"),
    "num_spherical": (3, None),
}


class HyperParameters:
    """Options that a checkpoint was trained with.

    Args:
        options: Values by name.
        source: Origin of the checkpoint, for messages.

    Raises:
        ValueError: an option has a value that is not implemented here.
    """

    def __init__(self, options: Mapping[str, Any], source: str) -> None:
        self.options = options
        self.source = source
        for option, supported in _SUPPORTED.items():
            if option in options and options[option] not in supported:
                known = " or ".join(map(repr, supported))
                raise ValueError(f"{source} has {option}={options[option]!r}; only {known} can be imported.")

    def __contains__(self, name: str) -> bool:
        return name in self.options

    def __getitem__(self, name: str) -> Any:
        if name not in self.options:
            raise ValueError(f"{self.source} lacks the hyper-parameter {name!r}; it has {sorted(self.options)}.")
        return self.options[name]
