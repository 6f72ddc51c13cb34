"""Features of SchNet: the shipped suite, and parity with PyG's model."""

import pytest
import torch
from torch_geometric.nn.models.schnet import RadiusInteractionGraph
from torch_geometric.utils import scatter

from molspectra.encoders import PyGEncoder
from molspectra.testing import EncoderSuite, random_molecules
from tests.encoders.adapters.models import as_trained, explicit_graph, schnet


class TestSchNet(EncoderSuite):
    can_be_saved = False  # PyG's models do not record how they were built

    def make_encoder(self):
        return PyGEncoder(as_trained(schnet(cutoff=5.0)))


def molecule_energies_of_schnet(model, atoms, batch):
    return scatter(model.lin2(model.act(model.lin1(atoms.scalars))), batch, dim=0)


def test_schnet_with_its_output_layers_is_schnet():
    z, pos, batch = random_molecules((7, 5, 1), torch.float64)
    model = as_trained(schnet(cutoff=3.0, interaction_graph=explicit_graph(3.0))).double()
    plain = as_trained(schnet(cutoff=3.0)).double()
    plain.load_state_dict(model.state_dict())
    expected = model(z, pos, batch)
    for wrapped in (plain, model):  # with our edges, and with its own
        actual = molecule_energies_of_schnet(plain, PyGEncoder(wrapped)(z, pos, batch), batch)
        torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-10)


class OwnGraph(RadiusInteractionGraph):
    """A user's, of pairs that PyG's would not connect."""

    def forward(self, pos, batch):
        return explicit_graph(2 * self.cutoff)(pos, batch)


@pytest.mark.parametrize(("graph", "reach"), [(RadiusInteractionGraph(2.0), 2.0), (OwnGraph(2.0), 4.0)])
@pytest.mark.usefixtures("float32_weights")
def test_schnet_keeps_the_interaction_graph_that_it_was_given(graph, reach):
    molecules = random_molecules((7, 5, 1))
    model = schnet(cutoff=5.0, interaction_graph=graph)
    expected = schnet(cutoff=5.0, interaction_graph=explicit_graph(reach))
    expected.load_state_dict(model.state_dict())
    encoder = PyGEncoder(model)
    energies = molecule_energies_of_schnet(model, encoder(*molecules), molecules[2])
    torch.testing.assert_close(energies, expected(*molecules))
    assert encoder.cutoff == 2.0


def test_no_neighbour_is_dropped():
    """An atom with 60 neighbours, of which PyG's default would keep 32."""
    torch.manual_seed(0)
    pos = torch.cat([torch.zeros(1, 3), torch.nn.functional.normalize(torch.randn(60, 3)) * 2.9])
    model = schnet(cutoff=3.0, max_num_neighbors=32)
    expected = PyGEncoder(schnet(cutoff=3.0, interaction_graph=explicit_graph(3.0)))
    expected.load_state_dict(PyGEncoder(model).state_dict())
    z = torch.ones(61, dtype=torch.int64)
    torch.testing.assert_close(PyGEncoder(model)(z, pos).scalars, expected(z, pos).scalars, rtol=1e-5, atol=1e-5)
