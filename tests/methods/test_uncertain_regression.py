"""Regression with uncertainties: losses against their definitions, and calibration on data of known noise."""

import math

import pytest
import torch
from scipy import stats
from torch_geometric.data import Batch, Data

import molspectra as ms
from molspectra.encoders import AtomFeatures


def evidence(count):
    gamma, nu, alpha, beta = (torch.rand(count, 1, dtype=torch.float64) + 0.3 for _ in range(4))
    return ms.uncertainty.Evidence(gamma, nu, 1 + alpha, beta)


def test_evidential_loss_is_students_t_and_the_penalty():
    predicted, target = evidence(10), torch.randn(10, 1, dtype=torch.float64)
    gamma, nu, alpha, beta = predicted.gamma, predicted.nu, predicted.alpha, predicted.beta
    student = stats.t(2 * alpha, gamma, (beta * (1 + nu) / (nu * alpha)).sqrt())
    penalty = 0.3 * (target - gamma).abs() / 2 * (2 * nu + alpha)
    actual = ms.objectives.EvidentialLoss(0.3, unit=2.0)(predicted, target)
    torch.testing.assert_close(actual, penalty - torch.from_numpy(student.logpdf(target)))


def test_evidential_loss_as_in_the_paper():
    """Equations 8 and 9, term by term."""
    predicted, y = evidence(5), torch.randn(5, 1, dtype=torch.float64)
    for row in range(5):
        gamma, nu, alpha, beta = (part[row].item() for part in vars(predicted).values())
        omega = 2 * beta * (1 + nu)
        expected = 0.5 * math.log(math.pi / nu) - alpha * math.log(omega)
        expected += (alpha + 0.5) * math.log((y[row].item() - gamma) ** 2 * nu + omega)
        expected += math.lgamma(alpha) - math.lgamma(alpha + 0.5)
        expected += 0.01 * abs(y[row].item() - gamma) * (2 * nu + alpha)
        assert ms.objectives.EvidentialLoss()(predicted, y)[row].item() == pytest.approx(expected, rel=1e-12)


def test_a_head_of_evidence_gives_molecules_and_atoms(batch, make_encoder):
    encoder = make_encoder()
    batch.gap[2] = torch.nan
    finetune = ms.methods.Regression(ms.heads.EvidentialHead(16, mean=8.0, std=2.0), label="gap", loss="evidential")
    losses = finetune(encoder, batch)
    losses["loss"].backward()
    assert all(p.grad.isfinite().all() for p in finetune.parameters())
    predicted = finetune.predict(encoder, batch).property
    known = ~batch.gap.isnan()
    each = ms.objectives.EvidentialLoss()(predicted, batch.gap[:, None])[known]
    torch.testing.assert_close(losses["property"], each.mean())
    assert predicted.std.shape == (6, 1)
    assert (predicted.alpha > 1).all()
    scale = ms.heads.ElementScale.fit(batch.z, batch.mulliken_charge)
    atoms = ms.heads.EvidentialHead(16, "atom", scale=scale)
    charges = ms.methods.Regression(atoms, label="mulliken_charge", level="atom", loss="evidential")
    charges(encoder, batch)["loss"].backward()
    assert charges.predict(encoder, batch).property.std.shape == (batch.num_nodes, 1)
    assert 0 <= charges.calibrate(encoder, [batch]).error <= 1
    assert charges.evaluate(encoder, [batch]).mae > 0


def test_units_of_the_property_are_those_of_mean_and_std(batch, make_encoder):
    encoder, plain = make_encoder(), ms.heads.EvidentialHead(16)
    scaled = ms.heads.EvidentialHead(16, mean=8.0, std=2.0)
    scaled.load_state_dict(plain.state_dict())
    atoms = encoder(batch.z, batch.pos, batch.batch)
    first, second = plain(atoms, batch), scaled(atoms, batch)
    torch.testing.assert_close(second.mean, 8 + 2 * first.mean)
    torch.testing.assert_close(second.std, 2 * first.std)


def test_every_member_of_an_ensemble_is_compared(batch, make_encoder, tmp_path):
    encoder = make_encoder()
    heads = [ms.heads.ScalarHead(16, mean=8.0, reduce="mean") for _ in range(3)]
    finetune = ms.methods.Regression(ms.heads.EnsembleHead(heads), label="gap", loss="l1")
    batch.gap[0] = torch.nan
    losses = finetune(encoder, batch)
    atoms = encoder(batch.z, batch.pos, batch.batch)
    members = torch.stack([head(atoms, batch)[1:, 0] for head in heads])
    torch.testing.assert_close(losses["loss"], (members - batch.gap[1:]).abs().mean())
    predicted = finetune.predict(encoder, batch).property
    torch.testing.assert_close(predicted.mean[1:, 0], members.mean(dim=0))
    torch.testing.assert_close(predicted.std[1:, 0], members.std(dim=0))
    assert finetune.calibrate(encoder, [batch]).levels.shape == (19,)
    ms.pretrained.save(finetune, tmp_path)
    again = ms.pretrained.load(tmp_path).predict(encoder, batch).property
    torch.testing.assert_close(again.members, predicted.members)


