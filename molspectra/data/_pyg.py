"""Private parts of torch_geometric that the package relies on, all in one place.

The tests of stores compare every attribute of a batch made here with those of `Batch.from_data_list`, under the oldest
and the newest PyG, so that a release that changes them is noticed.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import Tensor
from torch_geometric.data import Batch, Data, Dataset
from torch_geometric.data.data import DataEdgeAttr, DataTensorAttr
from torch_geometric.data.storage import GlobalStorage

# `Batch()` makes a subclass of Data, by a metaclass, and inspects its signature: half the time of a small batch.
_BATCH = type(Batch())

SAVED_CLASSES = (Data, DataEdgeAttr, DataTensorAttr, GlobalStorage)
"""Classes in a file of molecules that torch.save wrote: plain containers, whose methods only set attributes."""


class BatchStructure(NamedTuple):
    """Information with which a batch can be taken apart into its molecules."""

    slices: dict[str, Tensor]
    """Field → boundaries of the molecules along the axis on which it is concatenated, (M + 1,)."""
    increments: dict[str, Tensor | None]
    """Field → number added to the entries of each molecule, (M,), or None for lists."""
    num_nodes: list[int] | None
    """Atoms of each molecule, if the molecules had the field `num_nodes`."""


def make_batch(fields: Mapping[str, Any], structure: BatchStructure, num_graphs: int) -> Batch:
    """Make a batch from fields that are concatenated already, without the constructor of `Batch`.

    Args:
        fields: Name → value, `batch` and `ptr` included.
        structure: Boundaries and increments of these fields.
        num_graphs: Number of molecules M.

    Returns:
        A batch that equals the one of `Batch.from_data_list`.
    """
    batch: Batch = type.__call__(_BATCH)
    if structure.num_nodes is not None:
        batch._store._num_nodes = structure.num_nodes
    batch._store._mapping.update(fields)  # one by one, each assignment would look up properties of the class
    batch._num_graphs, batch._slice_dict, batch._inc_dict = num_graphs, structure.slices, structure.increments
    return batch


def structure_of(batch: Batch) -> BatchStructure | None:
    """Return the structure of a batch, or None if it was not made from a list of molecules."""
    slices, increments = getattr(batch, "_slice_dict", None), getattr(batch, "_inc_dict", None)
    if slices is None or increments is None:
        return None
    return BatchStructure(slices, increments, getattr(batch._store, "_num_nodes", None))


def saved_fields(data: Data) -> Mapping[str, Any]:
    """Return the fields of a molecule that any version of PyG has saved.

    Objects of PyG 1 keep fields in `__dict__`, and reading an attribute of them fails.
    """
    state = data.__dict__
    if "_store" in state:
        return dict(state["_store"].to_dict())
    return {name: value for name, value in state.items() if value is not None}


class TwoStepDataset(Dataset, ABC):
    """PyG's `Dataset`, whose constructor calls two public methods of the subclass, `fetch` and `prepare`.

    The steps of PyG itself demand the published files even when everything is stored, unpickle files that they find in
    the folder, and cannot tell two functions given as `pre_transform` apart.
    """

    def _download(self) -> None:
        self.fetch()

    def _process(self) -> None:
        self.prepare()

    @abstractmethod
    def fetch(self) -> None:
        """Provide the published files, if they are needed."""

    @abstractmethod
    def prepare(self) -> None:
        """Read the published files, if they have not been read before."""


def most_atoms_of(data: Data) -> int:
    """Return the number of atoms of the largest molecule, or of all, if it is not known without waiting for a device.

    A `Batch` that was made from molecules keeps their boundaries on the CPU.
    """
    num_atoms = data.pos.shape[0]
    boundaries = (getattr(data, "_slice_dict", None) or {}).get("pos")
    if boundaries is None or boundaries.device.type != "cpu":
        return num_atoms
    ends = boundaries.numpy()  # no kernel, and nothing to wait for
    return int((ends[1:] - ends[:-1]).max()) if ends[-1] == num_atoms else num_atoms
