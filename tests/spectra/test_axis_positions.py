"""SpecFormer with positions on physical axes: other grids, ranges and numbers of tokens with the same weights."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Batch, Data

import molspectra as ms
from molspectra.data import SpectrumAxis
from molspectra.spectra import IdentityScaling, PatchMask, SpecFormer

IR = SpectrumAxis("ir", 500, 700, 1, "cm^-1")  # 201 samples, 19 patches
UV = SpectrumAxis("uv_vis", 1.5, 4.5, 0.05, "eV")
SIZES = {"patch_len": 20, "stride": 10, "hidden_channels": 16, "num_layers": 2, "num_heads": 4, "out_channels": 8}


def specformer(axes=None, **arguments):
    torch.manual_seed(0)
    arguments = {"position": "axis", "num_bands": 6, **SIZES, **arguments}
    return SpecFormer({"ir": IR} if axes is None else axes, **arguments).double()


def line(axis, fwhm=12.0, center=610.0):
    """A Gaussian line on an axis, whose second derivative is at most 8 ln 2 / fwhm²."""
    return torch.exp(-4 * torch.log(torch.tensor(2.0)) * ((axis.grid - center) / fwhm) ** 2).unsqueeze(0)


def cropped(axis, low, high):
    return SpectrumAxis(axis.name, low, high, axis.step, axis.unit)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("pool", ["bands", "mean"])
def test_a_cropped_spectrum_equals_a_spectrum_with_gaps(pool, training):
    """Tokens beyond the range are left out in one case and masked in the other."""
    module, part = specformer(pool=pool).train(training), cropped(IR, 543, 655)
    spectrum = torch.rand(3, 201, dtype=torch.float64)
    gaps = spectrum.masked_fill((IR.grid < 543) | (IR.grid > 655), torch.nan)
    expected, actual = module({"ir": gaps}), module({"ir": spectrum[:, 43:156]}, axes={"ir": part})
    assert expected.valid[0].nonzero().flatten().tolist() == list(range(5, 14))
    assert actual.valid.all()
    torch.testing.assert_close(actual.tokens, expected.tokens[:, 5:14])
    torch.testing.assert_close(actual.embedding, expected.embedding)


def test_a_longer_range_adds_tokens_and_leaves_the_others_alone():
    module, longer = specformer(), cropped(IR, 470, 733)
    spectrum = torch.rand(2, longer.length, dtype=torch.float64)
    prepared = module.prepare({"ir": spectrum}, {"ir": longer})
    tokens, valid = module.tokenize(prepared)
    assert valid.all()
    assert prepared.first == {"ir": -30}
    assert module.count_tokens(prepared) == {"ir": 25}
    torch.testing.assert_close(tokens[:, 3:22], module.tokenize({"ir": spectrum[:, 30:231]})[0])
    positions = module.token_positions({"ir": longer})["ir"]
    torch.testing.assert_close(positions, 479.5 + 10 * torch.arange(25, dtype=torch.float64))
    assert module.axes_of(prepared)["ir"] == cropped(IR, 470, 729)
    assert module.split(tokens, prepared)["ir"].shape[1] == 25
    with pytest.raises(ValueError, match=r"tokens must be .*Pass split\(tokens, prepared\)"):
        module.split(tokens)
    within = module({"ir": spectrum[:, 30:231]}).embedding
    assert not torch.allclose(module(prepared).embedding, within)


def test_positions_depend_on_the_place_alone():
    """Two models of different ranges with the same weights give the same token for the same patch."""
    module, wide = specformer(), SpectrumAxis("ir", 480, 720, 1, "cm^-1")
    spectrum = torch.rand(1, 241, dtype=torch.float64)
    other = SpecFormer({"ir": IR}, position="axis", **SIZES, num_bands=6).double()
    other.load_state_dict(module.state_dict())
    torch.testing.assert_close(
        other.tokenize(other.prepare({"ir": spectrum}, {"ir": wide}))[0][:, 2:21],
        module.tokenize({"ir": spectrum[:, 20:221]})[0],
    )


@pytest.mark.parametrize("position", ["axis", "learned"])
def test_another_grid_changes_the_embedding_as_little_as_interpolation_theory_says(position):
    """|error of a sample| ≤ h² max|f''| / 8, and the embedding's change is that times its derivatives."""
    module = specformer(position=position, pool="bands", scaling=IdentityScaling(), norm="layer")
    spectrum = line(IR)
    expected = module({"ir": spectrum}).embedding[0]
    jacobian = torch.autograd.functional.jacobian(lambda x: module({"ir": x}).embedding[0], spectrum)
    derivatives = jacobian.squeeze(1).abs().sum(dim=1)
    changes = {}
    for step in (4.0, 2.0, 1.0, 0.5, 0.25):
        axis = SpectrumAxis("ir", 500, 700, step, "cm^-1")
        prepared = module.prepare({"ir": line(axis)}, {"ir": axis})
        # Averages over bins of a step of 1 add the variance of a bin, h²/12, to that.
        bound = (step**2 / 8 + (step < 1) / 24) * 8 * torch.log(torch.tensor(2.0)) / 12**2
        if step == 1:
            bound = 1e-12
        assert (prepared.scaled["ir"] - spectrum[:, : prepared.scaled["ir"].shape[1]]).abs().max() <= bound
        changes[step] = (module(prepared).embedding[0] - expected).abs()
        assert (changes[step] <= 1.05 * bound * derivatives + 1e-12).all()
    assert changes[2.0].max() > 1e-6