def test_forces_of_an_ensemble_are_those_of_its_mean(batch, make_encoder):
    encoder, heads = make_encoder(), [ms.heads.ScalarHead(16) for _ in range(2)]
    both = ms.methods.Regression(ms.heads.EnsembleHead(heads), label="energy", forces="forces")
    alone = [ms.methods.Regression(head, label="energy", forces="forces").predict(encoder, batch) for head in heads]
    expected = (alone[0].forces + alone[1].forces) / 2
    torch.testing.assert_close(both.predict(encoder, batch).forces, expected, rtol=1e-4, atol=1e-6)


class Features(torch.nn.Module):
    """Encoder whose features are the label's mean and noise level, and a constant."""

    def forward(self, z, pos, batch=None):
        return AtomFeatures(pos)


@pytest.mark.slow
def test_evidence_learns_the_noise_of_labels_and_is_calibrated():
    generator = torch.Generator().manual_seed(0)
    count = 3000
    mean, std = torch.randn(count, generator=generator), 0.1 + torch.rand(count, generator=generator)
    label = mean + std * torch.randn(count, generator=generator)
    pos = torch.stack([mean, std, torch.ones(count)], dim=1)

    def batch(rows):
        return Data(z=torch.ones(len(rows), dtype=torch.int64), pos=pos[rows], y=label[rows])

    arguments = {"label": "y", "level": "atom", "loss": "evidential"}
    head = ms.heads.EvidentialHead(3, "atom")
    head.mlp[0], head.mlp[2], head.linear = torch.nn.Linear(3, 32), torch.nn.Linear(32, 32), torch.nn.Linear(32, 4)
    finetune, encoder = ms.methods.Regression(head, **arguments), Features()
    optimizer = torch.optim.Adam(finetune.parameters(), 5e-3)
    train, test = torch.arange(2000), torch.arange(2000, count)
    for _ in range(400):
        optimizer.zero_grad()
        finetune(encoder, batch(train))["loss"].backward()
        optimizer.step()
    predicted = finetune.predict(encoder, batch(test)).property
    correlation = torch.corrcoef(torch.stack([predicted.std[:, 0], std[test]]))[0, 1]
    assert correlation > 0.9
    found = finetune.calibrate(encoder, [batch(test[:400]), batch(test[400:])])
    assert found.error < 0.04
    assert found.sharpness == pytest.approx(found.rmse, rel=0.2)


def test_bad_arguments(batch, make_encoder):
    encoder, evidential = make_encoder(), ms.heads.EvidentialHead(16)
    with pytest.raises(ValueError, match='EvidentialHead needs loss="evidential"'):
        ms.methods.Regression(evidential, label="gap")
    with pytest.raises(TypeError, match="need each other; got loss=.* and a Tensor"):
        ms.methods.Regression(ms.heads.ScalarHead(16), label="gap", loss="evidential")(encoder, batch)
    with pytest.raises(ValueError, match="forces='forces' have no evidence"):
        ms.methods.Regression(evidential, label="energy", forces="forces", loss="evidential")
    with pytest.raises(TypeError, match="ScalarHead predicts numbers without uncertainty"):
        ms.methods.Regression(ms.heads.ScalarHead(16), label="gap").calibrate(encoder, [batch])
    with pytest.raises(ValueError, match="at least one batch; got none"):
        ms.methods.Regression(evidential, label="gap", loss="evidential").calibrate(encoder, [])
    with pytest.raises(ValueError, match="at least two different modules.*got 2, 1 of them different"):
        ms.heads.EnsembleHead([evidential, evidential])
    with pytest.raises(ValueError, match=r"must predict numbers.*got \['EvidentialHead', 'EvidentialHead'\]"):
        ms.heads.EnsembleHead([evidential, ms.heads.EvidentialHead(16)])
    with pytest.raises(ValueError, match="for level=\"atom\"; got level='molecule'"):
        ms.heads.EvidentialHead(16, scale=ms.heads.ElementScale([6], [0.0], [1.0]))
    for arguments in ((-1.0,), (0.1, 0.0)):
        with pytest.raises(ValueError, match="regularization must not be negative, and unit must be positive"):
            ms.objectives.EvidentialLoss(*arguments)


def test_a_calculator_reads_the_mean(make_encoder):
    pytest.importorskip("ase")
    from ase import Atoms

    heads = [ms.heads.ScalarHead(16) for _ in range(2)]
    encoder, finetune = make_encoder(), ms.methods.Regression(ms.heads.EnsembleHead(heads), label="energy")
    water = Atoms("OH2", [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
    water.calc = ms.ase_calculator(encoder, finetune)
    expected = [head(encoder(torch.tensor([8, 1, 1]), torch.tensor(water.positions).float())).item() for head in heads]
    assert water.get_potential_energy() == pytest.approx(sum(expected) / 2, rel=1e-4)


def test_evidence_of_lone_atoms(make_encoder):
    atom = {"pos": torch.zeros(1, 3, dtype=torch.float32), "gap": torch.ones(1, dtype=torch.float32)}
    lone = Batch.from_data_list([Data(z=torch.tensor([2]), **atom)] * 2)
    finetune = ms.methods.Regression(ms.heads.EvidentialHead(16), label="gap", loss="evidential")
    finetune(make_encoder(), lone)["loss"].backward()
    assert all(p.grad.isfinite().all() for p in finetune.parameters())
