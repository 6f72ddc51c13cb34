"""Lines of molecules: broadening, symmetries and gradients of the head, and its use in a method."""

import math

import pytest
import torch
from torch.autograd import gradcheck
from torch_geometric.data import Batch, Data

import molspectra as ms
from molspectra.encoders import AtomFeatures
from molspectra.testing import random_orthogonal, without_shape_checks

F = 8
AXIS = ms.data.SpectrumAxis("ir", 400, 2000, 8, "cm^-1")
AXES = {"ir": AXIS, "raman": ms.data.SpectrumAxis("raman", 400, 1800, 5, "cm^-1")}


def make(**arguments):
    return ms.heads.StickHead(F, AXES, **{"fwhm": {"ir": 40.0, "raman": 30.0}, **arguments}).double()


def features(count):
    return AtomFeatures(torch.randn(count, F, dtype=torch.float64), torch.randn(count, 3, F, dtype=torch.float64))


def as_set(sticks, molecule):
    """Return the lines of a molecule, ordered by position."""
    own = sticks.molecule == molecule
    lines = torch.stack([sticks.positions[own], *(values[own] for values in sticks.intensities.values())], dim=1)
    return lines[lines[:, 0].argsort()]


@pytest.mark.parametrize("per_atom", [1, 3])
def test_spectra_are_sums_of_lines_of_their_atoms(per_atom):
    head, atoms = make(sticks_per_atom=per_atom, shape="gaussian"), features(5)
    head.units.copy_(torch.tensor([[2.0, 5.0]]))
    data = Data(batch=torch.tensor([0, 0, 0, 1, 1]))
    spectra = head(atoms, data)
    expected = {kind: torch.zeros_like(spectrum) for kind, spectrum in spectra.items()}
    for atom, molecule in enumerate(data.batch.tolist()):
        invariant = atoms.scalars[atom] + (atoms.vectors[atom].square().sum(0) + 1e-6).sqrt()
        numbers = head.linear(head.mlp(invariant)).view(per_atom, 3)
        for slot in range(per_atom):
            position = head.centers[slot] + head.width[slot] * numbers[slot, 0]
            for kind, (unit, fwhm, column) in {"ir": (2.0, 40.0, 1), "raman": (5.0, 30.0, 2)}.items():
                sigma = fwhm / math.sqrt(8 * math.log(2))
                line = torch.exp(-0.5 * ((AXES[kind].grid - position) / sigma) ** 2) / (sigma * math.sqrt(2 * math.pi))
                expected[kind][molecule] += unit * torch.log(1 + torch.exp(numbers[slot, column])) * line
    for kind in AXES:
        torch.testing.assert_close(spectra[kind], expected[kind])


def test_lines_are_a_set_that_rotation_and_order_leave_alone():
    encoder, head = ms.encoders.PaiNN(F, num_layers=2).double(), make()
    molecule = ms.data.MiniSpectra()[30]
    z, pos = molecule.z, molecule.pos.double()
    lines = as_set(head.sticks(encoder(z, pos)), 0)
    assert len(lines) == 3 * len(z)
    order = torch.randperm(len(z))
    turned = pos[order] @ random_orthogonal(torch.float64).T + 3.0
    torch.testing.assert_close(as_set(head.sticks(encoder(z[order], turned)), 0), lines)


def test_gradients_pass_the_broadening():
    head, positions = make(), torch.tensor([700.0, 900.0], dtype=torch.float64, requires_grad=True)
    heights = torch.tensor([1.0, 2.0], dtype=torch.float64, requires_grad=True)

    def spectrum(positions, heights):
        molecule = torch.zeros(2, dtype=torch.int64)
        return head.broaden(ms.spectra.Sticks(positions, {"ir": heights}, molecule, 1))["ir"]

    assert gradcheck(spectrum, (positions, heights))
    atoms = features(3)
    head(atoms)["ir"].square().sum().backward()
    assert all(parameter.grad.abs().max() > 0 for parameter in head.parameters())


def test_the_start_is_the_training_lines():
    lines = torch.tensor(
        [[500.0, 1, 8], [900, 5, 2], [700, 3, torch.nan], [600, 2, 4], [710, 4, torch.nan], [950, 6, 3]]
    )
    head = make()
    head.start_from(lines)
    assert head.centers.tolist() == pytest.approx([550, 705, 925])
    assert head.width.tolist() == pytest.approx([50, 5, 25])
    # An unknown part of the Raman lines starts at the mean of those that are known.
    expected = torch.tensor([[1.5, 6.0], [3.5, 4.25], [5.5, 2.5]], dtype=torch.float64)
    torch.testing.assert_close(head.units * math.log(2), expected)
    sticks = head.sticks(features(40))
    assert sticks.positions.view(40, 3).mean(dim=0).tolist() == pytest.approx([550, 705, 925], rel=0.05)
    assert sticks.intensities["ir"].mean().item() == pytest.approx(3.5, rel=0.2)


def test_fewer_training_lines_than_slots():
    head = make(sticks_per_atom=4)
    head.start_from(torch.tensor([[500.0, 1.0, 8.0], [500.0, 2.0, 4.0]]))
    assert head.sticks(features(2)).positions.isfinite().all()
    assert (head.width > 0).all()
    assert (head.units > 0).all()


