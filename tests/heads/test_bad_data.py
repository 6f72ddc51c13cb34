"""Errors of heads, tasks and encoders for wrong molecules and features."""

import pytest
import torch
from torch_geometric.data import Batch, Data

import molspectra as ms

F = 8
pytestmark = pytest.mark.usefixtures("no_shape_checks")


def atoms():
    return ms.encoders.AtomFeatures(torch.randn(3, F), torch.randn(3, 3, F))


@pytest.mark.parametrize(
    "head",
    [
        ms.heads.ScalarHead(F),
        ms.heads.EnergyHead(F),
        ms.heads.MoleculePooling(F),
        ms.heads.DipoleHead(F),
        ms.heads.SpatialExtentHead(F),
        ms.heads.GradientHead(channels=F),
        ms.heads.FusionHead(F, 3),
        ms.heads.SpectrumHead(F, {"ir": 20}),
        ms.heads.StickHead(F, {"ir": ms.data.IR}, fwhm=16.0),
    ],
    ids=lambda head: type(head).__name__,
)
def test_the_batch_vector_in_place_of_the_molecules(head):
    with pytest.raises(
        TypeError, match=r"needs data, a torch_geometric Data or Batch.*got a Tensor.*head\(atoms, batch\)"
    ):
        head(atoms(), torch.zeros(3, dtype=torch.int64))


@pytest.mark.parametrize("head", [ms.heads.DipoleHead(F), ms.heads.SpatialExtentHead(F)], ids=["dipole", "extent"])
def test_molecules_without_a_field_that_the_head_reads(head):
    with pytest.raises(ValueError, match=r"needs data with z and pos; \['z'\] are missing"):
        head(atoms(), Data(pos=torch.randn(3, 3)))
    with pytest.raises(TypeError, match="got a NoneType"):
        head(atoms(), None)


def molecules():
    return Batch.from_data_list(ms.data.MiniSpectra()[:4])


class Altered(ms.methods.PretextTask):
    """Task that returns other molecules than those of the batch."""

    def __init__(self, alter):
        super().__init__()
        self.alter = alter

    def run(self, encoder, batch, generator=None):
        data = self.alter(batch)
        features = ms.methods.encode(encoder, data)
        return ms.methods.TaskOutput(features.scalars.sum(), features, data, {})


@pytest.mark.usefixtures("float32_weights")
def test_a_task_that_returns_other_molecules_is_refused_beside_spectra():
    specformer = ms.spectra.SpecFormer({"ir": 3501}, 500, 500, 16, num_layers=1, num_heads=2, out_channels=F)
    task = Altered(lambda batch: Batch.from_data_list(batch.to_data_list()[:3]))
    with pytest.raises(ValueError, match="task must return the molecules of the batch.*got 3 molecules for 4"):
        ms.methods.MolSpectra(task, specformer)(ms.encoders.PaiNN(F, num_layers=1), molecules())


@pytest.mark.usefixtures("float32_weights")
def test_a_task_that_removes_atoms_is_refused_beside_labels():
    def without_the_last_atom(batch):
        return Batch.from_data_list([Data(z=one.z[:-1], pos=one.pos[:-1]) for one in batch.to_data_list()])

    finetune = ms.methods.NoisyNodes(Altered(without_the_last_atom), ms.heads.ScalarHead(F), label="gap")
    with pytest.raises(ValueError, match=r"task must preserve the atoms.*separate=True"):
        finetune(ms.encoders.PaiNN(F, num_layers=1), molecules())


def test_a_function_that_returns_tensors_is_no_encoder():
    with pytest.raises(TypeError, match=r"must return AtomFeatures.*got a tuple.*FunctionEncoder"):
        ms.methods.Coord(F)(lambda z, pos, batch=None: (torch.ones(len(z), F), None), molecules())
