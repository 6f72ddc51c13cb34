"""Calling an encoder, whichever of the optional arguments it takes."""

from torch import Tensor
from torch_geometric.data import Data

from molspectra._signature import takes
from molspectra._validation import check_positions
from molspectra.encoders.protocol import Encoder
from molspectra.features import AtomFeatures


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
        ValueError: there are no elements or positions; or there is a context, and the encoder takes none.
        TypeError: the positions are not floating point.
    """
    check_positions(data, "An encoder", ("z", "pos"))
    keywords = {name: data[name] for name in ("bond_index", "bond_order") if name in data and takes(encoder, name)}
    if context is not None:
        if not takes(encoder, "context"):
            raise ValueError(
                f"{type(encoder).__name__} does not take `context`, by which EMPP says what has been masked. Give its "
                "forward the keyword context=None, (N, F), added to the initial scalars; or use another method (Coord, "
                "Frad, SliDe and EMGP need none)."
            )
        keywords["context"] = context
    return encoder(data.z, data.pos if pos is None else pos, data.batch, **keywords)
