"""Every method on every encoder, as defined in examples/05_grid.py: it trains, or says why not."""

import runpy
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Batch, Data

import molspectra as ms
from molspectra.testing import EDGE_MOLECULES, edge_molecule

GRID = runpy.run_path(str(Path(__file__).parents[1] / "examples" / "05_grid.py"))
PREPARE = GRID["prepare"]()
REFUSED = {("Adapter(SchNet)", "EMPP")}
EDGE_SMILES = ("C#N", "[Na+].[Cl-]", "O=C=O", "[H][H]")

cells = pytest.mark.parametrize("encoder_name", GRID["ENCODERS"])
methods = pytest.mark.parametrize("method_name", GRID["METHODS"])


@pytest.fixture(scope="module")
def few():
    return [PREPARE(molecule) for molecule in ms.data.MiniSpectra("train")[40:56]]


@pytest.fixture(scope="module")
def edge_molecules():
    """Everything at the edge of what a method meets, beside an ordinary molecule."""
    molecules = [ms.data.from_smiles(smiles) for smiles in (*EDGE_SMILES, "CCO")]
    for name in EDGE_MOLECULES:
        z, pos = edge_molecule(name)
        bonds = torch.zeros(2, 0, dtype=torch.int64)
        molecules.append(Data(z=z, pos=pos, bond_index=bonds, bond_order=torch.zeros(0)))
    keys = set(molecules[-1].keys())
    plain = [Data(**{key: molecule[key] for key in keys}) for molecule in molecules]
    return Batch.from_data_list([PREPARE(molecule) for molecule in plain])


@pytest.mark.slow
@cells
@methods
def test_a_cell_trains_or_is_refused(encoder_name, method_name, few):
    torch.manual_seed(0)
    encoder, method = GRID["make_cell"](encoder_name, method_name)
    batch = Batch.from_data_list(few)
    if (encoder_name, method_name) in REFUSED:
        with pytest.raises(ValueError, match=r"vectors.*Coord, Frad, SliDe or EMGP"):
            method(encoder, batch)
        return
    method(encoder, batch, torch.Generator().manual_seed(1))  # normalisers have seen a target
    before = GRID["loss_of"](method, encoder, batch)
    GRID["train"](method, encoder, [batch], steps=30, lr=5e-3)
    assert GRID["loss_of"](method, encoder, batch) < 0.98 * before


@cells
@methods
def test_gradients_are_finite_on_edge_molecules(encoder_name, method_name, edge_molecules):
    if (encoder_name, method_name) in REFUSED:
        return
    torch.manual_seed(0)
    encoder, method = GRID["make_cell"](encoder_name, method_name)
    losses = method(encoder, edge_molecules, torch.Generator().manual_seed(0))
    losses["loss"].backward()
    assert all(loss.isfinite() for loss in losses.values())
    for name, parameter in [*encoder.named_parameters(), *method.named_parameters()]:
        assert parameter.grad is None or parameter.grad.isfinite().all(), name


@cells
@methods
def test_no_parameter_waits_for_a_gradient(encoder_name, method_name, few):
    """DistributedDataParallel would wait for it too, for ever."""
    if (encoder_name, method_name) in REFUSED:
        return
    encoder, method = GRID["make_cell"](encoder_name, method_name)
    method(encoder, Batch.from_data_list(few))["loss"].backward()
    named = [*encoder.named_parameters(), *method.named_parameters()]
    assert [name for name, parameter in named if parameter.requires_grad and parameter.grad is None] == []
