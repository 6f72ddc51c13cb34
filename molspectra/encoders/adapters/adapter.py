"""Making an encoder of PyG's models, of any function of (z, pos, batch) and of any graph network."""

import functools
import math
import operator
from collections.abc import Callable
from typing import Any, Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch_geometric.nn.models import SchNet, ViSNet
from torch_geometric.nn.models.dimenet import DimeNet, DimeNetPlusPlus

from molspectra._config import Configurable
from molspectra._signature import parameters_of, takes
from molspectra._validation import check_context, check_dtype, check_molecules
from molspectra.encoders.adapters.pyg import (
    DimeNetFeatures,
    FeatureSource,
    Molecules,
    SchNetFeatures,
    ViSNetFeatures,
    with_context,
)
from molspectra.features import AtomFeatures
from molspectra.geometry.bonds import bond_graph
from molspectra.geometry.neighbors import edge_geometry, radius_graph
from molspectra.layers.radial import CosineCutoff, ExpNormalBasis


class Adapter(Configurable, nn.Module):
    """Makes an encoder of a model that was written for something else.

    * **SchNet, DimeNet++ or ViSNet of PyG**: `Adapter(SchNet())`; everything is read off the model, and the features
      are what its output layers would read (see :mod:`molspectra.encoders.adapters.pyg`).
      The model's parts are shared, not copied; its output layers are no part of the adapter, so that no parameter goes
      without a gradient. No neighbour is dropped, whatever the model's `max_num_neighbors`, and neither torch-cluster
      nor torch-sparse is needed.
    * **A graph network** (x, edge_index, …): PyG's GCN, GIN, GAT, PNA, …, one of their layers, or yours, told by an
      `edge_index`, and no `pos`, in its signature, or by `in_channels=`. Elements are embedded and edges are made here.
    * **Any callable** (z, pos, batch) that returns scalars (N, F), a pair of scalars and vectors (N, 3, F), or
      :class:`~molspectra.encoders.AtomFeatures`. `context`, `bond_index` and `bond_order` are handed over if its
      signature has them. The modules of a bound method or a `functools.partial` become part of the adapter; those that
      a function finds elsewhere do not, and are not trained with it.

    What a model does not have stays None: a head that needs vectors says so.

    What :class:`molspectra.testing.EncoderSuite` checks holds for SchNet and DimeNet++. ViSNet's features jump when a
    pair crosses the cutoff, by the trained bias of `s_proj`; its `vecnorm_type="max_min"` also brings the rounding
    noise of an atom on a centre of symmetry to size 1, has no second derivatives where vectors vanish, and compiles
    with graph breaks only. Of a graph network or a callable nothing is known: put it through the suite.

    Args:
        module: The model.
        out_channels: Width F of the features, unless the model has an attribute of this name or is one of the three.
        cutoff: r_c in Å, likewise; a callable, and a graph network of bonds, may do without (it is then ∞).
        in_channels: Width of the node features of a graph network, unless the network has an attribute of this name.
        max_z: Largest atomic number: of a graph network's embedding (default 100), or a callable's (default 118).
        edges: Edges of a graph network: "radius", all pairs within the cutoff, or "bonds", each in both directions.
        num_rbf: Hand a graph network `edge_attr` (E, num_rbf), a radial basis of the distance.
        edge_weight: Hand a graph network `edge_weight` (E,), the cosine cutoff of the distance.

    Raises:
        ValueError: a size is needed that the model does not tell, or one is not positive; an argument has to do with
            another sort of model; the model is PyG's DimeNet, or keeps the first graph that it meets (`cached=True`).

    Example:
        >>> from torch_geometric.nn import GCN, SchNet
        >>> encoder = Adapter(SchNet(hidden_channels=32, num_interactions=2))
        >>> encoder(torch.tensor([8, 1, 1]), torch.randn(3, 3)).scalars.shape
        torch.Size([3, 32])
        >>> encoder = Adapter(GCN(16, 32, num_layers=2), cutoff=4.0, edge_weight=True)
    """

    def __init__(
        self,
        module: Callable,
        out_channels: int | None = None,
        cutoff: float | None = None,
        *,
        in_channels: int | None = None,
        max_z: int | None = None,
        edges: Literal["radius", "bonds"] = "radius",
        num_rbf: int | None = None,
        edge_weight: bool = False,
    ) -> None:
        super().__init__()
        sizes = {"out_channels": out_channels, "cutoff": cutoff, "max_z": max_z}
        of_graphs = {"in_channels": in_channels, "edges": edges, "num_rbf": num_rbf, "edge_weight": edge_weight}
        features: FeatureSource
        if isinstance(module, SchNet | DimeNetPlusPlus | ViSNet):
            _refuse(sizes | of_graphs, f"{type(module).__name__} tells its sizes itself and makes its own edges")
            features = _features_of(module)
        elif isinstance(module, DimeNet):
            raise ValueError(f"{type(module).__name__} is a DimeNet, which is not read. Use PyG's DimeNetPlusPlus.")
        elif in_channels is not None or _is_graph_network(module):
            features = GraphNetworkFeatures(
                module,
                _size("in_channels", in_channels, module),
                _size("out_channels", out_channels, module),
                cutoff,
                100 if max_z is None else max_z,
                edges=edges,
                num_rbf=num_rbf,
                edge_weight=edge_weight,
            )
        else:
            _refuse(of_graphs, "only graph networks (x, edge_index, …) take it, and in_channels= tells that it is one")
            features = CallableFeatures(module, _size("out_channels", out_channels, module), cutoff, max_z)
        self.features = features
        self.out_channels = features.out_channels
        self.cutoff = features.cutoff
        self.max_z = features.max_z
        self.needs_bonds = features.needs_bonds
        _refuse_cached(self)

    def forward(
        self,
        z: Int[Tensor, " atoms"],
        pos: Float[Tensor, "atoms 3"],
        batch: Int[Tensor, " atoms"] | None = None,
        *,
        bond_index: Int[Tensor, "2 bonds"] | None = None,
        bond_order: Float[Tensor, " bonds"] | None = None,
        context: Float[Tensor, "atoms channels"] | None = None,
    ) -> AtomFeatures:
        """Encode a batch of molecules.

        Args:
            z: Atomic numbers (N,), 1..max_z.
            pos: Positions in Å, (N, 3).
            batch: Molecule of each atom (N,), sorted; None for one molecule. The model is always given a tensor.
            bond_index: Bonds (2, B), for graph networks with `edges="bonds"`, each once or in both directions, and for
                callables that take them.
            bond_order: (B,), for callables that take them.
            context: (N, F), added to the embedding of the elements, whose width must be F; or handed to the callable.

        Returns:
            Scalars (N, F), and what else the model has, in the dtype of the weights.

        Raises:
            ValueError: see :func:`molspectra.data.validate`; the model cannot take the context; it needs bonds that are
                not there or not (2, B) or (seen on the CPU only) name atoms that there are not; or what it returns has
                other shapes than features of these atoms.
            TypeError: `pos` has another dtype than the weights, bonds that the model needs are not int64, or what the
                model returns is nothing that it may return.
        """
        check_molecules(z, pos, batch, self.max_z)
        weight = next(self.parameters(), None)
        if weight is not None:
            check_dtype("pos", pos, weight)
            pos = pos.to(weight.dtype)  # under autocast it may have another; geometry is never halved
        batch = torch.zeros_like(z) if batch is None else batch
        return self.features(Molecules(z, pos, batch, bond_index, bond_order, context))


