"""Bonds from the edges of a PyG graph."""

import torch
from jaxtyping import Float32, Int64, Shaped
from torch import Tensor

from molspectra._validation import checked


@checked
def bonds_from_edges(
    edge_index: Int64[Tensor, "2 edges"], edge_attr: Shaped[Tensor, "edges *types"]
) -> tuple[Int64[Tensor, "2 bonds"], Float32[Tensor, " bonds"]]:
    """Keep each bond once, from a PyG graph that lists both directions, as `torch_geometric.datasets.QM9` does.

    Args:
        edge_index: Edges (i, j), (2, E), in any order. One direction of each bond is enough.
        edge_attr: Types of the bonds, (E, ≥ 4), whose first four columns are a one-hot of single, double, triple,
            aromatic. Alternatively their orders, (E,): 1, 1.5 (aromatic), 2 or 3.

    Returns:
        `bond_index` (2, B), i < j, sorted by (i, j), and `bond_order` (B,) float32.

    Raises:
        TypeError: `edge_index` is not int64.
        ValueError: shapes do not match, an edge has neither a one-hot nor an order, an edge joins an atom to itself, or
            two edges contradict each other.

    Example:
        >>> edge_index = torch.tensor([[0, 2, 0, 1], [2, 0, 1, 0]])  # of C, O, H
        >>> bonds_from_edges(edge_index, torch.tensor([[1, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0]]))
        (tensor([[0, 0],
                [1, 2]]), tensor([2., 1.]))
    """
    if edge_index.dtype != torch.int64:
        raise TypeError(f"edge_index must be int64; got {edge_index.dtype}. Convert with edge_index.long().")
    if edge_index.dim() != 2 or edge_index.shape[0] != 2:
        raise ValueError(
            f"edge_index must have shape (2, E), atoms i and j of each edge; got {tuple(edge_index.shape)}. For rows "
            "of pairs use edge_index.t()."
        )
    order = _edge_orders(edge_attr, edge_index.shape[1])
    low, high = edge_index.sort(dim=0).values
    if bool((low == high).any()):
        edge = int((low == high).nonzero()[0])
        raise ValueError(
            f"edge_index must join two different atoms; edge {edge} is {tuple(edge_index[:, edge].tolist())}. Take "
            "self-loops out with torch_geometric.utils.remove_self_loops(edge_index, edge_attr)."
        )
    bond_index, bond = torch.unique(torch.stack([low, high]), dim=1, return_inverse=True)
    bond_order = order.new_zeros(bond_index.shape[1]).scatter_reduce(0, bond, order, "amax")
    contradictory = bond_order[bond] != order
    if bool(contradictory.any()):
        edge = int(contradictory.nonzero()[0])
        raise ValueError(
            f"edge_attr must give all edges of a bond one order; edge {edge} = {tuple(edge_index[:, edge].tolist())} "
            f"has {float(order[edge])}, another edge of these two atoms {float(bond_order[bond[edge]])}. Keep the "
            "right one."
        )
    return bond_index, bond_order


def _edge_orders(edge_attr: Tensor, num_edges: int) -> Tensor:
    one_hot = edge_attr.dim() == 2 and edge_attr.shape[1] >= 4
    if not (one_hot or edge_attr.dim() == 1) or len(edge_attr) != num_edges:
        raise ValueError(
            f"edge_attr must have shape ({num_edges}, 4), a one-hot of single, double, triple, aromatic for each edge "
            f"of edge_index, or ({num_edges},), bond orders; got {tuple(edge_attr.shape)}. Build other encodings into "
            "one of these first."
        )
    orders = torch.tensor([1.0, 2.0, 3.0, 1.5], dtype=torch.float32, device=edge_attr.device)
    if one_hot:
        types = edge_attr[:, :4].float()
        wrong = ((types != 0) & (types != 1)).any(dim=1) | (types.sum(dim=1) != 1)
        order, expected = types @ orders, "hold a one-hot of single, double, triple, aromatic in each row"
    else:
        order = edge_attr.float()
        wrong, expected = ~torch.isin(order, orders), "hold bond orders: 1, 1.5 (aromatic), 2 or 3"
    if bool(wrong.any()):
        edge = int(wrong.nonzero()[0])
        raise ValueError(
            f"edge_attr must {expected}; edge {edge} has {edge_attr[edge].tolist()}. Leave out edges that are no "
            "bonds, and map other encodings to orders."
        )
    return order
