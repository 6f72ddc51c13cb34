"""The place in an encoder where the features after each layer can be read."""

from torch import nn


class LayerOutput(nn.Identity):
    """The identity, called once a layer on the scalars (N, F) after it, so that a forward hook can collect them.

    :func:`molspectra.embed` reads layers here. An encoder of yours that makes one, and calls it after each layer, can
    be read in the same way.
    """