class GraphNetworkFeatures(FeatureSource):
    """What a graph network (x, edge_index, …) makes of embedded elements x and edges made here.

    The arguments are those of :class:`~molspectra.encoders.Adapter`. `batch` is handed over if the network takes it.
    """

    def __init__(
        self,
        module: Callable,
        in_channels: int,
        out_channels: int,
        cutoff: float | None,
        max_z: int,
        *,
        edges: Literal["radius", "bonds"] = "radius",
        num_rbf: int | None = None,
        edge_weight: bool = False,
    ) -> None:
        super().__init__()
        if edges not in ("radius", "bonds"):
            raise ValueError(f'edges must be "radius" or "bonds"; got {edges!r}.')
        cutoff = _cutoff(cutoff, module)
        if cutoff is None and (edges == "radius" or num_rbf is not None or edge_weight):
            raise ValueError(
                "Edges within a radius, and functions of their length, need a cutoff (Å); got cutoff=None."
            )
        for name, asked in (("edge_attr", num_rbf is not None), ("edge_weight", edge_weight)):
            if asked and not (takes(module, name) and getattr(module, f"supports_{name}", True)):
                raise ValueError(f"{type(module).__name__} takes no {name}. Leave out num_rbf= or edge_weight=.")
        self.module, self.owners = module, _owners(module)
        self.out_channels, self.max_z = out_channels, max_z
        self.cutoff = math.inf if cutoff is None else cutoff
        self.needs_bonds = edges == "bonds"
        self.takes_batch = takes(module, "batch")
        # Row z of the table is element z; row 0 is never read.
        self.embedding = nn.Embedding(max_z + 1, in_channels)
        self.radial_basis = None if num_rbf is None else ExpNormalBasis(num_rbf, self.cutoff)
        self.envelope = CosineCutoff(self.cutoff) if edge_weight else None

    def forward(self, molecules: Molecules) -> AtomFeatures:
        """Scalars (N, F)."""
        edge_index = self.edge_index(molecules)
        distance, _ = edge_geometry(molecules.pos, edge_index)
        keywords = {"batch": molecules.batch} if self.takes_batch else {}
        if self.radial_basis is not None:
            keywords["edge_attr"] = self.radial_basis(distance)
        if self.envelope is not None:
            keywords["edge_weight"] = self.envelope(distance)
        embedded = with_context(self.embedding(molecules.z), molecules.context)
        return _as_features(self.module(embedded, edge_index, **keywords), molecules, self.out_channels)

    def edge_index(self, molecules: Molecules) -> Int[Tensor, "2 edges"]:
        """Rows [source, target] of pairs within the cutoff, or of bonds in both directions."""
        if not self.needs_bonds:
            return radius_graph(molecules.pos, molecules.batch, self.cutoff)
        if molecules.bond_index is None:
            raise ValueError(
                'edges="bonds" needs bond_index (2, B); got None. Give the encoder the bonds of the data '
                '(molspectra.data finds them), or make the adapter with edges="radius".'
            )
        return bond_graph(molecules.bond_index, molecules.z.shape[0])