def test_positions_as_tensors_in_either_direction():
    module, axis = specformer(), cropped(IR, 540, 660)
    spectrum = torch.rand(2, axis.length, dtype=torch.float64)
    expected = module({"ir": spectrum}, axes={"ir": axis})
    for grid, values in ((axis.grid, spectrum), (axis.grid.flip(0), spectrum.flip(1))):
        torch.testing.assert_close(module({"ir": values}, axes={"ir": grid}).embedding, expected.embedding)


def test_the_axis_of_the_model_by_another_name_changes_nothing():
    for position in ("axis", "learned"):
        module, spectrum = specformer(position=position), torch.rand(2, 201, dtype=torch.float64)
        named = SpectrumAxis("my instrument", 500, 700, 1, "cm^-1")
        one, other = module({"ir": spectrum}), module({"ir": spectrum}, axes={"ir": named})
        torch.testing.assert_close(one.embedding, other.embedding, rtol=0, atol=0)


def test_learned_positions_read_other_grids_on_the_axis_of_the_model():
    module, axis = specformer(position="learned", pool=None), cropped(IR, 540, 800)
    features = module({"ir": torch.rand(2, axis.length, dtype=torch.float64)}, axes={"ir": axis})
    assert features.valid[0].tolist() == [False] * 4 + [True] * 15
    assert features.embedding.isfinite().all()


def test_resampling_is_differentiated():
    for position in ("axis", "learned"):
        module, axis = specformer(position=position), SpectrumAxis("ir", 540, 660, 2, "cm^-1")
        spectrum = torch.rand(2, axis.length, dtype=torch.float64, requires_grad=True)
        module({"ir": spectrum}, axes={"ir": axis}).embedding[:, 0].sum().backward()
        assert spectrum.grad.isfinite().all()
        assert spectrum.grad.abs().min() > 0


def test_lists_of_peaks_beside_spectra_of_another_grid():
    shifts = ms.data.PeakAxis("c_nmr", "ppm", (-20, 240))
    module, axis = specformer({"ir": IR, "c_nmr": shifts}), cropped(IR, 450, 660)
    spectra = {
        "ir": torch.rand(2, axis.length).double(),
        "c_nmr": torch.tensor([[[77.2, 1.0]], [[20.0, 0.5]]]).double(),
    }
    molecules = Batch.from_data_list(
        [Data(ir=spectra["ir"][row : row + 1], c_nmr=spectra["c_nmr"][row : row + 1]) for row in range(2)]
    )
    features = module(spectra, axes={"ir": axis})
    assert features.tokens.shape[1] == 21
    torch.testing.assert_close(module(molecules, axes={"ir": axis}).embedding, features.embedding)
    swapped = module({kind: of_kind.flip(0) for kind, of_kind in spectra.items()}, axes={"ir": axis})
    torch.testing.assert_close(swapped.embedding.flip(0), features.embedding)
    peaks = specformer({"c_nmr": shifts})({"c_nmr": spectra["c_nmr"]})
    assert peaks.embedding.isfinite().all()


