"""Regression of properties and forces, against its parts."""

import pytest
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.nn.models import SchNet

import molspectra as ms
from molspectra.testing import without_shape_checks


@pytest.fixture
def batch(batch):
    batch.forces = torch.randn_like(batch.pos)
    return batch


@pytest.mark.parametrize(("loss", "compare"), [("mse", torch.square), ("l1", torch.abs)])
def test_a_property_is_the_sum_of_its_parts(batch, loss, compare, make_encoder):
    encoder, head = make_encoder(), ms.heads.ScalarHead(16)
    losses = ms.methods.Regression(head, label="gap", loss=loss)(encoder, batch)
    predicted = head(encoder(batch.z, batch.pos, batch.batch), batch)[:, 0]
    torch.testing.assert_close(losses["loss"], compare(predicted - batch.gap).mean())
    assert sorted(losses) == ["loss", "property"]


def test_labels_that_are_not_known_are_left_out(batch, make_encoder):
    encoder, finetune = make_encoder(), ms.methods.Regression(ms.heads.ScalarHead(16), label="gap")
    few = Batch.from_data_list(batch.to_data_list()[:4])
    batch.gap[4:] = torch.nan
    losses = finetune(encoder, batch)
    torch.testing.assert_close(losses["loss"], finetune(encoder, few)["loss"])
    losses["loss"].backward()
    assert all(p.grad.isfinite().all() for p in finetune.parameters() if p.grad is not None)
    batch.gap[:] = torch.nan
    assert finetune(encoder, batch)["loss"] == 0


def test_forces_are_the_gradient_of_the_energy(batch, make_encoder):
    encoder, head = make_encoder().double(), ms.heads.ScalarHead(16).double()
    batch = batch.apply(lambda tensor: tensor.double() if tensor.is_floating_point() else tensor)
    finetune = ms.methods.Regression(head, label="energy", forces="forces")
    with torch.no_grad():
        energy, forces = finetune.predict(encoder, batch)
    for atom, axis in ((0, 0), (5, 2), (batch.num_nodes - 1, 1)):
        shifted = []
        for step in (1e-5, -1e-5):
            moved = batch.clone()
            moved.pos[atom, axis] += step
            shifted.append(finetune.predict(encoder, moved).property.sum())
        torch.testing.assert_close(forces[atom, axis], -(shifted[0] - shifted[1]).detach() / 2e-5, rtol=1e-5, atol=1e-6)
    losses = finetune(encoder, batch)
    expected = 0.2 * (energy[:, 0] - batch.energy).square().mean() + 0.8 * (forces - batch.forces).square().mean()
    torch.testing.assert_close(losses["loss"], expected)
    losses["loss"].backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters() if p.requires_grad)


def test_forces_read_off_the_features(batch, make_encoder):
    encoder, force_head = make_encoder(), ms.heads.VectorHead(16)
    finetune = ms.methods.Regression(ms.heads.ScalarHead(16), label="energy", forces="forces", force_head=force_head)
    finetune(encoder, batch)["loss"].backward()
    expected = force_head(encoder(batch.z, batch.pos, batch.batch))
    torch.testing.assert_close(finetune.predict(encoder, batch).forces, expected)
    assert all(p.grad is not None for p in finetune.parameters() if p.requires_grad)


def test_lone_atoms_have_an_energy_and_no_forces(make_encoder):
    zero = torch.zeros(1, 3, dtype=torch.float32)
    lone = Data(z=torch.tensor([2]), pos=zero, energy=torch.ones(1), forces=zero)
    finetune = ms.methods.Regression(ms.heads.ScalarHead(16), label="energy", forces="forces")
    losses = finetune(make_encoder(), lone)
    losses["loss"].backward()
    assert losses["forces"] == 0
    assert losses["property"].isfinite()


def test_energies_of_an_encoder_without_vectors(batch):
    encoder = ms.encoders.Adapter(SchNet(16, 16, 2))
    finetune = ms.methods.Regression(ms.heads.ScalarHead(16), label="energy", forces="forces")
    finetune(encoder, batch)["loss"].backward()
    assert all(p.grad.isfinite().all() for p in encoder.parameters())


def test_dipole_vectors(batch, make_encoder):
    finetune = ms.methods.Regression(ms.heads.DipoleHead(16, magnitude=False), label="dipole")
    encoder = make_encoder()
    assert finetune.predict(encoder, batch).property.shape == batch.dipole.shape
    finetune(encoder, batch)["loss"].backward()


def test_saved_and_loaded(batch, tmp_path, make_encoder):
    encoder = make_encoder().eval()
    references = ms.heads.AtomicReferenceEnergies.fit(batch.z, batch.batch, batch.energy)
    head = ms.heads.ScalarHead(16, references=references)
    finetune = ms.methods.Regression(head, label="energy", forces="forces", weights={"property": 1, "forces": 10})
    ms.pretrained.save(finetune, tmp_path)
    again = ms.pretrained.load(tmp_path)
    for actual, expected in zip(again.predict(encoder, batch), finetune.predict(encoder, batch), strict=True):
        torch.testing.assert_close(actual, expected)


def test_bad_arguments(batch, make_encoder):
    with (
        pytest.raises(
            ValueError, match='loss of Regression must be "mse", "l1", "smooth_l1", "evidential" or an EvidentialLoss'
        ),
        without_shape_checks(),
    ):
        ms.methods.Regression(ms.heads.ScalarHead(16), loss="l2")
    with pytest.raises(ValueError, match="force_head needs forces="):
        ms.methods.Regression(ms.heads.ScalarHead(16), force_head=ms.heads.VectorHead(16))
    with pytest.raises(ValueError, match=r"must have the field 'y' of shape \(6, 1\); got none. Its fields are"):
        ms.methods.Regression(ms.heads.ScalarHead(16))(make_encoder(), batch)


def make_specformer(**arguments):
    lengths = {"uv_vis": 601, "ir": 3501}
    return ms.spectra.SpecFormer(lengths, 100, 50, 16, 1, 2, 8, **arguments)


@pytest.mark.parametrize(
    "spectrum_encoder", [make_specformer, lambda: ms.spectra.CNNAM({"uv_vis": 601, "ir": 3501}, out_channels=8)]
)
def test_structure_and_spectra_together(batch, spectrum_encoder, tmp_path, make_encoder):
    encoder, spectra, head = make_encoder(), spectrum_encoder(), ms.heads.FusionHead(16, 8, mean=8.0, std=2.0)
    finetune = ms.methods.SpectraRegression(head, spectra, label="gap", loss="l1").eval()
    embedding = spectra({kind: batch[kind] for kind in ("uv_vis", "ir")}).embedding
    pooled = head.pool(encoder(batch.z, batch.pos, batch.batch), batch)
    joined = torch.cat([head.molecule_norm(pooled), head.spectrum_norm(embedding)], dim=1)
    expected = 8 + 2 * head.mlp(joined)
    torch.testing.assert_close(finetune.predict(encoder, batch).property, expected)
    finetune(encoder, batch)["loss"].backward()
    assert all(p.grad is not None for p in [*head.parameters(), *encoder.parameters()])
    batch.uv_vis[2] = torch.nan
    del batch.ir
    assert finetune(encoder, batch)["loss"].isfinite()
    del batch.uv_vis
    with pytest.raises(ValueError, match=r"has none of the spectra \['uv_vis', 'ir'\].*Without spectra use Regression"):
        finetune(encoder, batch)
    ms.pretrained.save(finetune, tmp_path)
    assert type(ms.pretrained.load(tmp_path)) is ms.methods.SpectraRegression
