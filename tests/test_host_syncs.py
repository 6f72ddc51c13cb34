"""A training step never waits for the device, but where a number of edges or pairs has to be known.

What makes a CUDA device wait is told from the operators that are called, so that it shows on a machine without one:
reading a value (`.item()`, `bool(tensor)`), shapes that depend on values (`nonzero`, boolean indexing), copying Python
numbers to the device, and decompositions that look whether they have converged. Checks of values, which run for CPU
tensors only, are switched off.
"""

import sys
import traceback

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch_geometric.data import Batch
from torch_geometric.transforms import Compose

import molspectra as ms
from molspectra.geometry import neighbors

aten = torch.ops.aten
WAITING = {
    aten._linalg_check_errors.default,
    aten._linalg_eigh.default,
    aten._linalg_svd.default,
    aten._local_scalar_dense.default,
    aten._unique2.default,
    aten.bincount.default,
    aten.equal.default,
    aten.is_nonzero.default,
    aten.lift_fresh.default,  # torch.tensor(numbers)
    aten.masked_select.default,
    aten.nonzero.default,
    aten.unique_consecutive.default,
    aten.unique_dim.default,
}
INDEXING = {aten.index.Tensor, aten.index_put.default, aten.index_put_.default}

# Where waiting is part of what is computed, by file and operator. Nothing else is excused.
INHERENT = {
    "noise/atom_mask.py nonzero": "the number of remaining bonds depends on the atom drawn",
    "noise/distance.py nonzero": "the share of the pairs of a molecule is rounded for each molecule",
    "noise/masked_pairs.py nonzero": "the number of atoms near the vacated position depends on the atom drawn",
    "geometry/alignment.py _linalg_eigh": "mode 'kabsch' of EMGPNoise: the solver reports whether it has converged",
}
# radius_graph is one operator to what traces or watches it; what it does inside has a test of its own.
INSIDE_RADIUS_GRAPH = {"unique_consecutive", "_local_scalar_dense", "index"}


class NoWaiting(TorchDispatchMode):
    """Collects calls that would wait for a device."""

    def __init__(self):
        super().__init__()
        self.found = set()

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        keywords = keywords or {}
        if waits(function, arguments, keywords):
            frames = [frame for frame in traceback.extract_stack() if "/molspectra/" in frame.filename]
            where = frames[-1].filename.rpartition("/molspectra/")[2] if frames else "elsewhere"
            self.found.add(f"{where} {function.overloadpacket.__name__}")
        return function(*arguments, **keywords)


def waits(function, arguments, keywords):
    if function in INDEXING:
        return any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in arguments[1])
    if function == aten.repeat_interleave.Tensor:
        return keywords.get("output_size") is None
    return function in WAITING


@pytest.fixture
def as_on_a_device(monkeypatch):
    """Values of CPU tensors are not looked at, as those of a device are not."""
    for name, module in list(sys.modules.items()):
        if name.startswith("molspectra") and hasattr(module, "values_are_free"):
            monkeypatch.setattr(module, "values_are_free", lambda tensor: False)


F = 16
LENGTHS = {kind: axis.length for kind, axis in ms.data.MiniSpectra.axes.items()}
PREPARE = Compose([ms.data.transforms.AddTopology(), ms.data.transforms.ForceConstants.generic()])


@pytest.fixture(scope="module")
def batch():
    molecules = ms.data.MiniSpectra("train", pre_transform=PREPARE)
    batch = Batch.from_data_list([molecules[i] for i in (0, 5, 100, 300)])
    batch.raman[2] = torch.nan
    batch.forces = torch.randn_like(batch.pos)
    batch.is_fixed = batch.z == 8
    return batch


NOISES = {
    "CoordNoise": ms.noise.CoordNoise(remove_translation=True),
    "FradNoise": ms.noise.FradNoise(),
    "FradNoise, decay": ms.noise.FradNoise(decay=0.5),
    "FradNoise, vibration": ms.noise.FradNoise(mode="vibration"),
    "FradNoise, vibration, as released": ms.noise.FradNoise(mode="vibration", as_released=True),
    "SliDeNoise": ms.noise.SliDeNoise(),  # as released it solves for its target, and waits for the solution
    "EMGPNoise": ms.noise.EMGPNoise(steps=3),
    "EMGPNoise, gaussian": ms.noise.EMGPNoise(mode="gaussian"),
    "EMGPNoise, kabsch": ms.noise.EMGPNoise(mode="kabsch"),
    "DeNSNoise": ms.noise.DeNSNoise((0.01, 0.1), 0.5, 0.5),
    "DistanceNoise": ms.noise.DistanceNoise(),
    "DistanceNoise, a share": ms.noise.DistanceNoise(ratio=0.5),
    "AtomMask": ms.noise.AtomMask(2, heavy_only=True, labels=["gap"]),
}


