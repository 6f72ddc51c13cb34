"""Under autocast to bfloat16 every method has losses in float32, near those without it, and trains to the same end."""

import copy

import pytest
import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import Compose

import molspectra as ms

F = 16
LENGTHS = {kind: axis.length for kind, axis in ms.data.MiniSpectra.axes.items()}
PREPARE = Compose([ms.data.transforms.AddTopology(), ms.data.transforms.ForceConstants.generic()])


def specformer():
    # Samples in units in which log10(1 + s) resolves them.
    scaling = {kind: ms.data.Log10Scaling(unit) for kind, unit in {"uv_vis": 0.1, "ir": 0.01, "raman": 0.01}.items()}
    return ms.spectra.SpecFormer(LENGTHS, 100, 50, 16, 1, 4, out_channels=F, scaling=scaling)


METHODS = {
    "Coord": lambda: ms.methods.Coord(F),
    "Coord, gradient": lambda: ms.methods.Coord(F, prediction="gradient"),
    "Frad": lambda: ms.methods.Frad(F),
    "SliDe": lambda: ms.methods.SliDe(F, coord_weight=1.0),
    "EMGP": lambda: ms.methods.EMGP(F, max_std=1.0),
    "EMPP": lambda: ms.methods.EMPP(F, label="gap", label_mean=8.0, label_std=2.0),
    "SE3DDM": lambda: ms.methods.SE3DDM(F),
    "SCD": lambda: ms.methods.SCD(F),
    "DeNS": lambda: ms.methods.DeNS(F, molecule_ratio=1.0),
    "MolSpectra": lambda: ms.methods.MolSpectra(ms.methods.Coord(F), specformer()),
    "NoisyNodes": lambda: ms.methods.NoisyNodes(ms.methods.Coord(F), ms.heads.ScalarHead(F), label="gap"),
    "Regression, atoms": lambda: ms.methods.Regression(ms.heads.AtomHead(F), label="mulliken_charge", level="atom"),
    "Regression, evidential": lambda: ms.methods.Regression(
        ms.heads.EvidentialHead(F, mean=8.0, std=2.0), label="gap", loss="evidential"
    ),
    "Regression, dipole": lambda: ms.methods.Regression(ms.heads.DipoleHead(F), label="mu"),
    "Regression, extent": lambda: ms.methods.Regression(ms.heads.SpatialExtentHead(F), label="pbe0_r2"),
    "Regression, forces": lambda: ms.methods.Regression(ms.heads.ScalarHead(F), label="gap", forces="forces"),
    "SpectraRegression": lambda: ms.methods.SpectraRegression(ms.heads.FusionHead(F, F), specformer(), label="gap"),
    "SpectrumPrediction": lambda: ms.methods.SpectrumPrediction(ms.heads.SpectrumHead(F, LENGTHS)),
}


@pytest.fixture(scope="module")
def batch():
    molecules = ms.data.MiniSpectra("train", pre_transform=PREPARE)
    batch = Batch.from_data_list([molecules[i] for i in range(0, 400, 50)])
    batch.raman[2] = torch.nan
    batch.forces = torch.randn_like(batch.pos)
    return batch


@pytest.mark.parametrize("name", METHODS)
def test_losses_are_in_float32_and_close(name, batch):
    encoder, method = ms.encoders.EquivariantTransformer(F, 2, 4, 8), METHODS[name]()
    exact = copy.deepcopy(method)(encoder, batch, torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        losses = method(encoder, batch, torch.Generator().manual_seed(0))
    losses["loss"].backward()
    for part, loss in losses.items():
        assert loss.dtype in (torch.float32, torch.float64), part
        torch.testing.assert_close(
            loss, exact[part], rtol=0.02, atol=0.0, msg=lambda text, part=part: f"{part}: {text}"
        )
    for parameter in [*encoder.parameters(), *method.parameters()]:
        assert parameter.grad is None or parameter.grad.isfinite().all()


def train(dtype, steps):
    """The losses of the last fifth of the steps, averaged, of the second stage of a very small MolSpectra."""
    torch.manual_seed(0)
    encoder = ms.encoders.EquivariantTransformer(32, 2, 4, 8, norm_every_layer=True)
    contrast = ms.objectives.InfoNCELoss(temperature=0.2)
    spectra = ms.spectra.SpecFormer({"uv_vis": LENGTHS["uv_vis"]}, 40, 20, 32, 2, 4, out_channels=32)
    method = ms.methods.MolSpectra(ms.methods.Coord(32, std=0.3), spectra, contrast=contrast)
    parameters = [*encoder.parameters(), *method.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3)
    loader = DataLoader(ms.data.MiniSpectra("train")[::8], batch_size=16, shuffle=True, drop_last=True)
    generator, history = torch.Generator().manual_seed(0), []
    while len(history) < steps:
        for batch in loader:
            with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
                losses = method(encoder, batch, generator)
            optimizer.zero_grad()
            losses["loss"].backward()
            torch.nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
            history.append({part: loss.detach() for part, loss in losses.items()})
    first, last = history[: steps // 5], history[-steps // 5 :]
    return [{part: float(sum(each[part] for each in some)) / len(some) for part in losses} for some in (first, last)]


@pytest.mark.slow
def test_training_ends_at_the_same_losses():
    """Within 2 %, after 100 steps in which they have fallen; benchmarks/precision.py trains the demo's models."""
    before, exact = train(torch.float32, 100)
    _, rounded = train(torch.bfloat16, 100)
    for part, loss in exact.items():
        assert loss < 0.97 * before[part], f"{part} has not fallen: this would compare nothing"
        assert rounded[part] == pytest.approx(loss, rel=0.02), part