def test_places_keep_their_digits_in_half_precision():
    long = SpectrumAxis("ir", 500, 4000, 1, "cm^-1")
    module = specformer({"ir": long}).bfloat16()
    prepared = module.prepare({"ir": torch.rand(1, 3501).bfloat16()})
    places = module._places("ir", prepared)
    torch.testing.assert_close(places.double(), module.token_samples["ir"], rtol=0, atol=0)
    assert module(prepared).embedding.isfinite().all()


@pytest.mark.parametrize("mask_mode", ["interval", "patch"])
@pytest.mark.parametrize("ends", [(540, 660), (450, 800), (510, 710)])  # the last has as many patches as the model
def test_masked_modelling_of_another_range(mask_mode, ends):
    module, axis = specformer({"ir": IR, "uv_vis": UV}), cropped(IR, *ends)
    method = ms.methods.MaskedReconstruction(module, mask_ratio=0.4, mask_mode=mask_mode).double()
    spectra = {
        "ir": torch.rand(3, axis.length, dtype=torch.float64),
        "uv_vis": torch.rand(3, UV.length, dtype=torch.float64),
    }
    spectra["ir"][1, 60:62] = torch.nan
    prepared = module.prepare(spectra, {"ir": axis})
    losses = method(prepared, generator=torch.Generator().manual_seed(0))
    losses["loss"].backward()
    assert all(parameter.grad.isfinite().all() for parameter in method.parameters())
    masked = PatchMask(module.patchers, 0.4, mask_mode)(prepared, torch.Generator().manual_seed(0))
    if mask_mode == "interval":
        # No hidden sample is read.
        scrambled = prepared.scaled | {"ir": torch.where(masked["ir"], torch.rand(()), prepared.scaled["ir"])}
        changed = module(prepared._replace(scaled=scrambled), masked).embedding
        torch.testing.assert_close(changed, module(prepared, masked).embedding, rtol=0, atol=0)


def test_figures_of_another_range():
    pytest.importorskip("matplotlib")
    module, axis = specformer(), cropped(IR, 540, 800)
    method = ms.methods.MaskedReconstruction(module).double()
    prepared = module.prepare({"ir": torch.rand(3, axis.length, dtype=torch.float64)}, {"ir": axis})
    [panel] = ms.plots.reconstruction(method, prepared)
    assert panel.lines[0].get_xdata()[[0, -1]].tolist() == [540, 799]
    ticks = ms.plots.attention(module, prepared, head="mean").get_xticklabels()
    assert {"600", "700"} <= {tick.get_text() for tick in ticks}


@settings(max_examples=25, deadline=None)
@given(
    low=st.floats(400, 600),
    width=st.floats(60, 300),
    step=st.floats(0.3, 6),
    gap=st.tuples(st.floats(0, 1), st.floats(0, 0.5)),
    absent=st.sampled_from(["nothing", "a row", "a kind"]),
    position=st.sampled_from(["axis", "learned"]),
)
def test_absent_parts_do_not_matter_on_any_axis(low, width, step, gap, absent, position):
    """An absent part is the same as a kind or patch that was never there, whatever the grid."""
    module = specformer({"ir": IR, "uv_vis": UV}, position=position, pool="bands", norm="layer").eval()
    count = max(int(width / step), 2) + 1
    grid = low + step * torch.arange(count, dtype=torch.float64)
    spectrum = torch.rand(3, count, dtype=torch.float64)
    first = int(gap[0] * count)
    spectrum[1, first : first + int(gap[1] * count)] = torch.nan
    spectra = {"ir": spectrum, "uv_vis": torch.rand(3, UV.length, dtype=torch.float64)}
    if absent == "a row":
        spectra["uv_vis"][1] = torch.nan
    elif absent == "a kind":
        del spectra["uv_vis"]
    refusals = "no complete patch|whole patch|must overlap"
    try:
        features = module(spectra, axes={"ir": grid})
    except ValueError:
        with pytest.raises(ValueError, match=refusals):
            module(spectra, axes={"ir": grid})
        return
    assert features.embedding.isfinite().all()
    alone = module({kind: of_kind[:1] for kind, of_kind in spectra.items()}, axes={"ir": grid}).embedding
    torch.testing.assert_close(features.embedding[:1], alone)
    # The row with gaps is as the row of a batch of its own, on the grid of the model, whatever lies in the gaps.
    prepared = module.prepare(spectra, {"ir": grid})
    written = {kind: torch.where(prepared.measured[kind], x, 1e3) for kind, x in prepared.scaled.items()}
    again = module(prepared._replace(scaled=written)).embedding
    torch.testing.assert_close(again, features.embedding)


