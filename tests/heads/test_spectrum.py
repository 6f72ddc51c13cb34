"""Spectra from atom features: an explicit sum over atoms and bands, and properties of any spectrum."""

import math

import pytest
import torch
from torch_geometric.data import Batch, Data

import molspectra as ms
from molspectra.encoders import AtomFeatures
from molspectra.heads.spectrum import SpectrumHead, gaussian_bands
from molspectra.methods.spectrum_prediction import SpectrumPrediction
from molspectra.objectives.spectrum import SpectrumLoss
from molspectra.testing import assert_close, random_molecules, random_orthogonal

pytestmark = pytest.mark.usefixtures("float32_weights")

CHANNELS = 8
LENGTHS = {"uv_vis": 31, "ir": 50}
SIZES = (4, 1, 6)
BATCH = torch.arange(len(SIZES)).repeat_interleave(torch.tensor(SIZES))


def features(dtype=torch.float64):
    atoms = sum(SIZES)
    return AtomFeatures(
        torch.randn(atoms, CHANNELS, dtype=dtype),
        torch.randn(atoms, 3, CHANNELS, dtype=dtype),
        (torch.randn(atoms, 5, CHANNELS, dtype=dtype),),
    )


def make_head(**keywords):
    return SpectrumHead(CHANNELS, LENGTHS, **{"spacing": {"uv_vis": 5, "ir": 7.5}, **keywords})


def make_encoder():
    return ms.encoders.EquivariantTransformer(CHANNELS, num_layers=2, num_heads=2, num_rbf=8)


def test_against_a_sum_over_atoms_and_bands():
    head, atoms = make_head().double(), features()
    head.bands["ir"].unit.fill_(3.0)
    actual = head(atoms, Data(batch=BATCH))
    for kind, length in LENGTHS.items():
        linear, basis = head.bands[kind].linear, head.bands[kind].basis
        expected = torch.zeros(len(SIZES), length, dtype=torch.float64)
        for atom, molecule in enumerate(BATCH.tolist()):
            norms = [part[atom].norm(dim=0) for part in (atoms.vectors, atoms.tensors[0])]
            hidden = head.mlp(atoms.scalars[atom] + norms[0] + norms[1])
            for band, weight in enumerate(linear.weight):
                amplitude = torch.log(1 + torch.exp(weight @ hidden + linear.bias[band]))
                expected[molecule] += {"uv_vis": 1.0, "ir": 3.0}[kind] * amplitude * basis[band]
        assert_close(actual[kind], expected, 1e-5, kind)  # lengths of vectors are smoothed near 0


def test_a_batch_is_its_molecules_one_by_one():
    head, atoms = make_head().double(), features()
    together = head(atoms, Data(batch=BATCH, num_graphs=3))
    for molecule in range(3):
        alone = head(atoms.select((molecule == BATCH).nonzero()[:, 0]))
        for kind in LENGTHS:
            torch.testing.assert_close(alone[kind][0], together[kind][molecule])


def test_missing_degrees_are_left_out():
    head, atoms = make_head(), features(torch.float32)
    nothing = AtomFeatures(atoms.scalars, torch.zeros_like(atoms.vectors))
    for kind, spectrum in head(AtomFeatures(atoms.scalars), Data(batch=BATCH)).items():
        assert_close(spectrum, head(nothing, Data(batch=BATCH))[kind], 1e-4, kind)


def test_never_negative_and_extensive():
    head, (z, pos, _) = make_head().double(), random_molecules((5,), torch.float64)
    encoder = make_encoder().double()
    one = head(encoder(z, pos))
    two = head(encoder(torch.cat([z, z]), torch.cat([pos, pos @ random_orthogonal(torch.float64) + 100])))
    for kind in LENGTHS:
        assert (one[kind] > 0).all()
        torch.testing.assert_close(two[kind], 2 * one[kind])


@pytest.mark.parametrize(("length", "spacing"), [(3501, 16), (601, 7.3), (10, 100), (5, 1), (1, 3)])
def test_bands_add_up_to_one(length, spacing):
    bands = gaussian_bands(length, spacing)
    torch.testing.assert_close(bands.sum(dim=0), torch.ones(length))
    assert bands.min() >= 0
    assert len(bands) == max(2, round((length - 1) / spacing) + 1)


def test_bands_resolve_lines_of_the_width_they_are_made_for():
    """Take bands half the full width at half maximum apart, as for IR and Raman spectra of MiniSpectra."""
    samples = torch.arange(601, dtype=torch.float64)
    bands = gaussian_bands(601, 8).double()
    line = 1 / (1 + ((samples - 303) / 8).square())
    fitted = torch.linalg.lstsq(bands.T, line).solution @ bands
    assert (fitted - line).norm() < 0.07 * line.norm()


