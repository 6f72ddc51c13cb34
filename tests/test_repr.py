"""Representations: one line for results, the settings of parts, and tables for notebooks."""

from html.parser import HTMLParser

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch

import molspectra as ms
from molspectra._repr import html_table


@pytest.fixture(scope="module")
def batch():
    return Batch.from_data_list(ms.data.MiniSpectra()[:3])


class TestResults:
    def test_atom_features(self):
        assert repr(ms.encoders.AtomFeatures(torch.rand(3, 64), torch.rand(3, 3, 64))) == (
            "AtomFeatures(scalars=[3, 64], vectors=[3, 3, 64])"
        )
        assert repr(ms.encoders.AtomFeatures(torch.rand(3, 64))) == "AtomFeatures(scalars=[3, 64])"
        features = ms.encoders.AtomFeatures.from_irreps("4x0e+4x1o+4x2e+4x3o", torch.rand(2, 64))
        assert repr(features) == ("AtomFeatures(scalars=[2, 4], vectors=[2, 3, 4], tensors=[[2, 5, 4], [2, 7, 4]])")

    def test_spectrum_features(self, batch):
        specformer = ms.spectra.SpecFormer({"ir": 3501}, 500, 500, 16, num_layers=2, num_heads=4, out_channels=8)
        assert repr(specformer(batch)) == "SpectrumFeatures(tokens=[3, 7, 16], embedding=[3, 8], valid=[3, 7])"
        assert "attention=2 × [3, 4, 7, 7])" in repr(specformer(batch, return_attention=True))
        assert (
            repr(specformer.prepare(batch)) == "PreparedSpectra(scaled={'ir': [3, 3501]}, measured={'ir': [3, 3501]})"
        )

    def test_matches(self):
        assert repr(ms.retrieval.Index(torch.eye(5)).search(torch.eye(5)[:2], k=3)) == (
            "Matches(scores=[2, 3], indices=[2, 3])"
        )

    def test_outputs_of_methods_and_embeddings_are_one_line(self, batch):
        encoder = ms.encoders.EquivariantTransformer(16, num_layers=1, num_heads=4)
        empp = ms.methods.EMPP(16)
        results = [
            empp.run(encoder, batch),
            empp.predict_position(encoder, batch),
            ms.methods.Regression(ms.heads.ScalarHead(16)).predict(encoder, batch),
            ms.embedding.embed_molecules(encoder, ms.data.MiniSpectra()[:2]),
            ms.pretrained.checkpoint_info("3d-emgp"),
        ]
        assert all("\n" not in repr(result) and "tensor(" not in repr(result) for result in results)
        assert repr(results[3]) == "EmbeddingResult(values=[2, 16], 0 problems)"
        assert f"loss={results[0].loss.item():.4g}, " in repr(results[0])

    def test_reference_checkpoints(self):
        encoder = ms.encoders.PaiNN(8, num_layers=1)
        reference = ms.pretrained.ReferenceCheckpoint(encoder, {"lr": 1e-3, "layers": 2}, noise_scales=torch.rand(50))
        assert repr(reference) == ("ReferenceCheckpoint(encoder=PaiNN, noise_scales=[50], hyper_parameters=2 entries)")


