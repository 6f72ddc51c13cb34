"""Call of an encoder with the optional arguments that its signature has."""

import torch
from torch import Tensor
from torch.profiler import record_function
from torch_geometric.data import Data

from molspectra._signature import attribute_of, takes, unwrap
from molspectra._validation import check_fields, check_generator, check_positions, check_role
from molspectra.encoders.protocol import Encoder
from molspectra.features import AtomFeatures


def check_call(method: object, encoder: Encoder | None, batch: Data, generator: torch.Generator | None) -> None:
    """Check the arguments of a method.

    Raises:
        TypeError: The encoder is none, the batch holds no molecules, or the generator is none.
    """
    user = type(method).__name__
    check_fields(batch, (), user, "")
    check_role("encoder", encoder, user)
    check_generator(generator)


def encode(encoder: Encoder, data: Data, *, context: Tensor | AtomFeatures | None = None) -> AtomFeatures:
    """Encode the atoms of a batch: `encoder(z, pos, batch)`, with bonds if batch and signature have them.

    Args:
        encoder: Any callable `(z, pos, batch)`. It receives `bond_index`, `bond_order` and `context` if its signature
            has them. A wrapper (`torch.compile`, DistributedDataParallel, `AveragedModel`, `peft`, …) has the signature
            of the module inside.
        data: Molecules with `z`, `pos` and, for several, `batch`.
        context: Conditioning (N, F), if any, or of several degrees for encoders with `takes_vector_context`.

    Returns:
        Atom features.

    Raises:
        ValueError: Elements or positions are missing, or a context is given and the encoder takes none, or no vectors
            in it.
        TypeError: The positions are not floating point, or the encoder returns something else.
    """
    check_positions(data, "An encoder", ("z", "pos"))
    check_role("encoder", encoder, "encode")
    # Encoders that know no bonds must not receive any: any callable (z, pos, batch) is an encoder.
    keywords = {name: data[name] for name in ("bond_index", "bond_order") if name in data and takes(encoder, name)}
    if isinstance(context, AtomFeatures) and context.vectors is None:
        context = context.scalars
    if context is not None:
        if not takes(encoder, "context"):
            raise ValueError(
                f"{type(unwrap(encoder)).__name__} does not take `context`, through which EMPP passes the masked "
                "element. Add the keyword context=None, (N, F), to its forward and add it to the initial scalars; or "
                "use another method (Coord, Frad, SliDe and EMGP need none)."
            )
        keywords["context"] = context
        if isinstance(context, AtomFeatures) and not attribute_of(encoder, "takes_vector_context", False):
            raise ValueError(
                f"{type(unwrap(encoder)).__name__} takes no vectors as `context`, through which DeNS passes forces. "
                "Use EquivariantTransformer, GET, PaiNN or IrrepsTransformer, or set takes_vector_context = True in an "
                "encoder that adds context.scalars and context.vectors to its initial features."
            )
    with record_function("molspectra::encode"):
        features = encoder(data.z, data.pos, data.batch, **keywords)
    if not isinstance(features, AtomFeatures):
        raise TypeError(
            f"The encoder must return AtomFeatures(scalars, vectors); got a {type(features).__name__}. Wrap "
            "functions that return tensors in encoders.FunctionEncoder(function, out_channels)."
        )
    return features
