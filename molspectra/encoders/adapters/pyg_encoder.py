"""Encoder made of a molecular model of PyG."""

from torch_geometric.nn.models import SchNet, ViSNet
from torch_geometric.nn.models.dimenet import DimeNet, DimeNetPlusPlus

from molspectra.encoders.adapters.pyg import DimeNetFeatures, SchNetFeatures, ViSNetFeatures
from molspectra.encoders.base import BaseEncoder, Molecules
from molspectra.features import AtomFeatures


class PyGEncoder(BaseEncoder):
    """Encoder made of the SchNet, DimeNet++ or ViSNet of PyG: features are read ahead of the output layers.

    All sizes are read off the model, whose parts are shared, not copied. Its output layers are not part of the encoder,
    so that no parameter waits for a gradient. Edges are created here: no neighbor is dropped, whatever the
    `max_num_neighbors` of the model, and neither torch-cluster nor torch-sparse is needed.

    SchNet and DimeNet++ pass all tests of :class:`molspectra.testing.EncoderSuite`. ViSNet deviates in four ways:

    * Its features jump when a pair crosses the cutoff, by the trained bias of `s_proj`.
    * With `vecnorm_type="max_min"`, rounding noise of an atom at a center of symmetry is normalized to size 1.
    * With `vecnorm_type="max_min"`, second derivatives do not exist where vectors vanish.
    * With `vecnorm_type="max_min"`, it compiles only with graph breaks.

    Args:
        model: Model of PyG.

    Raises:
        ValueError: The model is the original DimeNet, whose features are not read.
        TypeError: The model is another one.

    Example:
        >>> from torch_geometric.nn import SchNet
        >>> encoder = PyGEncoder(SchNet(hidden_channels=32, num_interactions=2))
        >>> encoder(torch.tensor([8, 1, 1]), torch.randn(3, 3)).scalars.shape
        torch.Size([3, 32])
    """

    def __init__(self, model: SchNet | DimeNetPlusPlus | ViSNet) -> None:
        features = _read(model)
        # The table of a model may have rows beyond the last element.
        super().__init__(features.out_channels, features.cutoff, min(features.max_z, 118))
        self.features = features

    def encode(self, molecules: Molecules) -> AtomFeatures:
        """Compute the features that the model has: scalars (N, F), and those of higher degrees."""
        return self.features(molecules, self.hook_point)


def _read(model: SchNet | DimeNetPlusPlus | ViSNet) -> SchNetFeatures | DimeNetFeatures | ViSNetFeatures:
    if isinstance(model, SchNet):
        return SchNetFeatures(model)
    if isinstance(model, DimeNetPlusPlus):
        return DimeNetFeatures(model)
    if isinstance(model, ViSNet):
        return ViSNetFeatures(model)
    if isinstance(model, DimeNet):
        raise ValueError(f"{type(model).__name__} is a DimeNet, which is not read. Use PyG's DimeNetPlusPlus.")
    raise TypeError(
        f"model must be a SchNet, DimeNetPlusPlus or ViSNet of torch_geometric; got a {type(model).__name__}. Use "
        "GraphEncoder for a network (x, edge_index, …) and FunctionEncoder for any callable (z, pos, batch)."
    )