class CallableFeatures(FeatureSource):
    """What a callable (z, pos, batch) returns, checked. The arguments are those of `Adapter`."""

    def __init__(
        self, module: Callable, out_channels: int, cutoff: float | None = None, max_z: int | None = None
    ) -> None:
        super().__init__()
        self.module, self.owners = module, _owners(module)
        self.out_channels = out_channels
        cutoff = _cutoff(cutoff, module)
        self.cutoff = math.inf if cutoff is None else cutoff
        self.max_z = getattr(module, "max_z", 118) if max_z is None else max_z
        self.takes = {name: takes(module, name) for name in ("bond_index", "bond_order", "context")}

    def forward(self, molecules: Molecules) -> AtomFeatures:
        """The features that it returns."""
        if molecules.context is not None and not self.takes["context"]:
            raise ValueError(
                f"{getattr(self.module, '__name__', type(self.module).__name__)} does not take `context`. Give it the "
                "keyword context=None, (N, F), added to its initial scalars, or call the encoder without."
            )
        if molecules.context is not None:
            check_context(molecules.context, (molecules.z.shape[0], self.out_channels))
        optional = {name: getattr(molecules, name) for name in self.takes}
        keywords = {name: value for name, value in optional.items() if value is not None and self.takes[name]}
        features = self.module(molecules.z, molecules.pos, molecules.batch, **keywords)
        return _as_features(features, molecules, self.out_channels)


def _features_of(model: SchNet | DimeNetPlusPlus | ViSNet) -> FeatureSource:
    if isinstance(model, SchNet):
        return SchNetFeatures(model)
    return DimeNetFeatures(model) if isinstance(model, DimeNetPlusPlus) else ViSNetFeatures(model)


