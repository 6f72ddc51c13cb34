"""Choice of the encoder that fits a model from elsewhere."""

from collections.abc import Callable
from typing import Any, Literal

from torch_geometric.nn.models import SchNet, ViSNet
from torch_geometric.nn.models.dimenet import DimeNet

from molspectra._signature import parameters_of, unwrap
from molspectra._validation import checked
from molspectra.encoders.adapters.function_encoder import FunctionEncoder
from molspectra.encoders.adapters.graph_encoder import GraphEncoder
from molspectra.encoders.adapters.pyg_encoder import PyGEncoder


@checked
def Adapter(
    module: Callable[..., Any],
    out_channels: int | None = None,
    cutoff: float | None = None,
    *,
    in_channels: int | None = None,
    max_z: int | None = None,
    edges: Literal["radius", "bonds"] = "radius",
    num_rbf: int | None = None,
    edge_weight: bool = False,
) -> PyGEncoder | GraphEncoder | FunctionEncoder:
    """Make an encoder of a model that was written for something else.

    * PyG's SchNet, DimeNet++ and ViSNet become a :class:`PyGEncoder`, which takes no other argument.
    * A graph network becomes a :class:`GraphEncoder`. It has `edge_index` and not `pos` in its signature, or
      `in_channels=` is given.
    * Any other callable becomes a :class:`FunctionEncoder`, which takes `out_channels`, `cutoff` and `max_z`.

    The classes describe the arguments, which must be left out where the chosen class does not have them.

    Raises:
        ValueError: An argument belongs to another sort of model, or the chosen class raises it.

    Example:
        >>> from torch_geometric.nn import GCN, SchNet
        >>> encoder = Adapter(SchNet(hidden_channels=32, num_interactions=2))
        >>> encoder(torch.tensor([8, 1, 1]), torch.randn(3, 3)).scalars.shape
        torch.Size([3, 32])
        >>> encoder = Adapter(GCN(16, 32, num_layers=2), cutoff=4.0, edge_weight=True)
    """
    sizes = {"out_channels": out_channels, "cutoff": cutoff, "max_z": max_z}
    if unwrap(module) is not module and isinstance(unwrap(module), SchNet | DimeNet | ViSNet):
        raise ValueError(
            f"module must be the {type(unwrap(module)).__name__} itself, whose parts the adapter calls; got a "
            f"{type(module).__name__} around it. Adapt the model first, and wrap the adapter."
        )
    of_graphs = {"in_channels": in_channels, "edges": edges, "num_rbf": num_rbf, "edge_weight": edge_weight}
    if isinstance(module, SchNet | DimeNet | ViSNet):
        _refuse(sizes | of_graphs, f"{type(module).__name__} tells its sizes itself and makes its own edges")
        return PyGEncoder(module)
    if in_channels is not None or _is_graph_network(module):
        return GraphEncoder(
            module,
            out_channels,
            cutoff,
            in_channels=in_channels,
            max_z=100 if max_z is None else max_z,
            edges=edges,
            num_rbf=num_rbf,
            edge_weight=edge_weight,
        )
    _refuse(of_graphs, "only graph networks (x, edge_index, …) take it, and in_channels= tells that it is one")
    return FunctionEncoder(module, out_channels, cutoff, max_z=max_z)


def _is_graph_network(module: Callable[..., Any]) -> bool:
    """Return True if a signature has an `edge_index`, and no `pos` as a callable (z, pos, batch) has."""
    names = parameters_of(module).names
    return "edge_index" in names and "pos" not in names


def _refuse(given: dict[str, Any], reason: str) -> None:
    unset = {"edges": "radius", "edge_weight": False}
    if wrong := [name for name, value in given.items() if value != unset.get(name)]:
        raise ValueError(f"{', '.join(wrong)} must be left out here: {reason}.")
