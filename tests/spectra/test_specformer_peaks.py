"""SpecFormer of lists of peaks, alone and beside spectra on grids."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_geometric.data import Data

import molspectra as ms
from molspectra.data import PeakAxis, SpectrumAxis
from molspectra.spectra import SpecFormer
from molspectra.testing import assert_compiles

NAN = math.nan
AXES = {
    "ir": SpectrumAxis("ir", 0, 59, 1, "cm^-1"),
    "ms_ms": PeakAxis("ms_ms", "m/z", (0, 500), precursor="precursor_mz"),
    "h_nmr": PeakAxis("h_nmr", "ppm", (-2, 14), labels=["s", "d", "t"]),
    "hsqc": PeakAxis("hsqc", "ppm", [(-20, 240), (-2, 14)]),
    "c_nmr": PeakAxis("c_nmr", "ppm", (-20, 240), max_peaks=4, excess="strongest"),
}
SIZES = {"hidden_channels": 16, "num_layers": 2, "num_heads": 4, "out_channels": 8}


def specformer(*kinds, **arguments):
    torch.manual_seed(0)
    axes = {kind: AXES[kind] for kind in kinds or AXES}
    return SpecFormer(axes, **{"patch_len": 20, **SIZES, **arguments}).double()


def peaks_of(kind, batch, number, generator):
    """Random peaks within the ranges, (B, K, columns), with gaps at random places, in both senses of the word."""
    axis = AXES[kind]
    columns = [
        low + (high - low) * torch.rand(batch, number, generator=generator, dtype=torch.float64)
        for low, high in axis.ranges
    ]
    columns.append(0.01 + torch.rand(batch, number, generator=generator, dtype=torch.float64))
    if axis.labels:
        columns.append(torch.randint(len(axis.labels), (batch, number), generator=generator).double())
    peaks = torch.stack(columns, dim=-1)
    absent = torch.rand(batch, number, generator=generator) < 0.3
    return peaks.masked_fill(absent.unsqueeze(-1), NAN)


def spectra_of(numbers, seed, batch=3):
    generator = torch.Generator().manual_seed(seed)
    spectra = {kind: peaks_of(kind, batch, number, generator) for kind, number in numbers.items() if kind != "ir"}
    spectra["ir"] = torch.rand(batch, 60, generator=generator, dtype=torch.float64)
    spectra["ir"][0] = NAN
    spectra["precursor_mz"] = 600 * torch.rand(batch, 1, generator=generator, dtype=torch.float64) + 1
    spectra["precursor_mz"][1] = NAN
    return spectra


some_numbers = st.dictionaries(st.sampled_from(["ms_ms", "h_nmr", "hsqc", "c_nmr"]), st.integers(0, 7), min_size=1)


@settings(max_examples=12, deadline=None)
@given(
    numbers=some_numbers,
    seed=st.integers(0, 10**6),
    pool=st.sampled_from([None, "mean"]),
    position=st.sampled_from(["learned", "axis"]),
)
def test_the_embedding_knows_neither_order_nor_padding_nor_absent_kinds(numbers, seed, pool, position):
    module = specformer(pool=pool, position=position, num_bands=2).train(seed % 2 == 0)
    spectra = spectra_of(numbers, seed)
    expected = module(spectra)
    generator = torch.Generator().manual_seed(seed + 1)
    changed = dict(spectra)
    for kind in numbers:
        padding = spectra[kind].new_full((3, seed % 4, AXES[kind].num_columns), NAN)
        peaks = torch.cat([spectra[kind], padding], dim=1)
        changed[kind] = peaks[:, torch.randperm(peaks.shape[1], generator=generator)]
    for kind in set(AXES) - set(spectra):
        changed[kind] = torch.full((3, seed % 3, AXES[kind].num_columns), NAN, dtype=torch.float64)
    torch.testing.assert_close(module(changed).embedding, expected.embedding, rtol=1e-9, atol=1e-9)


@settings(max_examples=8, deadline=None)
@given(numbers=some_numbers, seed=st.integers(0, 10**6))
def test_each_sample_is_encoded_as_if_it_were_alone(numbers, seed):
    module, spectra = specformer().eval(), spectra_of(numbers, seed)
    expected = module(spectra).embedding
    for row in range(3):
        alone = module({kind: value[row : row + 1] for kind, value in spectra.items()}).embedding
        torch.testing.assert_close(alone[0], expected[row], rtol=1e-9, atol=1e-9)


@settings(max_examples=8, deadline=None)
@given(numbers=some_numbers, seed=st.integers(0, 10**6))
def test_gradients_are_finite_and_those_of_padding_are_zero(numbers, seed):
    module, spectra = specformer(), spectra_of(numbers, seed)
    given_peaks = {kind: spectra[kind].requires_grad_() for kind in numbers}
    module(spectra).embedding[:, 0].sum().backward()
    for parameter in module.parameters():
        assert parameter.grad is None or bool(parameter.grad.isfinite().all())
    for peaks in given_peaks.values():
        if peaks.numel():
            assert bool(peaks.grad.isfinite().all())
            assert bool((peaks.grad[peaks.isnan()] == 0).all())


def test_kinds_of_peaks_come_after_grids_and_are_split_with_the_spectra():
    module, spectra = specformer("c_nmr", "ir", "ms_ms"), {}
    every = spectra_of({"c_nmr": 3, "ms_ms": 4}, 0)
    spectra = {kind: every[kind] for kind in ("ir", "c_nmr", "ms_ms", "precursor_mz")}
    assert module.kinds == ("ir", "c_nmr", "ms_ms")
    tokens, prepared = module(spectra).tokens, module.prepare(spectra)
    assert {kind: of.shape[1] for kind, of in module.split(tokens, prepared).items()} == {
        "ir": 5,
        "c_nmr": 3,
        "ms_ms": 2 * 4 + 1,
    }
    with pytest.raises(ValueError, match=r"split needs the prepared spectra for the peaks of \['c_nmr', 'ms_ms'\]"):
        module.split(tokens)


def test_grids_beside_peaks_are_read_as_without_them():
    """A SpecFormer of both has the weights of one of grids, and no peaks are given."""
    mixed, grids = specformer("ir", "c_nmr"), specformer("ir")
    weights = {name: value for name, value in mixed.state_dict().items() if "peak" not in name}
    weights["out_proj.weight"] = weights["out_proj.weight"][:, : 5 * 16]
    grids.load_state_dict(weights)
    ir = torch.rand(4, 60, dtype=torch.float64)
    torch.testing.assert_close(mixed({"ir": ir}).embedding, grids({"ir": ir}).embedding)


def test_molecules_with_peaks_are_collated_and_read():
    molecules = [ms.data.from_smiles(smiles) for smiles in ("C", "CC", "CCO", "O")]
    for molecule, number in zip(molecules, (1, 2, 3), strict=False):
        molecule.c_nmr = torch.rand(1, number, 2)
    batch = ms.data.Collate()(molecules)
    assert batch.c_nmr.shape == (4, 3, 2)
    found = specformer("ir", "c_nmr").float()(batch)
    assert found.valid.sum(dim=1).tolist() == [1, 2, 3, 0]


def test_precursors_are_read_from_molecules_and_alone():
    module = specformer("ms_ms").float().eval()
    batch = Data(ms_ms=torch.tensor([[[100.0, 1.0]]]), precursor_mz=torch.tensor([118.0]))
    embedding = module(batch).embedding
    assert torch.equal(module({"ms_ms": batch.ms_ms, "precursor_mz": torch.tensor([[118.0]])}).embedding, embedding)
    assert not torch.allclose(module({"ms_ms": batch.ms_ms}).embedding, embedding)


def test_a_spectrum_without_any_peak_has_the_constant_embedding():
    module = specformer("c_nmr", "h_nmr").eval()
    embedding = module({"c_nmr": torch.full((2, 3, 2), NAN, dtype=torch.float64)}).embedding
    assert torch.equal(embedding, module({"h_nmr": torch.zeros(2, 0, 2, dtype=torch.float64)}).embedding)
    assert torch.equal(embedding[0], embedding[1])


def test_hidden_peaks_do_not_leak():
    module, spectra = specformer().eval(), spectra_of({"ms_ms": 5, "hsqc": 4}, 3)
    prepared = module.prepare(spectra)
    hidden = ms.spectra.PeakMask(module.peak_axes, 0.4)(prepared, torch.Generator().manual_seed(0))
    assert all(bool(hidden[kind].any()) for kind in ("ms_ms", "hsqc"))
    expected = module(prepared, hidden).embedding
    for kind in ("ms_ms", "hsqc"):
        prepared.scaled[kind][hidden[kind]] = torch.rand_like(prepared.scaled[kind][hidden[kind]])
    torch.testing.assert_close(module(prepared, hidden).embedding, expected, rtol=0, atol=0)
    assert not torch.allclose(module(prepared).embedding, expected)


@pytest.mark.parametrize(
    ("spectra", "message"),
    [
        ({"c_nmr": torch.rand(2, 3, 2), "h_nmr": torch.rand(3, 3, 2)}, "one batch size; got {'c_nmr': 2, 'h_nmr': 3}"),
        ({"raman": torch.rand(2, 3, 2)}, r"Unknown kind of spectrum 'raman'; expected some of \['c_nmr',"),
        ({"precursor_mz": torch.rand(2, 1)}, "spectra is empty; expected at least one of"),
        ({}, "spectra is empty"),
        ({"c_nmr": torch.rand(2, 60)}, "A spectrum on a grid needs a SpectrumAxis"),
        ({"ir": torch.rand(2, 3, 2)}, r"must have shape \(B, 60\)"),
    ],
)
def test_broken_spectra_are_refused(spectra, message):
    with pytest.raises(ValueError, match=message):
        specformer().float()(spectra)


def test_masks_of_peaks_are_checked():
    module, spectra = specformer("c_nmr"), {"c_nmr": torch.rand(2, 3, 2)}
    with pytest.raises(ValueError, match=r"must have shape \(2, 3\), a value for each peak; got \(2, 4\)"):
        module(spectra, {"c_nmr": torch.zeros(2, 4, dtype=torch.bool)})
    with pytest.raises(TypeError, match="must be bool"):
        module(spectra, {"c_nmr": torch.zeros(2, 3)})


def test_a_precursor_cannot_be_a_kind():
    with pytest.raises(ValueError, match="precursor must name a field of its own; 'c_nmr' is a kind"):
        SpecFormer({"a": PeakAxis("a", "m/z", (0, 9), precursor="c_nmr"), "c_nmr": AXES["c_nmr"]})


def test_a_specformer_of_peaks_is_saved_and_loaded(tmp_path):
    module, spectra = specformer().eval(), {"hsqc": torch.rand(2, 3, 3), "ir": torch.rand(2, 60)}
    module, spectra = module.float(), {kind: spectrum.float() for kind, spectrum in spectra.items()}
    ms.pretrained.save(module, tmp_path)
    loaded = ms.pretrained.load(tmp_path).eval()
    assert loaded.peak_axes == module.peak_axes
    assert torch.equal(loaded(spectra).embedding, module(spectra).embedding)


@pytest.mark.compile
def test_peaks_compile_to_one_graph():
    module = specformer("ir", "ms_ms", "hsqc", num_layers=1)
    calls = [{"spectra": spectra_of({"ms_ms": peaks, "hsqc": peaks + 3}, 0, rows)} for rows, peaks in ((4, 5), (5, 7))]
    assert_compiles(module, calls, max_graphs=1)


def test_memory_is_linear_in_the_number_of_peaks():
    """The largest tensor that a forward makes grows as K, since scores are never formed."""
    largest = []
    for number in (100, 400):
        module, sizes = specformer("c_nmr").float(), []

        class Watch(torch.utils._python_dispatch.TorchDispatchMode):
            def __torch_dispatch__(self, function, types, args=(), kwargs=None, sizes=sizes):
                out = function(*args, **(kwargs or {}))
                sizes.extend(
                    part.numel()
                    for part in (out if isinstance(out, tuple | list) else [out])
                    if isinstance(part, torch.Tensor)
                )
                return out

        with Watch():
            module({"c_nmr": 100 * torch.rand(1, number, 2)}).embedding.sum().backward()
        largest.append(max(sizes))
    assert largest[1] <= 4 * largest[0]


@pytest.mark.usefixtures("no_shape_checks")
def test_lists_of_numbers_are_refused():
    with pytest.raises(TypeError, match=r"spectra\['c_nmr'\] must be a tensor; got list"):
        specformer("c_nmr")({"c_nmr": [[[77.0, 1.0]]]})
    with pytest.raises(TypeError, match="Lists of peaks are read by SpecFormer"):
        ms.spectra.CNNAM({"c_nmr": AXES["c_nmr"]})


def test_measured_mass_spectra_and_their_precursors_are_read_as_they_come():
    axis = PeakAxis("msms", "m/z", (0, 1000), precursor="precursor_mz")
    molecules = ms.data.MassBank("test")[:4]
    batch, module = ms.data.Collate()(molecules), SpecFormer({"msms": axis}, **SIZES, norm="layer").eval()
    embedding = module(batch).embedding
    assert module(batch).valid.sum(dim=1).tolist() == [2 * molecule.msms.shape[1] + 1 for molecule in molecules]
    for row, molecule in enumerate(molecules):
        torch.testing.assert_close(module(molecule).embedding[0], embedding[row], rtol=1e-4, atol=1e-5)
