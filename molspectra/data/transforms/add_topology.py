"""Angles, torsions, rotatable bonds and bridges from bonds, once per molecule."""

import math

from torch import Tensor
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import BaseTransform

from molspectra._validation import check_fields, check_std, checked
from molspectra.data.chemistry.bond_orders import perceive_bond_orders
from molspectra.data.chemistry.bonds import perceive_bonds
from molspectra.data.chemistry.edges import bonds_from_edges
from molspectra.data.molecule import validate
from molspectra.geometry import topology
from molspectra.geometry.internal_coordinates import defined_terms


class AddTopology(BaseTransform):
    """Transform that adds the terms and trees that follow from the bonds of a molecule, for Frad and SliDe.

    ====================  ================  ============================================================================
    field                 shape             meaning
    ====================  ================  ============================================================================
    `angle_index`         (3, A)            (i, j, k), j in the middle
    `torsion_index`       (4, T)            (i, j, k, l) about the bond (j, k)
    `rotatable_index`     (4, R)            rotatable bonds (:func:`~molspectra.geometry.topology.rotatable_bonds`)
    `rotatable_depth`     (R,)              their depths (:func:`~molspectra.geometry.topology.rotatable_depths`)
    `parent_index`        (N,)              parents of a :class:`~molspectra.geometry.topology.SpanningForest`
    `tree_span` `bridge`  (N, 2) (N,) bool  its subtrees, and the bonds to parents that are bridges
    ====================  ================  ============================================================================

    All fields are stored so that `Batch.from_data_list` gives those of the batch. Terms without a derivative at `pos`
    are left out: angles within `margin` of 0 or π, and torsions that contain such an angle or close a ring of three
    (i = l). The derivative of a torsion grows as 1/sin θ towards a linear angle θ.

    Bonds are read from `bond_index` and `bond_order`. Without these they are read from PyG's `edge_index` and an
    `edge_attr` of four columns (single, double, triple, aromatic), as in `torch_geometric.datasets.QM9`. Without any of
    them, bonds are perceived from distances, with a warning (:func:`molspectra.data.perceive_bonds`). Missing bond
    fields are added to the molecule.

    Use it as the `pre_transform` of a data set, which runs it once, as its `transform`, or call it on a `Data`. It
    computes on the CPU.

    Args:
        margin: Distance of angles from 0 and π, in rad. The default is 5°.
        hydrogens: Count bonds as rotatable if one side consists of hydrogens only (methyl, hydroxyl), as in the
            released pre-training. With False, the rule sees heavy atoms only, as in the released fine-tuning on MD17.
        as_released: List all terms, linear and degenerate ones included, as the released SliDe does.

    Raises:
        ValueError: the input is a `Batch`, a field is missing or wrong (:func:`molspectra.data.validate`), or `margin`
            is negative.
        TypeError: a field has a wrong dtype.

    Example:
        >>> ethanol = ms.data.transforms.AddTopology()(ms.data.from_smiles("CCO"))
        >>> ethanol.angle_index.shape, ethanol.torsion_index.shape, ethanol.rotatable_index
        (torch.Size([3, 13]), torch.Size([4, 12]), tensor([[3, 0],
                [0, 1],
                [1, 2],
                [2, 8]]))
    """

    @checked
    def __init__(self, margin: float = math.radians(5), *, hydrogens: bool = True, as_released: bool = False) -> None:
        check_std("margin", margin, "rad")
        self.margin = margin
        self.hydrogens = hydrogens
        self.as_released = as_released

    def forward(self, data: Data) -> Data:
        """Add the fields to `data`, which PyG's `BaseTransform` has already copied."""
        check_fields(data, (), "AddTopology", "")
        if isinstance(data, Batch):
            raise ValueError("AddTopology takes single molecules, not a Batch: use it as a data set's transform.")
        device = data.pos.device if isinstance(data.get("pos"), Tensor) else None
        data = data.cpu()
        self._check(data)
        data.bond_index, data.bond_order = self._bonds(data)
        bonds, num_atoms = data.bond_index, data.pos.shape[0]
        angles = topology.angles(bonds, num_atoms)
        torsions = topology.torsions(bonds, num_atoms, degenerate=self.as_released)
        if not self.as_released:
            # Near a linear angle the gradient of a torsion diverges, and with it every target that contains it.
            _, bent, twisted = defined_terms(data.pos.double(), bonds, angles, torsions, self.margin)
            angles, torsions = angles[:, bent], torsions[:, twisted]
        data.angle_index, data.torsion_index = angles, torsions
        ignored = None if self.hydrogens else data.z == 1
        data.rotatable_index = topology.rotatable_bonds(bonds, data.bond_order, num_atoms, ignored)
        data.rotatable_depth = topology.rotatable_depths(bonds, data.rotatable_index, num_atoms)
        data.parent_index, data.tree_span, data.bridge = topology.spanning_forest(bonds, num_atoms)
        return data.to(device)

    @staticmethod
    def _check(data: Data) -> None:
        """Check the fields by their contract, but accept the two atoms of a bond in either order."""
        fields = {name: data[name] for name in ("z", "pos", "bond_order") if name in data}
        if isinstance(data.get("bond_index"), Tensor):
            fields["bond_index"] = data.bond_index.sort(dim=0).values if data.bond_index.dim() else data.bond_index
        validate(Data(**fields), kinds=())

    @staticmethod
    def _bonds(data: Data) -> tuple[Tensor, Tensor]:
        """Return `bond_index` and `bond_order` from the most reliable source in the data."""
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
        return f"AddTopology(margin={self.margin:.4g}, hydrogens={self.hydrogens}, as_released={self.as_released})"
