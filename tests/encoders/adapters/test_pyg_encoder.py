"""Encoders made of PyG's models: shared parts, sizes, training and saving."""

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch
from torch_geometric.nn.models import DimeNet

from molspectra.data import MiniSpectra
from molspectra.encoders import PyGEncoder
from molspectra.heads import VectorHead
from molspectra.methods import Coord
from molspectra.pretrained import save
from molspectra.testing import random_molecules
from tests.encoders.adapters.models import dimenet, schnet, visnet


def test_the_model_is_shared_and_keeps_its_output_layers():
    model = schnet()
    encoder = PyGEncoder(model)
    assert encoder.features.embedding is model.embedding
    assert not any("lin2" in name and "interactions" not in name for name in encoder.state_dict())
    assert model.lin2.weight.requires_grad


def test_sizes_are_read_off_the_model():
    sizes = {}
    for encoder in (
        PyGEncoder(schnet(cutoff=7.0)),
        PyGEncoder(dimenet(out_emb_channels=24, num_spherical=2)),
        PyGEncoder(visnet(max_z=50)),
    ):
        sizes[type(encoder.features).__name__] = (encoder.out_channels, encoder.cutoff, encoder.max_z)
    assert sizes == {"SchNetFeatures": (16, 7.0, 99), "DimeNetFeatures": (24, 5.0, 94), "ViSNetFeatures": (16, 5.0, 49)}


@pytest.mark.usefixtures("float32_weights")
def test_methods_run_with_a_model_without_vectors():
    batch = Batch.from_data_list(MiniSpectra()[:3])
    encoder = PyGEncoder(schnet())
    Coord(channels=16, prediction="gradient")(encoder, batch)["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())
    with pytest.raises(ValueError, match="vectors"):
        VectorHead(16)(encoder(batch.z, batch.pos, batch.batch))


def test_a_model_of_pyg_cannot_be_saved(tmp_path):
    """It does not record how it was built."""
    with pytest.raises(TypeError, match=r"module.model is a SchNet.*Configurable"):
        save(PyGEncoder(schnet()), tmp_path)


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.usefixtures("float32_weights")
def test_a_context_of_another_width_is_refused():
    z, pos, batch = random_molecules()
    encoder = PyGEncoder(dimenet(out_emb_channels=3, num_spherical=2))
    with pytest.raises(ValueError, match="context .* is added to the embedding"):
        encoder(z, pos, batch, context=torch.zeros(len(z), 3))


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("make", "error", "message"),
    [
        (lambda: DimeNet(8, 1, 1, 2, 2, 1), ValueError, "DimeNet, which is not read. Use PyG's DimeNetPlusPlus"),
        (lambda: nn.Linear(1, 1), TypeError, "model must be a SchNet.*got a Linear. Use GraphEncoder"),
    ],
)
def test_other_models_are_refused(make, error, message):
    with pytest.raises(error, match=message):
        PyGEncoder(make())