def specformer(**arguments):
    return ms.spectra.SpecFormer(LENGTHS, 100, 50, 16, num_layers=2, num_heads=4, out_channels=F, **arguments)


ENCODERS = {
    "EquivariantTransformer": lambda: ms.encoders.EquivariantTransformer(F, 2, 4, 8, norm_every_layer=True),
    "EquivariantTransformer, whitened": lambda: ms.encoders.EquivariantTransformer(F, 2, 4, 8, vector_norm="whitened"),
    "EGNN": lambda: ms.encoders.EGNN(F, num_layers=2, coordinates="every"),
    "GET": lambda: ms.encoders.GET(F, 2, 4, 8, norm_every_layer=True, normalize=True),
    "GET, as released": lambda: ms.encoders.GET(F, 2, 4, 8, vector_norm="whitened", as_released=True),
    "PaiNN": lambda: ms.encoders.PaiNN(F, num_layers=2, num_rbf=8),
    "IrrepsTransformer": lambda: ms.encoders.IrrepsTransformer(F, 2, 4, l_max=2, num_rbf=8),
    "Adapter": lambda: ms.encoders.Adapter(Distances(), out_channels=F, cutoff=5.0),
}


class Distances(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = torch.nn.Linear(3, F)

    def forward(self, z, pos, batch):
        return self.linear(pos) * z.unsqueeze(1)


METHODS = {
    "Coord": lambda: ms.methods.Coord(F),
    "Coord, gradient": lambda: ms.methods.Coord(F, prediction="gradient"),
    "Coord, as released": lambda: ms.methods.Coord(F, as_released=True),
    "Frad": lambda: ms.methods.Frad(F, mode="vibration"),
    "SliDe": lambda: ms.methods.SliDe(F, target="sliced", num_slices=4, coord_weight=1.0),
    "EMGP": lambda: ms.methods.EMGP(F),
    "EMGP, as released": lambda: ms.methods.EMGP(F, as_released=True),
    "EMPP": lambda: ms.methods.EMPP(F, label="gap", label_mean=8.0, label_std=2.0),
    "EMPP, as released": lambda: ms.methods.EMPP(F, num_copies=2, as_released=True),
    "SE3DDM": lambda: ms.methods.SE3DDM(F),
    "DeNS": lambda: ms.methods.DeNS(F, fixed="is_fixed"),
    "DeNS, vector": lambda: ms.methods.DeNS(F, prediction="vector"),
    "SCD": lambda: ms.methods.SCD(F),
    "SCD, as released": lambda: ms.methods.SCD(F, as_released=True),
    "SE3DDM, as released": lambda: ms.methods.SE3DDM(F, as_released=True),
    "MolSpectra": lambda: ms.methods.MolSpectra(ms.methods.Coord(F), specformer()),
    "MolSpectra, as released": lambda: ms.methods.MolSpectra(
        ms.methods.Coord(F), specformer(norm="layer", pool="mean"), as_released=True
    ),
    "MaskedReconstruction": lambda: ms.methods.MaskedReconstruction(specformer()),
    "Combined": lambda: ms.methods.Combined({"coord": (ms.methods.Coord(F), 1.0), "emgp": (ms.methods.EMGP(F), 0.5)}),
    "NoisyNodes": lambda: ms.methods.NoisyNodes(ms.methods.Coord(F), ms.heads.ScalarHead(F), label="gap"),
    "Regression, atoms": lambda: ms.methods.Regression(
        ms.heads.AtomHead(F, scale=ms.heads.ElementScale([1, 6, 7, 8, 9], [0.0] * 5, [1.0] * 5)),
        label="mulliken_charge",
        level="atom",
    ),
    "Regression, evidential": lambda: ms.methods.Regression(ms.heads.EvidentialHead(F), label="gap", loss="evidential"),
    "Regression, dipole": lambda: ms.methods.Regression(ms.heads.DipoleHead(F), label="mu"),
    "Regression, extent": lambda: ms.methods.Regression(ms.heads.SpatialExtentHead(F), label="pbe0_r2"),
    "Regression, forces": lambda: ms.methods.Regression(
        ms.heads.ScalarHead(F, references=ms.heads.AtomicReferenceEnergies([1, 6, 7, 8, 9], [-1.0] * 5)),
        label="energy",
        forces="forces",
    ),
    "SpectraRegression": lambda: ms.methods.SpectraRegression(ms.heads.FusionHead(F, F), specformer(), label="gap"),
    "SpectraRegression, CNNAM": lambda: ms.methods.SpectraRegression(
        ms.heads.FusionHead(F, F), ms.spectra.CNNAM(LENGTHS, F, (8, 8)), label="gap"
    ),
    "SpectrumPrediction": lambda: ms.methods.SpectrumPrediction(ms.heads.SpectrumHead(F, LENGTHS)),
}


def noise_step(name, device):
    return lambda batch: NOISES[name](batch)


def encoder_step(name, device):
    encoder = ENCODERS[name]().to(device)

    def step(batch):
        atoms = ms.methods.encode(encoder, batch)
        total = atoms.scalars.square().sum()
        (total if atoms.vectors is None else total + atoms.vectors.square().sum()).backward()

    return step


def method_step(name, device):
    encoder = ms.encoders.EquivariantTransformer(F, 1, 4, 8).to(device)
    method = METHODS[name]().to(device)
    optimizer = torch.optim.SGD([*encoder.parameters(), *method.parameters()], 1e-3)

    def step(batch):
        method(encoder, batch)["loss"].backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


STEPS = [(noise_step, name) for name in NOISES]
STEPS += [(encoder_step, name) for name in ENCODERS]
STEPS += [(method_step, name) for name in METHODS]
every_step = pytest.mark.parametrize(("make", "name"), STEPS, ids=[f"{make.__name__}, {name}" for make, name in STEPS])


@pytest.mark.usefixtures("as_on_a_device", "no_shape_checks")
@every_step
def test_nothing_waits(make, name, batch):
    step = make(name, "cpu")
    with NoWaiting() as mode:
        step(batch)
    assert mode.found <= set(INHERENT)


@pytest.mark.usefixtures("as_on_a_device", "no_shape_checks")
@pytest.mark.parametrize("once", [False, True])
def test_what_radius_graph_waits_for(batch, once):
    """Molecule sizes, the number of candidate pairs, and that of edges."""
    with NoWaiting() as mode:
        neighbors._radius_graph._init_fn(batch.pos, batch.batch, 5.0, False, once)
    assert {found.split()[1] for found in mode.found} <= INSIDE_RADIUS_GRAPH


@pytest.mark.cuda
@pytest.mark.parametrize(
    ("make", "name"),
    # These wait inevitably (see INHERENT), and a device does not say where.
    [step for step in STEPS if not any(word in step[1] for word in ("EMPP", "kabsch", "share"))],
    ids=lambda value: value if isinstance(value, str) else value.__name__,
)
def test_nothing_waits_on_cuda(make, name, batch, monkeypatch):
    inside = neighbors._radius_graph

    def excused(*arguments):
        torch.cuda.set_sync_debug_mode("default")
        try:
            return inside(*arguments)
        finally:
            torch.cuda.set_sync_debug_mode("error")

    batch, step = batch.clone().to("cuda"), make(name, "cuda")
    step(batch)  # libraries are loaded
    monkeypatch.setattr(neighbors, "_radius_graph", excused)
    try:
        torch.cuda.set_sync_debug_mode("error")
        step(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(
    "offence",
    [
        lambda x: x.sum().item(),
        lambda x: bool(x.any()),
        lambda x: int(x.argmax()),
        lambda x: x[x > 0],
        lambda x: x.nonzero(),
        lambda x: x.unique(),
        lambda x: x.masked_select(x > 0),
        lambda x: x.repeat_interleave(torch.ones_like(x).long()),
        lambda x: torch.tensor([1.0, 2.0], device=x.device),
        lambda x: torch.linalg.eigh(torch.diag(x)),
        lambda x: x.index_put((x > 0,), x[0]),
    ],
)
def test_the_watch_notices(offence):
    x = torch.rand(5)
    with NoWaiting() as mode:
        x.repeat_interleave(2), x[torch.arange(3)], torch.where(x > 0, x, 0.0).sum()
        assert not mode.found - {"elsewhere lift_fresh"}
        mode.found.clear()
        offence(x)
    assert mode.found
