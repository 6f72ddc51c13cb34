"""Features of ViSNet: the shipped suite, and parity with PyG's model."""

import pytest
import torch
from torch import nn
from torch_geometric.utils import scatter

from molspectra.encoders import PyGEncoder
from molspectra.testing import EncoderSuite, random_molecules
from tests.encoders.adapters.models import as_trained, assert_all_have_gradients, explicit_graph, visnet


def without_gradient_in_visnet(*names):
    """In its first layer, ahead of which vectors are 0."""
    names = ("vec_proj.weight", "f_proj.weight", "f_proj.bias", "w_src_proj.weight", "w_trg_proj.weight", *names)
    return frozenset(f"features.model.vis_mp_layers.0.{name}" for name in names)


class ViSNetSuite(EncoderSuite):
    smooth_at_cutoff = False  # a message that the cutoff has brought to 0 passes through a layer with a bias
    can_be_saved = False

    def make_encoder_to_compile(self):
        return self.make_encoder(num_layers=2)  # the last layer differs from the others


class TestViSNet(ViSNetSuite):
    parameters_without_gradient = without_gradient_in_visnet()

    def make_encoder(self, num_layers=3):
        return PyGEncoder(as_trained(visnet(num_layers=num_layers)))


class TestViSNetOfDegree2(ViSNetSuite):
    parameters_without_gradient = without_gradient_in_visnet("t_src_proj.weight", "t_trg_proj.weight")

    def make_encoder(self, num_layers=3):
        return PyGEncoder(as_trained(visnet(num_layers=num_layers, lmax=2, vertex=True)))


@pytest.mark.parametrize("lmax", [1, 2])
@pytest.mark.parametrize("vecnorm_type", [None, "max_min"])
def test_visnet_with_its_output_layers_is_visnet(lmax, vecnorm_type):
    z, pos, batch = random_molecules((7, 5, 3), torch.float64)
    model = as_trained(visnet(lmax=lmax, vecnorm_type=vecnorm_type, vertex=lmax == 2, cutoff=3.0)).double()
    graph = explicit_graph(3.0)

    class Distance(nn.Module):
        def forward(self, pos, batch):
            edge_index, length = graph(pos, batch)
            loops = torch.arange(len(pos)).expand(2, -1)
            edge_index = torch.cat([edge_index, loops], dim=1)
            vectors = pos[edge_index[0]] - pos[edge_index[1]]
            return edge_index, torch.cat([length, length.new_zeros(len(pos))]), vectors

    atoms = PyGEncoder(model)(z, pos, batch)
    model.representation_model.distance = Distance()
    features = torch.cat([atoms.vectors, *atoms.tensors], dim=1)
    energies = scatter(model.output_model.pre_reduce(atoms.scalars, features), batch, dim=0)
    torch.testing.assert_close(energies, model(z, pos, batch)[0], rtol=1e-10, atol=1e-10)
    scalars, expected = model.representation_model(z, pos, batch)
    torch.testing.assert_close(atoms.scalars, scalars, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(features, expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "make",
    [
        lambda: visnet(lmax=2, trainable_rbf=True, trainable_vecnorm=True),
        lambda: visnet(lmax=2, vertex=True),
        lambda: visnet(),
    ],
    ids=["trainable basis and norm", "vertex", "default"],
)
@pytest.mark.usefixtures("float32_weights")
def test_no_parameter_of_visnet_waits_for_a_gradient(make):
    assert_all_have_gradients(PyGEncoder(make()))
