"""Angles, torsions, rings and rotatable bonds from bonds, once for each molecule."""

import math

import torch
from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import BaseTransform

from molspectra._validation import check_std
from molspectra.data.chemistry.bond_orders import perceive_bond_orders
from molspectra.data.chemistry.bonds import perceive_bonds
from molspectra.data.chemistry.edges import bonds_from_edges
from molspectra.data.molecule import validate
from molspectra.geometry import topology
from molspectra.geometry.internal_coordinates import defined_terms


class AddTopology(BaseTransform):
    """Add to a molecule what its bonds imply; Frad, SliDe and 3D-EMGP read it.

    ========================  ================  ========================================================================
    field                     shape             meaning
    ========================  ================  ========================================================================
    `angle_index`             (3, A)            (i, j, k), j in the middle
    `torsion_index`           (4, T)            (i, j, k, l) about the bond (j, k)
    `rotatable_index`         (4, R)            rotatable bonds (:func:`~molspectra.geometry.topology.rotatable_bonds`)
    `rotatable_depth`         (R,)              :func:`~molspectra.geometry.topology.rotatable_depths`
    `bond_in_ring`            (B,) bool
    `atom_in_ring`            (N,) bool
    `ring_index` `ring_size`  (S,) (rings,)     atoms of the smallest rings, one ring after the other; their sizes
    `hop_index` `hop_count`   (2, P) (P,)       pairs i < j at most `max_hops` bonds apart; how many
    `parent_index`            (N,)              a :class:`~molspectra.geometry.topology.SpanningForest`
    `tree_span` `bridge`      (N, 2) (N,) bool  likewise
    ========================  ================  ========================================================================

    All are stored so that `Batch.from_data_list` gives those of the batch. Terms without a derivative at `pos` are left
    out: angles within `margin` of 0 or π, torsions that hold such an angle or close a ring of three (i = l). Near a
    line a torsion says nothing, but its derivative grows as 1/sin θ.

    Bonds are taken from `bond_index` and `bond_order`; failing these from PyG's `edge_index` and an `edge_attr` of four
    columns, single, double, triple, aromatic, as in `torch_geometric.datasets.QM9`; failing these they are guessed from
    the distances, with a warning (:func:`molspectra.data.perceive_bonds`). What was missing is set.

    For use as `transform` or, once and for all, `pre_transform` of a data set, or called on a `Data`; it computes on
    the CPU. Every field adds to the time that a data loader takes to make a batch; `DataLoader(..., exclude_keys=
    ["hop_index", "hop_count", "ring_index", "ring_size"])` leaves out what is not read.

    Args:
        margin: rad; by default 5°.
        max_hops: How many bonds apart the pairs of `hop_index` may be.
        hydrogens: Whether rotors of which one side is hydrogen alone (methyl, hydroxyl) count as rotatable, as in the
            released pre-training. Without, the rule sees heavy atoms only, as in the released fine-tuning on MD17.
        as_released: List all terms, linear and degenerate ones too, as the released SliDe does.

    Raises:
        ValueError: a `Batch` is given, a field is missing or wrong (:func:`molspectra.data.validate`), or `margin` or
            `max_hops` is negative.
        TypeError: a field has a wrong dtype.

    Example:
        >>> ethanol = ms.data.transforms.AddTopology()(ms.data.from_smiles("CCO"))
        >>> ethanol.angle_index.shape, ethanol.torsion_index.shape, ethanol.rotatable_index
        (torch.Size([3, 13]), torch.Size([4, 12]), tensor([[3, 0],
                [0, 1],
                [1, 2],
                [2, 8]]))
    """

    def __init__(
        self,
        margin: float = math.radians(5),
        max_hops: int = 3,
        hydrogens: bool = True,
        as_released: bool = False,
    ) -> None:
        check_std("margin", margin, "rad")
        if max_hops < 0:
            raise ValueError(f"max_hops must not be negative; got {max_hops}. 0 lists no pairs.")
        self.margin = margin
        self.max_hops = max_hops
        self.hydrogens = hydrogens
        self.as_released = as_released

    def forward(self, data: Data) -> Data:
        """Add the fields; `data` is a copy already where the transform is called."""
        if isinstance(data, Batch):
            raise ValueError("AddTopology takes single molecules, not a Batch: use it as a data set's transform.")
        device = data.pos.device if isinstance(data.get("pos"), Tensor) else None
        data = data.cpu()
        self._check(data)
        data.bond_index, data.bond_order = self._bonds(data)
        num_atoms = data.pos.shape[0]
        bonds = data.bond_index
        angles = topology.angles(bonds, num_atoms)
        torsions = topology.torsions(bonds, num_atoms, degenerate=self.as_released)
        if not self.as_released:
            _, bent, twisted = defined_terms(data.pos.double(), bonds, angles, torsions, self.margin)
            angles, torsions = angles[:, bent], torsions[:, twisted]
        data.angle_index, data.torsion_index = angles, torsions
        ignored = None if self.hydrogens else data.z == 1
        data.rotatable_index = topology.rotatable_bonds(bonds, data.bond_order, num_atoms, ignored)
        data.rotatable_depth = topology.rotatable_depths(bonds, data.rotatable_index, num_atoms)
        data.parent_index, data.tree_span, data.bridge = topology.spanning_forest(bonds, num_atoms)
        data.bond_in_ring = ~topology.bridge_of(data.parent_index, data.bridge, *bonds)[1]
        data.atom_in_ring = torch.zeros(num_atoms, dtype=torch.bool)
        data.atom_in_ring[bonds[:, data.bond_in_ring].flatten()] = True
        rings = topology.rings(bonds, num_atoms)
        data.ring_index = torch.tensor([atom for ring in rings for atom in ring], dtype=torch.int64)
        data.ring_size = torch.tensor([len(ring) for ring in rings], dtype=torch.int64)
        data.hop_index, data.hop_count = topology.hop_pairs(bonds, num_atoms, self.max_hops)
        return data.to(device)

    @staticmethod
    def _check(data: Data) -> None:
        """As the contract has it, but for the order of the two atoms of a bond, which here is immaterial."""
        fields = {name: data[name] for name in ("z", "pos", "bond_order") if name in data}
        if isinstance(data.get("bond_index"), Tensor):
            fields["bond_index"] = data.bond_index.sort(dim=0).values if data.bond_index.dim() else data.bond_index
        validate(Data(**fields), kinds=())

    @staticmethod
    def _bonds(data: Data) -> tuple[Tensor, Tensor]:
        """`bond_index` and `bond_order` from the best source that there is."""
        charge = int(data.formal_charge.sum()) if "formal_charge" in data else 0
        if "bond_index" in data and "bond_order" in data:
            return data.bond_index, data.bond_order
        if "bond_index" in data:
            return data.bond_index, perceive_bond_orders(data.z, data.pos, data.bond_index, charge)[0]
        edge_attr = data.get("edge_attr")
        if "edge_index" in data and edge_attr is not None and edge_attr.dim() == 2 and edge_attr.shape[1] == 4:
            return bonds_from_edges(data.edge_index, data.edge_attr)
        return perceive_bonds(data.z, data.pos, charge)

    def __repr__(self) -> str:
        return (
            f"AddTopology(margin={self.margin:.4g}, max_hops={self.max_hops}, hydrogens={self.hydrogens}, "
            f"as_released={self.as_released})"
        )
