"""Loss of lines, against the Hungarian algorithm, SciPy's Wasserstein distance and a numerical integral."""

import pytest
import torch
from scipy.optimize import linear_sum_assignment
from scipy.stats import wasserstein_distance

import molspectra as ms
from molspectra.objectives.sticks import wasserstein

Sticks = ms.spectra.Sticks


def lines(counts, kinds=("ir",), seed=0):
    generator = torch.Generator().manual_seed(seed)
    total = sum(counts)
    molecule = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    intensities = {kind: torch.rand(total, generator=generator, dtype=torch.float64) for kind in kinds}
    positions = 1000 * torch.rand(total, generator=generator, dtype=torch.float64)
    return Sticks(positions, intensities, molecule, len(counts))


def of(sticks, molecule):
    own = sticks.molecule == molecule
    return sticks.positions[own], {kind: values[own] for kind, values in sticks.intensities.items()}


def test_positions_cost_as_much_as_the_cheapest_assignment():
    predicted, target = lines((5, 1, 7), kinds=()), lines((5, 1, 7), kinds=(), seed=1)
    costs = []
    for molecule in range(3):
        cost = (of(predicted, molecule)[0][:, None] - of(target, molecule)[0]).abs()
        rows, columns = linear_sum_assignment(cost)
        costs.append(cost[rows, columns].mean())
    expected = torch.stack(costs).mean() / 40
    torch.testing.assert_close(ms.objectives.StickLoss(width=40.0)(predicted, target), expected)


def test_the_gradient_is_that_of_the_assignment():
    predicted, target = lines((6,), kinds=()), lines((6,), kinds=(), seed=1)
    positions = predicted.positions.requires_grad_()
    ms.objectives.StickLoss(width=1.0)(predicted, target).backward()
    rows, columns = linear_sum_assignment((positions.detach()[:, None] - target.positions).square())
    signs = (positions.detach()[rows] - target.positions[columns]).sign() / 6
    torch.testing.assert_close(positions.grad[rows], signs)


def test_intensities_against_scipy():
    predicted, target = lines((5, 2, 9), ("ir", "raman")), lines((3, 2, 10), ("ir", "raman"), seed=1)
    loss = ms.objectives.StickLoss(width=40.0, floor=0.1)
    expected = 0.0
    totals = {kind: [of(target, molecule)[1][kind].sum().item() for molecule in range(3)] for kind in ("ir", "raman")}
    for molecule in range(3):
        (found, heights), (given, true) = of(predicted, molecule), of(target, molecule)
        expected += wasserstein_distance(found, given) / 40 / 3
        for kind in ("ir", "raman"):
            expected += wasserstein_distance(found, given, heights[kind], true[kind]) / 40 / 3
            unit = totals[kind][molecule] + 0.1 * sum(totals[kind]) / 3
            expected += abs(heights[kind].sum().item() - totals[kind][molecule]) / unit / 3
    assert loss(predicted, target).item() == pytest.approx(expected, rel=1e-10)


def test_the_order_of_lines_and_molecules_means_nothing():
    predicted, target = lines((5, 2, 9)), lines((3, 2, 10), seed=1)
    order = torch.randperm(len(predicted.positions))
    shuffled = Sticks(
        predicted.positions[order], {"ir": predicted.intensities["ir"][order]}, predicted.molecule[order], 3
    )
    loss = ms.objectives.StickLoss(width=40.0)
    torch.testing.assert_close(loss(shuffled, target), loss(predicted, target))


def test_equal_lines_cost_nothing_and_have_finite_gradients():
    target = lines((5, 0, 4))
    positions, heights = target.positions.clone().requires_grad_(), target.intensities["ir"].clone().requires_grad_()
    cost = ms.objectives.StickLoss(width=10.0)(Sticks(positions, {"ir": heights}, target.molecule, 3), target)
    assert cost.item() == pytest.approx(0.0, abs=1e-12)
    cost.backward()
    assert positions.grad.isfinite().all()
    assert heights.grad.isfinite().all()


def test_unknown_and_dark_molecules_are_left_out():
    predicted, target = lines((4, 4, 4)), lines((4, 4, 4), seed=1)
    target.intensities["ir"][4] = torch.nan  # of the second molecule
    target.intensities["ir"][8:] = 0.0  # no intensity that could be compared by its shares, but a total
    loss = ms.objectives.StickLoss(width=40.0, floor=0.1)
    heights = predicted.intensities["ir"].requires_grad_()
    total = loss(predicted, target)
    total.backward()
    assert heights.grad.isfinite().all()
    assert (heights.grad[4:8] == 0).all()
    positions = sum(wasserstein_distance(of(predicted, m)[0], of(target, m)[0]) for m in range(3)) / 3 / 40
    (found, first), (given, true) = of(predicted, 0), of(target, 0)
    shares = wasserstein_distance(found, given, first["ir"].detach(), true["ir"]) / 40
    floor = 0.1 * true["ir"].sum() / 2
    errors = (first["ir"].sum() - true["ir"].sum()).abs() / (true["ir"].sum() + floor) + heights[8:].sum() / floor
    assert total.item() == pytest.approx(positions + shares + errors.item() / 2, rel=1e-10)


def test_molecules_do_not_leak_into_each_other_through_rounding():
    """One cumulative sum over many molecules must return to 0 at the end of each."""
    counts = (30,) * 500
    predicted, target = lines(counts, kinds=()), lines(counts, kinds=(), seed=1)
    positions = torch.cat([predicted.positions, target.positions]).float()
    shares = torch.cat([torch.full((15000,), sign / 30, dtype=torch.float32) for sign in (1, -1)])
    distances = wasserstein(positions, shares, torch.cat([predicted.molecule, target.molecule]), 500)
    exact = [wasserstein_distance(of(predicted, m)[0], of(target, m)[0]) for m in (0, 499)]
    torch.testing.assert_close(distances[[0, 499]], torch.tensor(exact, dtype=torch.float32))


def test_bad_arguments():
    for arguments, message in (((0.0,), "width must be positive"), ((1.0, 0.0), "floor must be positive")):
        with pytest.raises(ValueError, match=message):
            ms.objectives.StickLoss(*arguments)
    with pytest.raises(ValueError, match="same molecules; got 1 and 2"):
        ms.objectives.StickLoss(1.0)(lines((3,)), lines((2, 1)))
    with pytest.raises(ValueError, match=r"target has the kinds \['raman'\], of which none was predicted"):
        ms.objectives.StickLoss(1.0)(lines((3,)), lines((3,), ("raman",)))
