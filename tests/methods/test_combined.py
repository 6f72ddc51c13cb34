"""Methods as parts: masked modelling of spectra alone, and several methods as one module."""

import pytest
import torch
from torch_geometric.data import Batch, Data

import molspectra as ms

WIDTH = 16


@pytest.fixture(scope="module")
def batch():
    return Batch.from_data_list(ms.data.MiniSpectra()[:4])


@pytest.fixture(scope="module")
def encoder():
    return ms.encoders.EquivariantTransformer(WIDTH, num_layers=1, num_heads=4, num_rbf=8).float()


@pytest.fixture(scope="module")
def specformer():
    return ms.spectra.SpecFormer(
        ms.data.MiniSpectra.axes, 200, 100, WIDTH, num_layers=1, num_heads=4, out_channels=WIDTH
    ).float()


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class TestMaskedReconstruction:
    def test_the_same_losses_spelled_out(self, batch, specformer):
        method = ms.methods.MaskedReconstruction(specformer, mask_ratio=0.2)
        spectra = {kind: batch[kind] for kind in specformer.kinds}
        masked = ms.spectra.PatchMask(specformer.patchers, 0.2)(spectra, seeded())
        tokens = specformer(spectra, masked).tokens
        expected = 0.0
        for kind, reconstructed in method.reconstruct(specformer.split(tokens)).items():
            hidden = masked[kind].unfold(1, 200, 100)  # the samples of each patch
            expected += (reconstructed - specformer.patches(spectra)[kind])[hidden].square().mean()
        losses = method(batch, generator=seeded())
        assert losses.keys() == {"loss", "reconstruction"}
        torch.testing.assert_close(losses["loss"], expected)

    def test_every_call_form_gives_the_same(self, batch, encoder, specformer):
        method = ms.methods.MaskedReconstruction(specformer)
        expected = method(batch, generator=seeded())["loss"]
        spectra = {kind: batch[kind] for kind in specformer.kinds}
        for arguments in [(encoder, batch, seeded()), (None, batch, seeded()), (None, spectra, seeded())]:
            assert method(*arguments)["loss"] == expected
        assert method(spectra, generator=seeded())["loss"] == expected
        assert ms.methods.TrainingModule(None, method)(batch, seeded())["loss"] == expected

    def test_it_is_the_reconstruction_of_molspectra(self, batch, encoder, specformer):
        whole = ms.methods.MolSpectra(ms.methods.Coord(WIDTH, std=0.0), specformer)
        alone = ms.methods.MaskedReconstruction(specformer)
        alone.reconstruct = whole.reconstruct
        generator = seeded()
        whole.task(encoder, batch, generator)  # draws its noise before the mask
        reconstruction = alone(batch, generator=generator)["reconstruction"]
        torch.testing.assert_close(whole(encoder, batch, seeded())["reconstruction"], reconstruction)

    def test_errors(self, specformer):
        method = ms.methods.MaskedReconstruction(specformer)
        with pytest.raises(ValueError, match=r"none of the spectra \['uv_vis', 'ir', 'raman'\], only \['z'\]"):
            method(Data(z=torch.tensor([6])))
        with pytest.raises(TypeError, match="encoder must be an encoder, which Coord calls; got None"):
            ms.methods.TrainingModule(None, ms.methods.Coord(WIDTH))

    @pytest.mark.usefixtures("no_shape_checks")
    def test_an_encoder_alone_is_no_batch(self, encoder, specformer):
        with pytest.raises(TypeError, match="batch must be a Data or Batch.*got a EquivariantTransformer"):
            ms.methods.MaskedReconstruction(specformer)(encoder)
        with pytest.raises(TypeError, match="specformer must be a SpecFormer"):
            ms.methods.MaskedReconstruction(encoder)