def _is_graph_network(module: Callable) -> bool:
    """Whether its signature has an `edge_index`, and no `pos` as that of a callable (z, pos, batch) has."""
    names = parameters_of(module).names
    return "edge_index" in names and "pos" not in names


def _owners(call: Callable) -> nn.ModuleList:
    """The modules inside a bound method or a partial application, which are not registered by themselves."""
    if isinstance(call, nn.Module):
        return nn.ModuleList()
    held = [call.func, *call.args, *call.keywords.values()] if isinstance(call, functools.partial) else [call]
    held += [getattr(part, "__self__", None) for part in held]
    return nn.ModuleList(part for part in held if isinstance(part, nn.Module))


def _refuse_cached(adapter: Adapter) -> None:
    for name, part in adapter.named_modules():
        if getattr(part, "cached", None) is True:
            raise ValueError(
                f"{name}, a {type(part).__name__}, has cached=True and would take the first batch's edges for those of "
                "all others. Make it with cached=False."
            )


def _as_features(given: Any, molecules: Molecules, channels: int) -> AtomFeatures:
    """Scalars, a pair or AtomFeatures as AtomFeatures in the dtype of the positions; refuses what are none."""
    parts = _by_degree(given)
    if not parts or not all(isinstance(part, Tensor) for part in parts):
        of = f" of {', '.join(type(part).__name__ for part in given)}" if isinstance(given, tuple) else ""
        raise TypeError(
            "The model must return scalars (N, F), a pair (scalars, vectors (N, 3, F)) or AtomFeatures; got a "
            f"{type(given).__name__}{of}."
        )
    num_atoms, dtype = molecules.z.shape[0], molecules.pos.dtype
    expected = [(num_atoms, channels), *((num_atoms, 2 * l + 1, channels) for l in range(1, len(parts)))]
    if (shapes := [tuple(part.shape) for part in parts]) != expected:
        raise ValueError(
            f"The model must return features of {num_atoms} atoms and out_channels={channels}, of shape {expected}; "
            f"got {shapes}. Return the features ahead of its pooling, and check out_channels."
        )
    scalars, *others = (part.to(dtype) for part in parts)
    return AtomFeatures(scalars, others[0] if others else None, tuple(others[1:]))


def _by_degree(given: Any) -> list[Any]:
    """Scalars, vectors, …, as far as there are any, of what a model has returned; nothing if it may not return that."""
    if isinstance(given, Tensor):
        return [given]
    if isinstance(given, AtomFeatures):
        parts = [given.scalars, given.vectors, *given.tensors]
    elif isinstance(given, tuple) and len(given) == 2:
        parts = [*given]
    else:
        return []
    return parts[:1] if parts[1] is None else parts


def _size(name: str, given: int | None, module: Any) -> int:
    """A size as given, or as the model tells it by an attribute of this name."""
    size: Any = getattr(module, name, None) if given is None else given
    try:
        number = operator.index(size)
    except TypeError:
        number = 0
    if number < 1:
        remedy = "" if given is not None else f" The model does not tell it (a lazy one says -1): pass {name}=."
        raise ValueError(f"{name} must be a positive int; got {size!r}.{remedy}")
    return number


def _cutoff(given: float | None, module: Any) -> float | None:
    """r_c in Å as given, or as the model tells it; None if neither does."""
    cutoff = getattr(module, "cutoff", None) if given is None else given
    if cutoff is None:
        return None
    try:
        number = float(cutoff)
    except (TypeError, ValueError):  # a module that bears the name, say
        number = math.nan
    if not number > 0:
        raise ValueError(f"cutoff must be a positive number (Å); got {cutoff!r}. Pass another one as cutoff=.")
    return number


def _refuse(given: dict[str, Any], reason: str) -> None:
    unset = {"edges": "radius", "edge_weight": False}
    if wrong := [name for name, value in given.items() if value != unset.get(name)]:
        raise ValueError(f"{', '.join(wrong)} must be left out here: {reason}.")