class TestSettings:
    @pytest.mark.parametrize(
        ("part", "expected"),
        [
            (ms.noise.CoordNoise(0.1), "CoordNoise(std=0.1, remove_translation=False)"),
            (ms.noise.SliDeNoise(), "SliDeNoise(thermal_energy=1, margin=0.1745, num_slices=128, as_released=False)"),
            (ms.objectives.ForceMatchingLoss("sum"), "ForceMatchingLoss(reduce='sum')"),
            (ms.objectives.SpectrumLoss(), "SpectrumLoss(floor=0.1)"),
            (ms.objectives.WeightedSum({"a": 1.0, "b": 0.25}), "WeightedSum(weights={'a': 1, 'b': 0.25})"),
            (ms.objectives.NoiseScaleLoss(), "NoiseScaleLoss()"),
            (ms.spectra.SpectrumPatcher(601, 20, 10), "SpectrumPatcher(length=601, patch_len=20, stride=10)"),
        ],
        ids=lambda value: type(value).__name__,
    )
    def test_of_parts(self, part, expected):
        assert repr(part) == expected

    def test_every_argument_of_noises_and_objectives_is_shown(self):
        parts = [
            getattr(package, name)
            for package in (ms.noise, ms.objectives)
            for name in package.__all__
            if isinstance(getattr(package, name), type) and issubclass(getattr(package, name), ms.Configurable)
        ]
        assert len(parts) > 12
        shifts = ms.spectra.PeakBins(ms.data.PeakAxis("c_nmr", "ppm", (-20, 240)))
        needed = {ms.objectives.WeightedSum: {"a": 1.0}, ms.objectives.MaskedPeakLoss: {"c_nmr": shifts}}
        needed[ms.objectives.StickLoss] = 50.0
        for cls in parts:
            part = cls(needed[cls]) if cls in needed else cls()
            shown = repr(part)
            assert shown.startswith(f"{cls.__name__}(")
            for name, value in part.config.items():
                assert value is None or f"{name}=" in shown, (cls.__name__, name)

    def test_the_present_value_is_shown(self):
        noise = ms.noise.CoordNoise(0.1)
        noise.std = 0.2
        assert "std=0.2" in repr(noise)

    def test_a_noise_inside_a_module(self):
        method = ms.methods.Denoising(ms.noise.CoordNoise(0.1), nn.Identity(), nn.Identity())
        assert "noise=CoordNoise(std=0.1, remove_translation=False)" in repr(method)

    def test_modules_of_other_libraries_keep_their_own(self):
        class Other(nn.Module):
            def __repr__(self):
                return "its own"

        class Mine(ms.Configurable, Other):
            def __init__(self, size=1):
                super().__init__()

        assert repr(Mine()) == "its own"


class Wellformed(HTMLParser):
    """Check that every tag is closed in order, and collect the text of cells."""

    def __init__(self):
        super().__init__()
        self.open, self.cells = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.cells[-1] += data


def cells(thing):
    parser = Wellformed()
    parser.feed(thing._repr_html_())
    assert parser.open == []
    return parser.cells


class TestTables:
    def test_matches(self):
        matches = ms.retrieval.Index(torch.eye(5)).search(torch.eye(5)[:2], k=2)
        assert cells(matches)[:8] == ["query", "rank", "row", "score", "0", "1", "0", "1.0000"]
        many = ms.retrieval.Index(torch.eye(50)).search(torch.eye(50), k=2)
        assert len(cells(many)) == 4 * 21
        assert "the first 20" in many._repr_html_()

    def test_checkpoints(self):
        known = cells(ms.pretrained.checkpoint_info("3d-emgp"))
        assert known[known.index("license") + 1] == "MIT"
        encoder = ms.encoders.PaiNN(8, num_layers=1)
        count = sum(parameter.numel() for parameter in encoder.parameters())
        assert cells(ms.pretrained.ReferenceCheckpoint(encoder, {}))[3:6] == ["encoder", "PaiNN", f"{count:,}"]

    def test_data_sets(self, tmp_path):
        molecules = ms.data.MiniSpectra()
        ms.data.write_store(tmp_path / "store", list(molecules[:3]))
        frames = ms.data.Trajectory(
            torch.tensor([1, 1]), torch.rand(2, 2, 3), torch.rand(2).double(), torch.rand(2, 2, 3), "eV"
        )
        for dataset in (molecules, ms.data.MoleculeStore(tmp_path / "store"), frames):
            shown = cells(dataset)
            assert shown[shown.index("pos") : shown.index("pos") + 3] == [
                "pos",
                str(list(dataset[0].pos.shape)),
                "float32",
            ]
        assert cells(molecules[:0]) == []
        assert hasattr(ms.data.StoredDataset, "_repr_html_")

    def test_random_numbers_stay(self):
        def draw(molecule):
            molecule.drawn = torch.rand(1)
            return molecule

        state = torch.get_rng_state()
        cells(ms.data.MiniSpectra(transform=draw))
        assert torch.equal(torch.get_rng_state(), state)

    def test_text_is_escaped(self):
        assert html_table("<b>", ("a&b",), [["<script>"]]).count("<script>") == 0
