"""Numbers, labels and errors of figures. Their look is tested in test_images.py."""

import csv
import sys

import matplotlib as mpl
import numpy as np
import pytest
import torch
from matplotlib import pyplot as plt
from matplotlib.colors import to_hex
from scipy.spatial.transform import Rotation
from torch_geometric.data import Batch, Data

import molspectra as ms
from molspectra.plots.noises import superpose
from molspectra.plots.reconstructions import merge_patches
from molspectra.plots.skeleton import view_of
from molspectra.plots.style import COLORS
from tests.plots.figures import AXES, FIGURES, MASS, NMR, Wave, batch, propanol, rows, specformer

pytestmark = pytest.mark.usefixtures("float32_weights")


@pytest.fixture(scope="module")
def molecules():
    return ms.data.MiniSpectra()[:4]


class TestSpectrum:
    def test_line_and_labels(self, molecules):
        ax = ms.plots.spectrum(molecules[0], ms.data.IR)
        x, y = ax.lines[0].get_data()
        np.testing.assert_array_equal(x, ms.data.IR.grid.numpy())
        np.testing.assert_array_equal(y, molecules[0].ir[0].numpy())
        assert (ax.get_xlabel(), ax.get_ylabel()) == ("wavenumber (cm$^{-1}$)", "IR intensity")

    @pytest.mark.parametrize(
        ("axis", "label", "limits"),
        [
            (ms.data.IR, "wavenumber (cm$^{-1}$)", (4000, 500)),
            (ms.data.RAMAN, "Raman shift (cm$^{-1}$)", (500, 4000)),
            (ms.data.UV_VIS, "energy (eV)", (1.5, 13.5)),
            (NMR, "chemical shift (ppm)", (12, 0)),
            (MASS, "m/z", (0, 100)),
            (ms.data.SpectrumAxis("uv", 200, 800, 1, "nm"), "wavelength (nm)", (200, 800)),
            (ms.data.SpectrumAxis("x_ray", 0, 10, 1, "keV"), "x ray (keV)", (0, 10)),
        ],
        ids=lambda value: getattr(value, "name", None),
    )
    def test_units_and_customary_directions(self, axis, label, limits):
        ax = ms.plots.spectrum(torch.rand(axis.length), axis)
        assert ax.get_xlabel() == label
        assert ax.get_xlim() == limits

    @pytest.mark.parametrize(
        "convert", [torch.Tensor.numpy, torch.Tensor.tolist, lambda s: s.bfloat16(), lambda s: s[None]]
    )
    def test_arrays_of_any_kind(self, convert):
        ax = ms.plots.spectrum(convert(torch.arange(601.0) // 4), NMR)
        np.testing.assert_array_equal(ax.lines[0].get_ydata(), np.arange(601) // 4)

    def test_several_kinds_in_a_panel_each(self, molecules):
        axes = ms.plots.spectrum(molecules[0], AXES)
        assert [ax.get_ylabel() for ax in axes] == ["UV-Vis intensity", "IR intensity", "Raman intensity"]
        by_sample = ms.plots.spectrum(molecules[0])
        assert [ax.get_xlabel() for ax in by_sample] == ["sample"] * 3

    def test_a_dict_of_spectra(self):
        axes = ms.plots.spectrum({"nmr_h": torch.rand(601), "ir": torch.rand(3501)}, {"nmr_h": NMR, "ir": ms.data.IR})
        assert [ax.get_ylabel() for ax in axes] == ["nmr h intensity", "IR intensity"]

    def test_missing_spectra(self):
        ax = ms.plots.spectrum(batch()[2], ms.data.RAMAN)
        assert [text.get_text() for text in ax.texts] == ["missing"]
        assert not ms.plots.spectrum(batch(), ms.data.RAMAN).texts

    def test_labels_of_matches(self):
        library = torch.eye(4)
        matches = ms.retrieval.Index(library).search(torch.tensor([[1.0, 0.5, 0.0, 0.0]]), k=2)
        shown = torch.rand(4, NMR.length)[matches.indices[0]]
        ax = ms.plots.spectrum(shown, NMR, labels=matches.scores[0])
        assert [text.get_text() for text in ax.get_legend().get_texts()] == ["0.894", "0.447"]

    def test_given_axes(self):
        _, mine = plt.subplots()
        assert ms.plots.spectrum(torch.rand(601), NMR, ax=mine) is mine
        with pytest.raises(ValueError, match=r"ax takes one kind of spectrum; got \['uv_vis', 'ir', 'raman'\]"):
            ms.plots.spectrum(batch()[0], AXES, ax=mine)

    def test_errors(self):
        with pytest.raises(
            ValueError, match=r"spectra must have shape \(3501,\) or \(B, 3501\); got \(1, 601\).*resample"
        ):
            ms.plots.spectrum(torch.rand(601), ms.data.IR)
        with pytest.raises(ValueError, match=r"must have a field of the kinds \['nmr_h'\]; got the fields \['z'\]"):
            ms.plots.spectrum(Data(z=torch.tensor([1])), NMR)
        with pytest.raises(TypeError, match="must be a tensor or array of numbers; got a str"):
            ms.plots.spectrum("spectrum.jdx", ms.data.IR)
        with pytest.raises(TypeError, match="axis must be one SpectrumAxis"):
            ms.plots.spectrum(torch.rand(601), AXES)
        with pytest.raises(ValueError, match="labels must be as many as the spectra, 1; got 2"):
            ms.plots.spectrum(torch.rand(601), NMR, labels=["a", "b"])


class TestReconstruction:
    @pytest.mark.parametrize(("length", "patch_len", "stride"), [(601, 20, 10), (47, 7, 3), (30, 4, 6)])
    def test_patches_of_a_spectrum_merge_to_it(self, length, patch_len, stride):
        patcher = ms.spectra.SpectrumPatcher(length, patch_len, stride)
        spectrum = torch.rand(length, dtype=torch.float64)
        covered = torch.zeros(length, dtype=torch.bool)
        for start in range(0, length - patch_len + 1, stride):
            covered[start : start + patch_len] = True
        merged = merge_patches(patcher(spectrum[None])[0], patcher)
        torch.testing.assert_close(merged[covered], spectrum[covered])
        assert merged[~covered].isnan().all()

    def test_lines_are_scaled_spectra_and_hidden_parts_alone(self):
        method = ms.methods.MaskedReconstruction(specformer())
        axes = ms.plots.reconstruction(method, batch(), 1, generator=torch.Generator().manual_seed(3))
        assert len(axes) == 3
        masked = method.mask(
            method.specformer.prepare(batch()[1]), torch.Generator().manual_seed(3)
        )  # of the one molecule that is drawn
        for ax, kind in zip(axes, AXES, strict=True):
            true, found = ax.lines
            np.testing.assert_allclose(
                true.get_ydata(), torch.log10(1 + batch()[kind][1]).numpy(), rtol=1e-5, atol=1e-7
            )
            drawn = ~np.isnan(found.get_ydata())
            covered = method.specformer.patchers[kind].stride * (method.specformer.num_patches[kind] - 1) + 200
            np.testing.assert_array_equal(drawn[:covered], masked[kind][0, :covered].numpy())
            assert not drawn[covered:].any()

    def test_missing_kinds_are_left_out_and_modes_restored(self):
        method = ms.methods.MolSpectra(ms.methods.Coord(8), specformer())
        method.train()
        method.contrast.eval()
        assert [ax.get_ylabel() for ax in ms.plots.reconstruction(method, batch(), 2)] == [
            "UV-Vis, scaled",
            "IR, scaled",
        ]
        assert method.training
        assert method.specformer.layers[0].training
        assert not method.contrast.training

    def test_errors(self):
        method = ms.methods.MaskedReconstruction(specformer())
        with pytest.raises(ValueError, match=r"sample must lie in 0..2, the molecules of the batch; got 3"):
            ms.plots.reconstruction(method, batch(), 3)
        with pytest.raises(TypeError, match="method must be MaskedReconstruction or MolSpectra.*got a Coord"):
            ms.plots.reconstruction(ms.methods.Coord(8), batch())
        empty = {"ir": torch.full((1, 3501), torch.nan, dtype=torch.float32)}
        with pytest.raises(ValueError, match="Molecule 0 of the batch has none of the spectra"):
            ms.plots.reconstruction(method, empty)


class TestAttention:
    def test_ticks_are_places_of_tokens(self):
        module = specformer()
        ax = ms.plots.attention(module, batch(), head=1)
        places = module.token_positions()
        first = 0
        shown = dict(zip(ax.get_xticks(), [text.get_text() for text in ax.get_xticklabels()], strict=True))
        for kind, count in module.num_tokens.items():
            ticks = [tick for tick in shown if first <= tick <= first + count - 1]
            assert len(ticks) >= 2
            for tick in ticks:
                value = np.interp(tick - first, np.arange(count), places[kind].numpy())
                assert value == pytest.approx(float(shown[tick]))
            first += count
        assert [text.get_text() for text in ax.texts[::2]] == ["UV-Vis (eV)", "IR (cm$^{-1}$)", "Raman (cm$^{-1}$)"]

    def test_maps(self):
        module = specformer()
        features = module(batch(), return_attention=True)
        images = [ax.images[0].get_array() for ax in ms.plots.attention(module, features, sample=0, layer=1)]
        np.testing.assert_allclose(np.stack(images), features.attention[1][0].detach().numpy(), rtol=1e-6)
        mean = ms.plots.attention(module, batch(), head="mean", sample=0).images[0].get_array()
        np.testing.assert_allclose(mean, np.mean(images, axis=0), rtol=1e-5)

    def test_the_mean_leaves_missing_spectra_out(self):
        module = specformer()
        features = module(batch(), return_attention=True)
        of_layer = features.attention[-1].detach()
        drawn = ms.plots.attention(module, features, head=0).images[0].get_array()
        raman = slice(-module.num_tokens["raman"], None)
        np.testing.assert_allclose(drawn[raman, raman], of_layer[:2, 0, raman, raman].mean(dim=0), rtol=1e-5)
        np.testing.assert_allclose(drawn[:5, :5], of_layer[:, 0, :5, :5].mean(dim=0), rtol=1e-5)

    def test_axes_that_are_not_known(self):
        module = ms.spectra.SpecFormer({"ir": 3501}, 200, 100, 16, num_layers=1, num_heads=4)
        spectra = {"ir": torch.rand(2, 3501, dtype=torch.float32)}
        assert ms.plots.attention(module, spectra, head=0).texts[0].get_text() == "IR (token)"
        assert ms.plots.attention(module, spectra, head=0, axes=AXES).texts[0].get_text() == "IR (cm$^{-1}$)"

    def test_errors(self):
        module = specformer()
        with pytest.raises(
            ValueError, match=r"spectra have no attention; call specformer\(spectra, return_attention=True"
        ):
            ms.plots.attention(module, module(batch()))
        for keywords in ({"layer": 2}, {"head": 4}, {"sample": -4}):
            name = next(iter(keywords))
            with pytest.raises(ValueError, match=f"{name} must lie in 0"):
                ms.plots.attention(module, batch(), **keywords)
        with pytest.raises(TypeError, match="specformer must be a SpecFormer"):
            ms.plots.attention(ms.spectra.CNNAM(AXES, 8, channels=(4,)), batch())
        with pytest.raises(ValueError, match="ax takes one of 4 heads"):
            ms.plots.attention(module, batch(), ax=plt.subplots()[1])


def test_wrapped_encoders():
    method = ms.methods.MaskedReconstruction(specformer())
    expected = ms.plots.reconstruction(method, batch())[0].lines[1].get_ydata()
    attention = ms.plots.attention(method.specformer, batch(), head=0).images[0].get_array()
    method.specformer = torch.optim.swa_utils.AveragedModel(method.specformer)
    np.testing.assert_array_equal(ms.plots.reconstruction(method, batch())[0].lines[1].get_ydata(), expected)
    drawn = ms.plots.attention(method.specformer, batch(), head=0).images[0].get_array()
    np.testing.assert_array_equal(drawn, attention)


class TestEmbedding:
    def test_principal_components(self):
        ax = ms.plots.embedding(rows())
        points = ax.collections[0].get_offsets()
        values = rows().numpy() - rows().numpy().mean(axis=0)
        variances, directions = np.linalg.eigh(values.T @ values)
        for column in range(2):
            expected = values @ directions[:, -1 - column]
            sign = np.sign(expected @ points[:, column])
            np.testing.assert_allclose(points[:, column], sign * expected, atol=1e-12)
        shares = variances[::-1] / variances.sum()
        assert ax.get_xlabel() == f"principal component 1 ({shares[0]:.0%})"
        assert ax.get_ylabel() == f"principal component 2 ({shares[1]:.0%})"

    def test_everything_that_the_library_returns(self, molecules):
        encoder = ms.encoders.PaiNN(8, num_layers=1)
        many = Batch.from_data_list(molecules)
        atoms = encoder(many.z, many.pos, many.batch)
        result = ms.embedding.embed_molecules(encoder, molecules)
        features = specformer()(batch())
        for given, count in [
            (atoms, len(many.z)),
            (result, 4),
            (features, 3),
            (features.embedding, 3),
            (rows().numpy(), 40),
        ]:
            assert len(ms.plots.embedding(given).collections[0].get_offsets()) == count

    def test_colors(self):
        values = ms.plots.embedding(rows(), rows()[:, 0], label="angle (rad)")
        np.testing.assert_array_equal(values.collections[0].get_array(), rows()[:, 0])
        assert values.figure.axes[1].get_ylabel() == "angle (rad)"
        groups = ms.plots.embedding(rows(), ["a", "b", "b", "a"] * 10, label="group")
        assert [len(group.get_offsets()) for group in groups.collections] == [20, 20]
        assert [to_hex(group.get_facecolor()[0]).upper() for group in groups.collections] == list(COLORS[:2])

    def test_rows_that_are_not_finite(self):
        features = rows()
        features[3] = torch.nan
        with pytest.warns(UserWarning, match="1 of 40 rows of features are not finite"):
            ax = ms.plots.embedding(features, torch.arange(40))
        assert 3 not in ax.collections[0].get_array()

    def test_one_channel(self):
        ax = ms.plots.embedding(torch.arange(5.0)[:, None])
        assert ax.get_xlabel() == "principal component 1 (100%)"

    def test_neighborhoods(self):
        pytest.importorskip("sklearn")
        first, again = (ms.plots.embedding(rows(), method="tsne").collections[0].get_offsets() for _ in range(2))
        np.testing.assert_array_equal(first, again)
        assert len(ms.plots.embedding(rows()[:4], method="tsne").collections[0].get_offsets()) == 4

    def test_errors(self, monkeypatch):
        with pytest.raises(ValueError, match="color must have one entry for each of 40 rows; got 3"):
            ms.plots.embedding(rows(), [1, 2, 3])
        with pytest.raises(ValueError, match=r"features must have shape \(M, F\).*got \(2, 3, 4\)"):
            ms.plots.embedding(torch.rand(2, 3, 4))
        with pytest.raises(ValueError, match="at least 3 finite rows; got 2 of 2"):
            ms.plots.embedding(torch.rand(2, 3))
        for method, module in (("tsne", "sklearn.manifold"), ("umap", "umap")):
            monkeypatch.setitem(sys.modules, module, None)
            with pytest.raises(ImportError, match=f'method="{method}" needs'):
                ms.plots.embedding(rows(), method=method)

    @pytest.mark.usefixtures("no_shape_checks")
    def test_unknown_method(self):
        with pytest.raises(ValueError, match='method must be "pca", "tsne" or "umap"'):
            ms.plots.embedding(rows(), method="lda")


class TestNoise:
    def test_copies_are_superposed(self):
        pos = propanol().pos.double()
        turned = torch.stack([pos @ torch.tensor(Rotation.random(None, seed).as_matrix()) + seed for seed in range(3)])
        torch.testing.assert_close(superpose(turned, pos, torch.arange(4)), pos.expand_as(turned))

    def test_views_are_rotations(self):
        pos = torch.randn(7, 3, dtype=torch.float64)
        view = view_of(pos - pos.mean(dim=0))
        torch.testing.assert_close(view.T @ view, torch.eye(3, dtype=torch.float64))
        assert torch.linalg.det(view) > 0
        spread = ((pos - pos.mean(dim=0)) @ view).std(dim=0)
        assert (spread.sort(descending=True).values == spread).all()

    def test_distributions(self):
        std = 0.05
        axes = ms.plots.noise(ms.noise.CoordNoise(std), propanol())
        assert len(axes) == 4
        density, edges, _ = axes[1].patches[0].get_data()
        centers = (edges[1:] + edges[:-1]) / 2
        density = np.nan_to_num(density)
        # Both atoms of a bond move: the variance of a length is 2 σ², plus 2 σ² from each of two directions across it.
        assert density.sum() == pytest.approx(1, abs=0.01)
        variance = (density * centers**2).sum() - (density * centers).sum() ** 2
        assert variance == pytest.approx(2 * std**2, rel=0.05)
        assert [ax.get_xlabel() for ax in axes[1:]] == [
            "change of bond lengths (Å)",
            "change of bond angles (°)",
            "change of torsions (°)",
        ]

    def test_methods_and_axes(self):
        axes = ms.plots.noise({"Coord": ms.methods.Coord(8), "wave": Wave(0.1)}, propanol(), copies=3)
        assert [ax.get_title() for ax in axes[:2]] == ["Coord", "wave"]
        mine = plt.subplots()[1]
        assert ms.plots.noise(Wave(0.1), propanol(), copies=3, ax=mine) is mine

    def test_errors(self):
        with pytest.raises(ValueError, match="noise must preserve the atoms; EMPPMask"):
            ms.plots.noise(ms.noise.EMPPMask(), propanol(), copies=3)
        with pytest.raises(TypeError, match="noises must be a noise, a method with one.*got a float"):
            ms.plots.noise(0.04, propanol())
        with pytest.raises(ValueError, match="molecule must have bond_index"):
            ms.plots.noise(Wave(0.1), Data(z=torch.tensor([1]), pos=torch.zeros(1, 3)))
        with pytest.raises(ValueError, match="molecule must be one molecule; got a batch of 2"):
            ms.plots.noise(Wave(0.1), Batch.from_data_list([propanol()] * 2))
        with pytest.raises(ValueError, match=r"ax takes one noise; got \['a', 'b'\]"):
            ms.plots.noise({"a": Wave(0.1), "b": Wave(0.1)}, propanol(), ax=plt.subplots()[1])


class TestMolecule:
    @pytest.mark.parametrize("given", ["OCCC", propanol(), pytest.param(None, id="rdkit")])
    def test_structural_formula(self, given):
        chem = pytest.importorskip("rdkit.Chem")
        ax = ms.plots.molecule(chem.MolFromSmiles("OCCC") if given is None else given)
        picture = ax.images[0].get_array()
        ink = (picture[..., :3] < 0.5).any(axis=2)
        red = (picture[..., 0] > 0.8) & (picture[..., 1] < 0.3)
        assert 0.001 < ink.mean() < 0.3
        assert red.any()  # the hydroxyl group

    def test_balls(self):
        ax = ms.plots.molecule(propanol(), "3d")
        assert len(ax.collections) == 12
        assert len(ax.lines) == 11
        drawn = np.concatenate([atom.get_offsets() for atom in ax.collections])
        distances = np.linalg.norm(drawn[:, None] - drawn, axis=2)
        true = torch.cdist(propanol().pos, propanol().pos).numpy()
        assert (distances <= true + 1e-5).all()  # a projection

    def test_one_atom(self):
        ax = ms.plots.molecule(Data(z=torch.tensor([2]), pos=torch.zeros(1, 3)), "3d")
        assert len(ax.collections) == 1

    @pytest.mark.usefixtures("no_shape_checks")
    def test_errors(self, monkeypatch):
        with pytest.raises(ValueError, match='view must be "2d", "3d" or "interactive"'):
            ms.plots.molecule(propanol(), "4d")
        with pytest.raises(ValueError, match="RDKit cannot read the SMILES 'C1'"):
            ms.plots.molecule("C1")
        with pytest.raises(TypeError, match="molecule must be a Data, a SMILES or an RDKit molecule; got a float"):
            ms.plots.molecule(1.0)
        with pytest.raises(ValueError, match=r"must have z and pos.*got the fields \['z'\]"):
            ms.plots.molecule(Data(z=torch.tensor([1])), "3d")
        monkeypatch.setitem(sys.modules, "py3Dmol", None)
        with pytest.raises(ImportError, match="needs py3Dmol"):
            ms.plots.molecule(propanol(), "interactive")


class TestTraining:
    HISTORY = [{"loss": 2.0, "denoising": 1.0}, {"loss": 1.0}, {"loss": 0.5, "denoising": 0.25}]

    def lines(self, ax):
        return {line.get_label(): tuple(map(list, line.get_data())) for line in ax.lines}

    def test_every_form_gives_the_same(self, tmp_path):
        expected = {"loss": ([1, 2, 3], [2.0, 1.0, 0.5]), "denoising": ([1, 3], [1.0, 0.25])}
        path = tmp_path / "losses.csv"
        with path.open("w", newline="") as stream:
            writer = csv.DictWriter(stream, ["loss", "denoising"])
            writer.writeheader()
            writer.writerows(self.HISTORY)
        columns = {"loss": [2.0, 1.0, 0.5], "denoising": [1.0, np.nan, 0.25]}
        tensors = [
            {name: torch.tensor(loss, requires_grad=True) for name, loss in step.items()} for step in self.HISTORY
        ]
        for losses in (self.HISTORY, tensors, columns, path, str(path)):
            ax = ms.plots.training(losses)
            assert self.lines(ax) == expected
            assert ax.get_yscale() == "log"

    def test_tables_of_pandas(self):
        pandas = pytest.importorskip("pandas")
        assert self.lines(ms.plots.training(pandas.DataFrame(self.HISTORY)))["denoising"] == ([1, 3], [1.0, 0.25])

    def test_a_column_of_time(self):
        ax = ms.plots.training([{"epoch": 5, "loss": 1.0}, {"epoch": 10, "loss": -1.0}], names=["loss"])
        assert self.lines(ax) == {"loss": ([5, 10], [1.0, -1.0])}
        assert (ax.get_xlabel(), ax.get_yscale()) == ("epoch", "linear")  # -1 has no logarithm

    def test_errors(self, tmp_path):
        with pytest.raises(TypeError, match="must be a list of dicts.*got a float"):
            ms.plots.training(1.0)
        with pytest.raises(ValueError, match=r"losses must hold \['gap'\]; got \['loss'\]"):
            ms.plots.training([{"loss": 1.0}], names=["gap"])
        with pytest.raises(ValueError, match="at least one loss"):
            ms.plots.training([])
        with pytest.raises(ValueError, match=r"equally many values each; got \{'a': 1, 'b': 2\}"):
            ms.plots.training({"a": [1.0], "b": [1.0, 2.0]})
        (tmp_path / "bad.csv").write_text("loss\none\n")
        with pytest.raises(ValueError, match="must be a CSV file of numbers"):
            ms.plots.training(tmp_path / "bad.csv")


def test_the_settings_of_matplotlib_stay():
    before = dict(mpl.rcParams)
    for name in ("nmr", "training"):
        FIGURES[name]()
    assert dict(mpl.rcParams) == before


def test_without_matplotlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ImportError, match=r'pip install "molspectra\[plots\]"'):
        ms.plots.spectrum(torch.rand(601), NMR)


def test_colors_are_told_apart_by_their_lightness_too():
    # Relative luminance of WCAG: neighbors in the cycle differ also in gray.
    rgb = np.array([mpl.colors.to_rgb(color) for color in COLORS])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    assert len(np.unique(luminance.round(2))) >= 6