def test_starts_from_the_mean_spectrum():
    head, atoms = make_head(spacing=2), features(torch.float32)
    num_atoms = torch.tensor([4, 1, 6, 9])
    samples = {kind: torch.linspace(0, 1.5 * math.pi, length) for kind, length in LENGTHS.items()}
    per_atom = {"uv_vis": 100 * (1.2 + torch.sin(samples["uv_vis"])), "ir": 1e-3 * (2 + torch.cos(samples["ir"]))}
    spectra = {kind: num_atoms[:, None] * spectrum for kind, spectrum in per_atom.items()}
    spectra["ir"][1] = torch.nan
    head.start_from(spectra, num_atoms)
    for linear in (bands.linear for bands in head.bands.values()):
        torch.nn.init.zeros_(linear.weight)
    for kind, predicted in head(atoms, Data(batch=BATCH)).items():
        expected = torch.tensor(SIZES)[:, None] * per_atom[kind]
        assert (predicted - expected).norm() < 0.05 * expected.norm()


def test_a_kind_without_spectra_cannot_be_started_from():
    head, num_atoms = make_head(), torch.tensor([2, 3])
    for nothing in (torch.zeros(2, 50), torch.full((2, 50), torch.nan)):
        with pytest.raises(ValueError, match="must hold an intensity above 0"):
            head.start_from({"ir": nothing}, num_atoms)
    with pytest.raises(ValueError, match=r"must have shape \(B, 50\)"):
        head.start_from({"ir": torch.ones(2, 49)}, num_atoms)


def test_autocast():
    head, atoms = make_head(), features(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = head(atoms, Data(batch=BATCH))
    for kind, spectrum in head(atoms, Data(batch=BATCH)).items():
        assert rounded[kind].dtype == torch.float32
        assert_close(rounded[kind], spectrum, 0.05, kind)


def test_gradcheck():
    encoder, head = make_encoder().double(), make_head(spacing=20).double()
    z, pos, batch = random_molecules((3, 2), torch.float64)

    def spectra(pos):
        return tuple(head(encoder(z, pos, batch), Data(batch=batch)).values())

    assert torch.autograd.gradcheck(spectra, pos.requires_grad_())


def test_saved_and_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(ms.heads, "SpectrumHead", SpectrumHead, raising=False)
    head, atoms = make_head(), features(torch.float32)
    head.start_from({"ir": 9 * torch.rand(2, 50)}, torch.tensor([3, 4]))
    ms.pretrained.save(head, tmp_path)
    loaded = ms.pretrained.load(tmp_path)
    assert loaded.lengths == LENGTHS
    for kind, spectrum in loaded(atoms, Data(batch=BATCH)).items():
        torch.testing.assert_close(spectrum, head(atoms, Data(batch=BATCH))[kind])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"lengths": {}}, "lengths is empty"),
        ({"lengths": {"ir": 0}}, "length must be at least 1"),
        ({"channels": 0}, "channels must be at least 1"),
        ({"hidden_channels": 0}, "hidden_channels must be at least 1"),
        ({"spacing": 0}, "spacing must be positive"),
        ({"spacing": {"uv": 3}}, r"spacing must have the kinds \['ir'\]"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SpectrumHead(**{"channels": 8, "lengths": {"ir": 50}, **arguments})


class TestMethod:
    """Training on the spectra of a batch."""

    @pytest.fixture
    def batch(self):
        molecules = list(ms.data.MiniSpectra()[[40, 41, 42]])
        molecules[1].ir = torch.full_like(molecules[1].ir, torch.nan)
        return Batch.from_data_list(molecules)

    @pytest.fixture
    def method(self):
        return SpectrumPrediction(SpectrumHead(CHANNELS, {"uv_vis": 601, "ir": 3501}, spacing=50))

    def test_its_losses(self, method, batch):
        encoder = make_encoder()
        losses = method(encoder, batch)
        assert list(losses) == ["loss", "uv_vis", "ir"]
        torch.testing.assert_close(losses["loss"], losses["uv_vis"] + losses["ir"])
        of_ir = SpectrumLoss()({"ir": method.predict(encoder, batch)["ir"][[0, 2]]}, {"ir": batch.ir[[0, 2]]})
        torch.testing.assert_close(losses["ir"], of_ir)

    def test_it_learns(self, method, batch):
        encoder = make_encoder()
        method.head.start_from({kind: batch[kind] for kind in method.head.lengths}, batch.ptr.diff())
        optimizer = torch.optim.Adam([*encoder.parameters(), *method.parameters()], lr=1e-2)
        before = method(encoder, batch)["loss"].item()
        for _ in range(30):
            optimizer.zero_grad()
            loss = method(encoder, batch)["loss"]
            loss.backward()
            optimizer.step()
        assert loss < 0.7 * before

    def test_a_single_molecule_and_missing_kinds(self, method):
        molecule = ms.data.MiniSpectra()[40]
        del molecule.ir
        losses = method(make_encoder(), molecule)
        assert list(losses) == ["loss", "uv_vis", "ir"]
        assert losses["ir"] == 0
        losses["loss"].backward()
        # Zero instead of None: a parameter without a gradient would stop DistributedDataParallel.
        assert all(not parameter.grad.any() for parameter in method.head.bands["ir"].parameters())
        del molecule.uv_vis
        assert method.predict(make_encoder(), molecule)["ir"].shape == (1, 3501)
        with pytest.raises(ValueError, match="none of the spectra"):
            method(make_encoder(), molecule)
