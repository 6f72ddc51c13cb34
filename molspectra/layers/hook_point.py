"""The place in an encoder where the features after each layer can be read."""

from torch import nn


class HookPoint(nn.Identity):
    """Identity module that an encoder calls once per layer on its scalars (N, F), so that a forward hook can read them.

    :func:`molspectra.embed` reads the layers here. An encoder of yours is read in the same way if it creates one
    `HookPoint` and calls it after each layer.
    """