class TestCombined:
    def test_the_sum_of_its_methods_in_order(self, batch, encoder, specformer):
        empp, frad = ms.methods.EMPP(WIDTH), ms.methods.Coord(WIDTH)
        masked = ms.methods.MaskedReconstruction(specformer)
        combined = ms.methods.Combined({"empp": (empp, 1.0), "coord": (frad, 0.5), "masked": (masked, 0.1)}).eval()
        losses = combined(encoder, batch, seeded())
        generator = seeded()
        parts = {name: method(encoder, batch, generator) for name, method in combined.methods.items()}
        assert losses.keys() == {
            "loss",
            *("empp/loss", "empp/position", "coord/loss", "coord/denoising", "masked/loss", "masked/reconstruction"),
        }
        for name, own in parts.items():
            for part, loss in own.items():
                torch.testing.assert_close(losses[f"{name}/{part}"], loss)
        expected = parts["empp"]["loss"] + 0.5 * parts["coord"]["loss"] + 0.1 * parts["masked"]["loss"]
        torch.testing.assert_close(losses["loss"], expected)

    def test_all_weights_get_a_gradient_through_one_module(self, batch, encoder):
        combined = ms.methods.Combined(
            {
                "coord": (ms.methods.Coord(WIDTH), 1.0),
                "gap": (ms.methods.Regression(ms.heads.ScalarHead(WIDTH), label="gap"), 1),
            }
        )
        model = ms.methods.TrainingModule(encoder, combined)
        model.zero_grad()
        model(batch)["loss"].backward()
        lacking = {name for name, p in model.named_parameters() if p.requires_grad and p.grad is None}
        assert {name for name in lacking if name.startswith("method")} == set()

    def test_a_task_of_molspectra(self, batch, encoder, specformer):
        # The task that preserves atoms gives the features for the contrast.
        coord, empp = ms.methods.Coord(WIDTH), ms.methods.EMPP(WIDTH)
        combined = ms.methods.Combined({"empp": (empp, 1.0), "coord": (coord, 0.5)}).eval()
        output = combined.run(encoder, batch, seeded())
        assert combined.preserves_atoms
        assert combined.num_copies == 1
        assert output.data.pos.shape == batch.pos.shape
        losses = ms.methods.MolSpectra(combined, specformer).eval()(encoder, batch, seeded())
        torch.testing.assert_close(losses["denoising"], output.loss)
        assert losses["contrastive"] > 0

    def test_copies_of_its_only_task(self, specformer):
        combined = ms.methods.Combined({"empp": (ms.methods.EMPP(WIDTH, num_copies=3), 1.0)})
        assert (combined.num_copies, combined.preserves_atoms) == (3, False)
        with pytest.raises(ValueError, match="num_copies=3"):
            ms.methods.MolSpectra(combined, specformer)

    def test_without_a_pretext_task(self, batch, encoder, specformer):
        combined = ms.methods.Combined({"masked": (ms.methods.MaskedReconstruction(specformer), 2.0)})
        assert not combined.needs_encoder
        losses = ms.methods.TrainingModule(None, combined)(batch)
        torch.testing.assert_close(losses["loss"], 2 * losses["masked/loss"])
        with pytest.raises(ValueError, match=r"A pretext task must be among the methods \['masked'\]"):
            combined.run(encoder, batch)

    def test_saved_and_loaded(self, batch, encoder, tmp_path):
        combined = ms.methods.Combined({"coord": (ms.methods.Coord(WIDTH), 1.0)}).eval()
        ms.pretrained.save(combined, tmp_path)
        loaded = ms.pretrained.load(tmp_path)
        assert loaded(encoder, batch, seeded())["loss"] == combined(encoder, batch, seeded())["loss"]

    @pytest.mark.usefixtures("no_shape_checks")
    def test_errors(self):
        coord = ms.methods.Coord(WIDTH)
        with pytest.raises(ValueError, match="methods is empty"):
            ms.methods.Combined({})
        for entry in (coord, (coord,), (coord, 1.0, 2.0), ("coord", 1.0)):
            with pytest.raises(TypeError, match=r"methods\['coord'\] must be a pair \(method, weight\)"):
                ms.methods.Combined({"coord": entry})
        with pytest.raises(ValueError, match=r"cannot contain a dot.*\['a.b'\]"):
            ms.methods.Combined({"a.b": (coord, 1.0)})
        with pytest.raises(ValueError, match="weights must be finite.*nan"):
            ms.methods.Combined({"coord": (coord, float("nan"))})


@pytest.mark.parametrize("weights", [{}, {"denoising": 1}, {"denoising": 1, "contrast": 1, "reconstruction": 1}])
def test_weights_of_other_losses_are_refused_at_construction(weights, specformer):
    coord = ms.methods.Coord(WIDTH)
    with pytest.raises(ValueError, match='weights must be of "denoising", "contrastive" and "reconstruction"'):
        ms.methods.MolSpectra(coord, specformer, weights=weights)
    with pytest.raises(ValueError, match='weights must be of "denoising" and "noise_scale"'):
        ms.methods.EMGP(WIDTH, weights=weights)
    with pytest.raises(ValueError, match='weights must be of "property" and "denoising"'):
        ms.methods.NoisyNodes(coord, ms.heads.ScalarHead(WIDTH), weights=weights)
    with pytest.raises(ValueError, match='weights must be of "property"'):
        ms.methods.Regression(ms.heads.ScalarHead(WIDTH), weights=weights)
