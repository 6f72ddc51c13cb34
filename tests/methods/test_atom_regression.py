"""Regression of properties of atoms, against a loop over the atoms."""

import copy

import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader

import molspectra as ms


@pytest.fixture
def batch(batch):
    """Molecules with a label for each carbon atom but one, NaN for all others."""
    batch.c_nmr = torch.where(batch.z == 6, 50 + 100 * batch.mulliken_charge, torch.nan)
    batch.c_nmr[(batch.z == 6).nonzero()[0]] = torch.nan
    parts = batch.c_nmr.split(batch.ptr.diff().tolist())
    molecules = batch.to_data_list()
    for molecule, shifts in zip(molecules, parts, strict=True):
        molecule.c_nmr = shifts
    return Batch.from_data_list(molecules)


def make(**arguments):
    return ms.methods.Regression(ms.heads.AtomHead(16), label="c_nmr", level="atom", **arguments)


@pytest.mark.parametrize(("loss", "compare"), [("mse", lambda d: d**2), ("l1", abs)])
def test_loss_is_the_mean_over_labelled_atoms(batch, loss, compare, make_encoder):
    encoder, finetune = make_encoder(), make(loss=loss)
    errors = []
    for molecule in batch.to_data_list():
        predicted = finetune.head(encoder(molecule.z, molecule.pos))
        for atom, label in enumerate(molecule.c_nmr.tolist()):
            if label == label:  # not NaN
                errors.append(compare(predicted[atom, 0] - label))
    assert 0 < len(errors) < batch.num_nodes
    losses = finetune(encoder, batch)
    torch.testing.assert_close(losses["loss"], torch.stack(errors).mean())
    assert sorted(losses) == ["loss", "property"]
    assert finetune.predict(encoder, batch).property.shape == (batch.num_nodes, 1)


def test_unlabelled_atoms_have_no_part_in_the_gradient(batch, make_encoder):
    encoder, finetune = make_encoder(), make()
    scale = ms.heads.ElementScale.fit(batch.z, batch.c_nmr)  # NaN for all elements but carbon
    finetune.head = ms.heads.AtomHead(16, scale=scale)
    finetune(encoder, batch)["loss"].backward()
    gradients = [p.grad for p in [*encoder.parameters(), *finetune.parameters()] if p.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.abs().max() > 0 for gradient in gradients)
    batch.c_nmr[:] = torch.nan
    assert finetune(encoder, batch)["loss"] == 0


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_masked_labels_are_as_unknown_ones(batch, shape, make_encoder):
    encoder, masked = make_encoder(), make(mask="known")
    batch.known = (torch.rand(batch.num_nodes) < 0.5).reshape(shape)
    expected = copy.copy(batch)
    expected.c_nmr = batch.c_nmr.masked_fill(~batch.known.flatten(), torch.nan)
    plain = make()
    plain.head = masked.head
    torch.testing.assert_close(masked(encoder, batch)["loss"], plain(encoder, expected)["loss"])


def test_vectors_of_atoms(batch, make_encoder):
    batch.field = torch.randn_like(batch.pos)
    finetune = ms.methods.Regression(ms.heads.VectorHead(16), label="field", level="atom", mask="chosen")
    batch.chosen = batch.z == 6
    encoder = make_encoder()
    predicted = finetune.head(encoder(batch.z, batch.pos, batch.batch))
    expected = (predicted - batch.field)[batch.chosen].square().mean()
    torch.testing.assert_close(finetune(encoder, batch)["loss"], expected)


def test_evaluation_is_over_all_labels_and_keeps_modes(batch, make_encoder):
    encoder, finetune = make_encoder(), make()
    loader = DataLoader(batch.to_data_list(), batch_size=4)
    errors = finetune.evaluate(encoder, loader)
    assert encoder.training
    assert finetune.training
    predicted = finetune.eval().predict(encoder.eval(), batch).property[:, 0].detach().double()
    known = ~batch.c_nmr.isnan()
    difference = predicted[known] - batch.c_nmr[known].double()
    assert len(errors) == known.sum()
    assert errors.mae == pytest.approx(difference.abs().mean().item(), rel=1e-5)
    assert errors.rmse == pytest.approx(difference.square().mean().sqrt().item(), rel=1e-5)
    variance = batch.c_nmr[known].double().var(correction=0)
    assert errors.r2 == pytest.approx((1 - difference.square().mean() / variance).item(), rel=1e-5)
    assert f"{len(errors)} labels, mae" in repr(errors)