@pytest.mark.parametrize(
    ("axes", "length", "message"),
    [
        ({"raman": IR}, 201, r"axes has the unknown kinds \['raman'\]"),
        (
            {"ir": SpectrumAxis("ir", 500, 700, 1, "nm")},
            201,
            "must be in cm.-1, the unit of the encoder's axis; got nm",
        ),
        ({"ir": SpectrumAxis("ir", 800, 1000, 1, "cm^-1")}, 201, "must overlap .* 500 to 700 .* got 800 to 1000"),
        ({"ir": cropped(IR, 505, 520)}, 16, "must hold a whole patch of 20 cm.-1"),
        ({"ir": IR}, 200, r"must have shape \(B, 201\), a column for each sample"),
        ({"ir": torch.tensor([500.0, 600.0, 550.0])}, 3, "strictly ascending or strictly descending"),
        ({"ir": torch.tensor([500.0, 600.0, 600.0, 700.0])}, 4, "merge samples of ranges that overlap"),
        ({"ir": torch.tensor([500.0, torch.nan, 700.0])}, 3, "must be finite"),
        ({"ir": torch.rand(2, 201)}, 201, r"must be the positions \(K,\)"),
    ],
)
def test_axes_that_do_not_fit_are_refused(axes, length, message):
    with pytest.raises(ValueError, match=message):
        specformer()({"ir": torch.rand(2, length, dtype=torch.float64)}, axes=axes)


@pytest.mark.usefixtures("no_shape_checks")
def test_what_is_no_axis_is_refused():
    with pytest.raises(TypeError, match=r"axes\['ir'\] must be a SpectrumAxis, or the positions"):
        specformer()({"ir": torch.rand(2, 201, dtype=torch.float64)}, axes={"ir": "IR"})
    with pytest.raises(TypeError, match="axes must map kinds to axes.*got a SpectrumAxis"):
        specformer()({"ir": torch.rand(2, 201, dtype=torch.float64)}, axes=IR)
    with pytest.raises(ValueError, match="needs the axis of each kind; got numbers of samples for \\['ir'\\]"):
        SpecFormer({"ir": 201}, position="axis")
    with pytest.raises(ValueError, match="whose number of tokens is free"):
        SpecFormer({"ir": IR}, position="axis", pool="flatten")
    with pytest.raises(ValueError, match="built with numbers of samples"):
        specformer({"ir": 201}, position="learned")({"ir": torch.rand(2, 101).double()}, axes={"ir": IR})
    module = specformer()
    with pytest.raises(ValueError, match="these spectra are prepared"):
        module(module.prepare({"ir": torch.rand(2, 201).double()}), axes={"ir": IR})


def test_saved_and_loaded(tmp_path):
    module, axis = specformer({"ir": IR, "uv_vis": UV}), cropped(IR, 540, 800)
    ms.pretrained.save(module, tmp_path)
    spectra = {"ir": torch.rand(2, axis.length, dtype=torch.float64)}
    loaded = ms.pretrained.load(tmp_path).double().eval()
    torch.testing.assert_close(
        loaded(spectra, axes={"ir": axis}).embedding, module.eval()(spectra, axes={"ir": axis}).embedding
    )


@pytest.mark.compile
def test_other_axes_compile():
    from molspectra.testing import assert_compiles

    module = specformer()
    spectra = torch.rand(3, 201, dtype=torch.float64)
    calls = [{"spectra": module.prepare({"ir": spectra[:rows]})} for rows in (2, 3)]
    assert_compiles(module, calls, max_graphs=1)
    calls = [
        {"spectra": module.prepare({"ir": spectra[:, :length]}, {"ir": cropped(IR, 500, 499 + length)})}
        for length in (101, 151)
    ]
    assert_compiles(module, calls, max_graphs=2)
