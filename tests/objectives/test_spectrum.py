"""The error of predicted spectra."""

import pytest
import torch

from molspectra.objectives.spectrum import SpectrumLoss


def spectra(dtype=torch.float64):
    return {"ir": torch.rand(4, 6, dtype=dtype), "uv_vis": 100 * torch.rand(4, 3, dtype=dtype)}


@pytest.mark.parametrize("floor", [0.1, 2])
def test_against_a_loop(floor):
    predicted, target = spectra(), spectra()
    target["ir"][[0, 2]] = torch.nan
    expected = 0.0
    for kind, of_kind in target.items():
        rows = [row for row in range(4) if not of_kind[row].isnan().any()]
        squares = [sum(t * t for t in of_kind[row].tolist()) for row in rows]
        unit = sum(squares) / len(rows)
        for row, square in zip(rows, squares, strict=True):
            pairs = zip(predicted[kind][row].tolist(), of_kind[row].tolist(), strict=True)
            expected += sum((p - t) ** 2 for p, t in pairs) / (square + floor * unit) / len(rows)
    torch.testing.assert_close(SpectrumLoss(floor)(predicted, target), torch.tensor(expected, dtype=torch.float64))


def test_gaps_are_left_out():
    """As a spectrum without those samples. The mean square of the batch is over measured samples, too."""
    predicted, target = spectra(), spectra()
    target["ir"][:, 2:4] = torch.nan
    predicted["ir"].requires_grad_()
    kept = [0, 1, 4, 5]
    loss = SpectrumLoss()(predicted, target)
    loss.backward()
    cut = [{kind: s[:, kept] if kind == "ir" else s for kind, s in of.items()} for of in (predicted, target)]
    torch.testing.assert_close(loss, SpectrumLoss()(*cut))
    assert torch.equal((predicted["ir"].grad != 0).all(dim=0), ~target["ir"][0].isnan())


def test_a_large_floor_is_the_mean_squared_error():
    predicted, target = spectra(), spectra()
    expected = sum((predicted[k] - target[k]).square().mean() / target[k].square().mean() for k in target)
    torch.testing.assert_close(1e9 * SpectrumLoss(1e9)(predicted, target), expected)


def test_units_do_not_matter():
    predicted, target = spectra(), spectra()
    scaled = [{kind: 1e4 * spectrum for kind, spectrum in of.items()} for of in (predicted, target)]
    torch.testing.assert_close(SpectrumLoss()(*scaled), SpectrumLoss()(predicted, target))


def test_missing_spectra_and_kinds_have_no_gradient():
    predicted, target = spectra(), spectra()
    for spectrum in predicted.values():
        spectrum.requires_grad_()
    target = {"ir": target["ir"].index_fill(0, torch.tensor([1]), torch.nan)}
    SpectrumLoss()(predicted, target).backward()
    there = torch.tensor([True, False, True, True])
    assert torch.equal((predicted["ir"].grad != 0).all(dim=1), there)
    assert torch.equal((predicted["ir"].grad == 0).all(dim=1), ~there)
    assert predicted["uv_vis"].grad is None


@pytest.mark.parametrize("value", [torch.nan, 0.0], ids=["all missing", "all zero"])
def test_no_intensity_at_all_is_finite(value):
    predicted = torch.zeros(2, 3, requires_grad=True)
    loss = SpectrumLoss()({"ir": predicted}, {"ir": torch.full((2, 3), value)})
    loss.backward()
    assert loss == 0
    assert (predicted.grad == 0).all()


def test_gradcheck():
    predicted, target = spectra(), spectra()
    target["ir"][1] = 0.0

    def loss(ir, uv_vis):
        return SpectrumLoss()({"ir": ir, "uv_vis": uv_vis}, target)

    assert torch.autograd.gradcheck(loss, tuple(spectrum.requires_grad_() for spectrum in predicted.values()))


def test_half_precision_is_compared_in_float32():
    predicted, target = spectra(torch.float32), spectra(torch.float32)
    rounded = {kind: spectrum.bfloat16() for kind, spectrum in predicted.items()}
    loss = SpectrumLoss()(rounded, target)
    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, SpectrumLoss()({k: s.float() for k, s in rounded.items()}, target))


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize(
    ("predicted", "target", "message"),
    [
        ({"ir": torch.ones(2, 3)}, {}, "spectra is empty"),
        ({"ir": torch.ones(2, 3)}, {"uv": torch.ones(2, 3)}, "Unknown kind of spectrum 'uv'"),
        ({"ir": torch.ones(2, 3)}, {"ir": torch.ones(2, 4)}, r"must have shape \(B, 3\)"),
        ({"ir": torch.ones(1, 3)}, {"ir": torch.ones(2, 3)}, r"predicted\['ir'\] must have shape \(2, 3\)"),
        ({"ir": torch.ones(1, 2)}, {"ir": torch.tensor([[1.0, torch.inf]])}, "infinite values are no intensities"),
    ],
)
def test_bad_input_is_refused(predicted, target, message):
    with pytest.raises(ValueError, match=message):
        SpectrumLoss()(predicted, target)


@pytest.mark.parametrize("floor", [0, -1.0, float("inf"), float("nan")])
def test_a_bad_floor_is_refused(floor):
    with pytest.raises(ValueError, match="floor must be positive and finite"):
        SpectrumLoss(floor)


@pytest.mark.parametrize("unit", [1e-30, 1e-21, 1e20])
def test_in_any_units(unit):
    predicted, target = torch.rand(2, 3, 50)
    expected = SpectrumLoss()({"ir": predicted}, {"ir": target})
    torch.testing.assert_close(SpectrumLoss()({"ir": predicted * unit}, {"ir": target * unit}), expected)