def test_evaluation_of_molecules(batch, make_encoder):
    finetune = ms.methods.Regression(ms.heads.ScalarHead(16), label="gap")
    encoder = make_encoder()
    errors = finetune.evaluate(encoder, [batch])
    expected = (finetune.eval().predict(encoder.eval(), batch).property[:, 0] - batch.gap).abs().mean()
    assert errors.mae == pytest.approx(expected.item(), rel=1e-5)
    batch.gap[:] = torch.nan
    with pytest.raises(ValueError, match="batches must hold at least one label"):
        finetune.evaluate(encoder, [batch])


def test_training_lowers_the_error(batch, make_encoder):
    model = ms.methods.TrainingModule(make_encoder(), make(loss="l1"))
    scale = ms.heads.ElementScale.fit(batch.z, batch.c_nmr)
    model.method.head = ms.heads.AtomHead(16, scale=scale)
    optimizer = torch.optim.Adam(model.parameters(), 5e-3)
    before = model.method.evaluate(model.encoder, [batch]).mae
    for _ in range(30):
        optimizer.zero_grad()
        model(batch)["loss"].backward()
        optimizer.step()
    assert model.method.evaluate(model.encoder, [batch]).mae < 0.7 * before


def test_saved_and_loaded(batch, tmp_path, make_encoder):
    encoder, finetune = make_encoder().eval(), make(mask="known")
    finetune.head = ms.heads.AtomHead(16, scale=ms.heads.ElementScale.fit(batch.z, batch.c_nmr))
    finetune = ms.methods.Regression(finetune.head, label="c_nmr", level="atom", mask="known")
    ms.pretrained.save(finetune, tmp_path)
    again = ms.pretrained.load(tmp_path)
    assert (again.level, again.mask) == ("atom", "known")
    expected = finetune.predict(encoder, batch).property
    torch.testing.assert_close(again.predict(encoder, batch).property, expected, equal_nan=True)


def test_noisy_nodes_with_labels_of_atoms(batch, make_encoder):
    encoder = make_encoder()
    arguments = {"label": "c_nmr", "level": "atom"}
    finetune = ms.methods.NoisyNodes(ms.methods.Coord(16, std=0.005), ms.heads.AtomHead(16), **arguments)
    finetune(encoder, batch)["loss"].backward()
    finetune.eval()
    torch.testing.assert_close(finetune(encoder, batch)["property"], finetune.regression(encoder, batch)["loss"])


def test_errors_name_the_remedy(batch, make_encoder):
    encoder, atoms, molecules = make_encoder(), ms.heads.AtomHead(16), ms.heads.ScalarHead(16)
    with pytest.raises(ValueError, match="a value for each of .* atoms; ScalarHead gave .*AtomHead"):
        ms.methods.Regression(molecules, label="c_nmr", level="atom")(encoder, batch)
    with pytest.raises(ValueError, match='The label has a value per atom: say level="atom"'):
        ms.methods.Regression(molecules, label="c_nmr")(encoder, batch)
    with pytest.raises(ValueError, match="the label is of molecules: use a head of molecules"):
        ms.methods.Regression(atoms, label="gap")(encoder, batch)
    with pytest.raises(ValueError, match=r"field 'h_nmr' of shape .*; got none"):
        ms.methods.Regression(atoms, label="h_nmr", level="atom")(encoder, batch)
    with pytest.raises(ValueError, match='gradient of an energy of molecules; got level="atom"'):
        ms.methods.Regression(atoms, label="c_nmr", level="atom", forces="forces")
    batch.known = batch.z
    with pytest.raises(ValueError, match="mask 'known' must be boolean.*got torch.int64"):
        make(mask="known")(encoder, batch)
    with pytest.raises(ValueError, match="mask 'absent' must be boolean.*got None"):
        make(mask="absent")(encoder, batch)
    oxygen = ms.methods.Regression(
        ms.heads.AtomHead(16, scale=ms.heads.ElementScale([8], [0.0], [1.0])), label="c_nmr", level="atom"
    )
    with pytest.raises(ValueError, match=r"elements of the scale, \[8\]; got \[6\] as well"):
        oxygen(encoder, batch)


def test_a_calculator_needs_an_energy(make_encoder):
    pytest.importorskip("ase")
    with pytest.raises(ValueError, match="must predict an energy of molecules; got level='atom'"):
        ms.ase_calculator(make_encoder(), make())


def test_single_atoms(make_encoder):
    lone = [ms.data.MiniSpectra()[0] for _ in range(2)]
    for data in lone:
        data.z, data.pos, data.c_nmr = data.z[:1], data.pos[:1], torch.ones(1)
        del data.bond_index, data.bond_order, data.mulliken_charge
    losses = make()(make_encoder(), Batch.from_data_list(lone))
    losses["loss"].backward()
    assert losses["loss"].isfinite()