def with_lines(index):
    data, dataset = ms.data.MiniSpectra()[index], ms.data.MiniSpectra()
    (positions, infrared), (_, raman) = (dataset.sticks(index, kind) for kind in ("ir", "raman"))
    data.sticks = torch.stack([positions, infrared, raman], dim=1)
    data.num_sticks = torch.tensor([len(positions)])
    return data


@pytest.fixture
def batch():
    """Molecules with computed lines, the first of them a lone atom without any."""
    molecules = [with_lines(index) for index in (10, 20, 30)]
    lone = molecules[0].clone()
    lone.z, lone.pos, lone.mulliken_charge = lone.z[:1], lone.pos[:1], lone.mulliken_charge[:1]
    lone.bond_index, lone.bond_order = lone.bond_index[:, :0], lone.bond_order[:0]
    lone.sticks, lone.num_sticks = lone.sticks[:0], torch.tensor([0])
    lone.ir, lone.raman = torch.zeros_like(lone.ir), torch.full_like(lone.raman, torch.nan)
    return Batch.from_data_list([lone, *molecules])


def make_method(batch):
    head = ms.heads.StickHead(16, {"ir": ms.data.IR, "raman": ms.data.RAMAN}, fwhm=16.0)
    head.start_from(batch.sticks)
    return ms.methods.SpectrumPrediction(head, sticks=ms.objectives.StickLoss(width=50.0))


@pytest.mark.usefixtures("float32_weights")
def test_lines_and_spectra_are_learned_together(batch, tmp_path):
    encoder, method = ms.encoders.PaiNN(16, num_layers=2), make_method(batch)
    optimizer = torch.optim.Adam([*encoder.parameters(), *method.parameters()], 1e-2)
    history = []
    for _ in range(25):
        losses = method(encoder, batch)
        optimizer.zero_grad()
        losses["loss"].backward()
        assert all(p.grad.isfinite().all() for p in method.parameters() if p.grad is not None)
        optimizer.step()
        history.append({name: loss.item() for name, loss in losses.items()})
    assert sorted(history[0]) == ["ir", "loss", "raman", "sticks"]
    assert history[0]["loss"] == pytest.approx(sum(history[0][name] for name in ("ir", "raman", "sticks")), rel=1e-5)
    assert history[-1]["sticks"] < 0.7 * history[0]["sticks"]
    ms.pretrained.save(method, tmp_path)
    expected = method.predict(encoder, batch)["ir"]
    torch.testing.assert_close(ms.pretrained.load(tmp_path).predict(encoder, batch)["ir"], expected)


@pytest.mark.usefixtures("float32_weights")
def test_lines_without_spectra_suffice(batch):
    method = make_method(batch)
    del batch.ir, batch.raman
    losses = method(ms.encoders.PaiNN(16, num_layers=1), batch)
    assert losses["ir"] == losses["raman"] == 0
    assert losses["loss"] == losses["sticks"] > 0


def test_a_wavenumber_is_not_rounded_under_autocast():
    head, atoms = make().float(), features(4)
    atoms = AtomFeatures(atoms.scalars.float(), atoms.vectors.float())
    exact = head.sticks(atoms)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        torch.testing.assert_close(head.sticks(atoms).positions, exact.positions)


def test_bad_heads():
    with pytest.raises(ValueError, match="axes must have one unit.*'eV'"):
        ms.heads.StickHead(F, {"uv_vis": ms.data.UV_VIS, "ir": ms.data.IR}, fwhm=1.0)
    with pytest.raises(ValueError, match="axes must name at least one kind"):
        ms.heads.StickHead(F, {}, fwhm=1.0)
    with pytest.raises(TypeError, match="must be a SpectrumAxis"), without_shape_checks():
        ms.heads.StickHead(F, {"ir": 3501}, fwhm=1.0)
    with pytest.raises(ValueError, match=r"fwhm must have the kinds \['ir', 'raman'\].*got \['ir'\]"):
        make(fwhm={"ir": 1.0})
    with pytest.raises(ValueError, match="fwhm of 'ir' must be positive"):
        make(fwhm=0.0)
    with pytest.raises(ValueError, match="shape of 'ir' must be"):
        make(shape="triangle")
    with pytest.raises(ValueError, match="columns position, ir, raman.*got \\(4, 2\\)"):
        make().start_from(torch.ones(4, 2))
    with pytest.raises(ValueError, match="positive mean intensities; got means of"):
        make().start_from(torch.zeros(4, 3))


@pytest.mark.usefixtures("float32_weights")
def test_bad_batches(batch):
    method, encoder = make_method(batch), ms.encoders.PaiNN(16, num_layers=1)
    with pytest.raises(TypeError, match="sticks needs a head that predicts lines, heads.StickHead; got a SpectrumHead"):
        ms.methods.SpectrumPrediction(ms.heads.SpectrumHead(F, {"ir": 20}), sticks=ms.objectives.StickLoss(1.0))
    wrong = batch.clone()
    wrong.num_sticks[1] += 1
    with pytest.raises(ValueError, match="num_sticks must add up to the"):
        method(encoder, wrong)
    wrong = batch.clone()
    wrong.sticks[0, 0] = torch.nan
    with pytest.raises(ValueError, match="sticks must have finite positions"):
        method(encoder, wrong)
    wrong.sticks = batch.sticks[:, :2]
    with pytest.raises(ValueError, match="columns position, ir, raman"):
        method(encoder, wrong)
    del wrong.sticks
    with pytest.raises(ValueError, match=r"A loss of lines needs the fields \['sticks'\]"):
        method(encoder, wrong)
