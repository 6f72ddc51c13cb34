"""Calling an encoder, whichever of the optional arguments it takes."""

import inspect
from collections.abc import Callable

from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra.encoders.features import AtomFeatures

Encoder = Callable[..., AtomFeatures]


def encode(encoder: Encoder, data: Data, *, pos: Tensor | None = None, context: Tensor | None = None) -> AtomFeatures:
    """Features of the atoms of a batch: `encoder(z, pos, batch)`, and bonds where both have to do with them.

    Args:
        encoder: Any callable (z, pos, batch); `bond_index`, `bond_order` and `context` are handed over if its signature
            has them.
        data: Molecules with `z`, `pos` and, of a batch, `batch`.
        pos: Positions in Å in place of the data's, (N, 3).
        context: What to condition on, (N, F), if anything.

    Returns:
        Atom features.

    Raises:
        ValueError: there is a context, and the encoder takes none.
    """
    takes = _keywords(encoder)
    keywords = {name: data[name] for name in ("bond_index", "bond_order") if name in data and takes(name)}
    if context is not None:
        if not takes("context"):
            raise ValueError(
                f"{type(encoder).__name__} does not take `context`, by which EMPP says what has been masked. Give its "
                "forward the keyword context=None, (N, F), added to the initial scalars; or use another method (Coord, "
                "Frad, SliDe and EMGP need none)."
            )
        keywords["context"] = context
    return encoder(data.z, data.pos if pos is None else pos, data.batch, **keywords)


def _keywords(encoder: Encoder) -> Callable[[str], bool]:
    """Tells whether an encoder takes a keyword; what is wrapped by torch.compile or for several processes is asked."""
    call = encoder.forward if isinstance(encoder, nn.Module) else encoder
    parameters = inspect.signature(call).parameters
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values())
    wrapped = getattr(encoder, "_orig_mod", None) or (getattr(encoder, "module", None) if takes_any else None)
    if wrapped is not None:
        return _keywords(wrapped)
    return lambda name: takes_any or name in parameters
