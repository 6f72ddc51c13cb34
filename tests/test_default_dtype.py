"""Another default dtype of torch changes no number: only new weights follow it, as those of torch.nn do."""

import ast
from pathlib import Path

import pytest
import torch
from torch_geometric.data import Data

import molspectra as ms
from molspectra.pretrained.construction_dtype import construction_dtype

PACKAGE = Path(__file__).parents[1] / "molspectra"
CREATION = {"zeros", "ones", "full", "empty", "tensor", "linspace", "logspace", "eye", "rand", "randn", "normal"}


def creations_without_dtype() -> list[str]:
    """Every call that makes a tensor of floating-point numbers in the default dtype."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
                continue
            if ast.unparse(node.func.value) != "torch" or node.func.attr not in CREATION:
                continue
            if not {keyword.arg for keyword in node.keywords} & {"dtype", None}:
                found.append(f"{path.relative_to(PACKAGE)}: {ast.unparse(node)}")
    return found


# New weights follow the default, integers have none.
ALLOWED = (
    "layers/vector_norm.py: torch.ones(channels)",
    "encoders/irreps_transformer/norm.py: torch.ones(l_max, channels)",
    "heads/degrees.py: torch.ones(l_max + 1, channels)",
    "heads/degrees.py: torch.zeros(channels)",
    "heads/spectrum.py: torch.ones(())",
    "layers/radial.py: torch.linspace(first, 1, num_rbf)",
    "layers/radial.py: torch.full((num_rbf,), (2 / num_rbf * (1 - first)) ** (-2))",
    "objectives/infonce.py: torch.tensor(math.log(temperature))",
    "spectra/peak_tokens.py: torch.empty(channels)",
    "spectra/specformer.py: torch.empty(n, hidden_channels)",
    "spectra/axis_positions.py: torch.empty(channels)",
    "testing/",
    "data/chemistry/bonds.py: torch.tensor(list(accumulate(",
    "data/datasets/geom.py: torch.tensor([_integer(",
    "data/datasets/md17.py: torch.tensor(frames)",
    "distributed.py: torch.full((1,), rows.shape[0]",
    "geometry/topology.py: torch.tensor(",
    "geometry/torsion.py: torch.full((num_molecules,), -1",
    "retrieval/masks.py: torch.tensor([0, *map(len, lists)])",
)


def test_tensors_are_made_in_a_stated_dtype():
    assert [call for call in creations_without_dtype() if not call.startswith(ALLOWED)] == []


@pytest.fixture(params=[torch.float64, torch.bfloat16], ids=str)
def other(request):
    return request.param


def tensors(result):
    """All tensors in a result, by place."""
    if isinstance(result, torch.Tensor):
        return [result]
    if isinstance(result, float):
        return [torch.tensor(result, dtype=torch.float64)]
    if isinstance(result, dict):
        return [tensor for value in result.values() for tensor in tensors(value)]
    if hasattr(result, "to_dict"):
        return tensors(result.to_dict())
    if isinstance(result, ms.encoders.AtomFeatures):
        return tensors([result.scalars, result.vectors, *result.tensors])
    if isinstance(result, list | tuple):
        return [tensor for value in result for tensor in tensors(value)]
    return []


def prepared_batch():
    prepare = ms.data.transforms.AddTopology(), ms.data.transforms.ForceConstants.generic()
    return ms.data.Collate()([prepare[1](prepare[0](molecule)) for molecule in ms.data.MiniSpectra("train")[40:48]])


def generator():
    return torch.Generator().manual_seed(3)


def specformer():
    torch.manual_seed(0)
    return ms.spectra.SpecFormer(ms.data.MiniSpectra.axes, hidden_channels=16, num_layers=2, num_heads=4).float().eval()


MODULES = {
    "EquivariantTransformer": lambda: ms.encoders.EquivariantTransformer(16, 2, 4, 8),
    "Whitened": lambda: ms.encoders.EquivariantTransformer(16, 2, 4, 8, vector_norm="whitened", norm_every_layer=True),
    "EGNN": lambda: ms.encoders.EGNN(16, 2, max_hops=2),
    "GET": lambda: ms.encoders.GET(16, 2, 4, 8),
    "GET, released": lambda: ms.encoders.GET(16, 1, 4, 8, vector_norm=None, as_released=True),
    "PaiNN": lambda: ms.encoders.PaiNN(16, 2, 8),
    "Irreps": lambda: ms.encoders.IrrepsTransformer(16, 2, 4, num_rbf=8),
}
METHODS = {
    "Coord": lambda: ms.methods.Coord(16),
    "Coord, gradient": lambda: ms.methods.Coord(16, prediction="gradient"),
    "Frad": lambda: ms.methods.Frad(16),
    "SliDe": lambda: ms.methods.SliDe(16),
    "EMGP": lambda: ms.methods.EMGP(16),
    "EMPP": lambda: ms.methods.EMPP(16),
    "SE3DDM": lambda: ms.methods.SE3DDM(16),
    "SCD": lambda: ms.methods.SCD(16),
    "DeNS": lambda: ms.methods.DeNS(16, forces="pos", molecule_ratio=1.0),
    "MaskedReconstruction": lambda: ms.methods.MaskedReconstruction(specformer()),
    "MolSpectra": lambda: ms.methods.MolSpectra(
        ms.methods.Coord(16),
        ms.spectra.SpecFormer(ms.data.MiniSpectra.axes, hidden_channels=16, num_heads=4, out_channels=16),
    ),
}
# Functions of nothing, called under both defaults. Modules are made outside, in float32.
CALLS = {
    "molecule": lambda: ms.data.from_smiles("CC(=O)O"),
    "batch": prepared_batch,
    "perceived": lambda: ms.data.perceive_bonds(torch.tensor([8, 1, 1]), ms.data.from_smiles("O").pos),
    "broadened": lambda: ms.data.broaden(
        *torch.tensor([[900.0, 3000.0], [1.0, 2.0]], dtype=torch.float32), ms.data.IR, fwhm=10.0
    ),
    "resampled": lambda: ms.data.resample(
        ms.data.MiniSpectra()[0].ir, ms.data.IR, ms.data.SpectrumAxis("ir", 600, 3000, 2, "cm^-1")
    ),
    "coord": lambda: ms.noise.CoordNoise()(prepared_batch(), generator()),
    "frad": lambda: ms.noise.FradNoise()(prepared_batch(), generator()),
    "vibrated": lambda: ms.noise.FradNoise(mode="vibration")(prepared_batch(), generator()),
    "slide": lambda: ms.noise.SliDeNoise()(prepared_batch(), generator()),
    "emgp": lambda: ms.noise.EMGPNoise()(prepared_batch(), generator()),
    "dens": lambda: ms.noise.DeNSNoise(forces=None)(prepared_batch(), generator()),
    "distances": lambda: ms.noise.DistanceNoise(ratio=0.5)(prepared_batch(), generator()),
    "mask": lambda: ms.noise.AtomMask()(prepared_batch(), generator()),
    "contrast": lambda: ms.objectives.InfoNCELoss().float()(
        *torch.randn(2, 6, 4, generator=generator(), dtype=torch.float32)
    ),
    "search": lambda: tuple(
        ms.retrieval.Index(torch.randn(200, 16, generator=generator(), dtype=torch.float32)).search(
            torch.randn(20, 16, generator=torch.Generator().manual_seed(4), dtype=torch.float32), k=5
        )[:2]
    ),
    "labels": lambda: ms.data.Collate()(
        [Data(z=torch.tensor([1]), gap=gap) for gap in (8.1234, 1)] + [Data(z=torch.tensor([2]))]
    ),
    "evaluated": lambda: evaluated(torch.arange(12.0, dtype=torch.float32).remainder(5).reshape(6, 2)),
    "accuracy": lambda: ms.retrieval.topk_accuracy(*torch.ones(2, 3, 4, dtype=torch.float32), ks=(1,)),
}


def evaluated(embeddings):
    """Return the shares, means and ranks of a retrieval in which rows are equal, so that shares are no integers."""
    result = ms.retrieval.evaluate(embeddings.relu(), torch.cat([embeddings] * 3), k=(1, 5))
    return result.rank, *[list(each) for each in (*result.hit.values(), result.mrr)], list(result.chance.values())


@pytest.mark.parametrize("name", CALLS)
@pytest.mark.filterwarnings("ignore:Guessed")
def test_calls(name, other):
    expected = tensors(CALLS[name]())
    with construction_dtype(other):
        actual = tensors(CALLS[name]())
    assert len(expected) == len(actual) > 0
    for one, another in zip(expected, actual, strict=True):
        assert one.dtype == another.dtype
        tolerance = {"rtol": 0, "atol": 0} if name != "contrast" else {"rtol": 2e-3, "atol": 0}  # a new temperature
        torch.testing.assert_close(another, one, equal_nan=True, **tolerance)


@pytest.mark.parametrize("name", MODULES)
def test_encoders(name, other):
    torch.manual_seed(0)
    encoder, batch = MODULES[name]().float().eval(), prepared_batch()
    same(lambda: encoder(batch.z, batch.pos, batch.batch, bond_index=batch.bond_index), other)


@pytest.mark.parametrize("name", METHODS)
def test_methods(name, other):
    torch.manual_seed(0)
    encoder, method, batch = MODULES["PaiNN"]().float(), METHODS[name]().float(), prepared_batch()
    same(lambda: method(encoder, batch, generator()), other)


def test_spectrum_encoder(other):
    module, batch = specformer(), prepared_batch()
    batch.ir[2:4] = torch.nan
    same(lambda: list(module(batch, return_attention=True)[:3]) + list(module(batch, return_attention=True)[3]), other)


def test_saved_and_published_weights(other, tmp_path, reference):
    encoder, batch = MODULES["EquivariantTransformer"]().eval(), prepared_batch()
    ms.pretrained.save(encoder, tmp_path / "encoder")
    path = reference / "emgp" / "checkpoint-3dmgp.safetensors"
    molecules = ["CCO", "c1ccccc1"]
    same(lambda: ms.pretrained.load(tmp_path / "encoder")(batch.z, batch.pos, batch.batch), other)
    same(lambda: ms.embed(str(path), molecules, pool="head", output="torch"), other)


def same(call, other):
    """Compare a call under both defaults: operations on equal tensors are equal to the last bit."""
    expected = tensors(call())
    with construction_dtype(other):
        actual = tensors(call())
    assert len(expected) == len(actual) > 0
    for one, another in zip(expected, actual, strict=True):
        assert one.dtype == another.dtype
        torch.testing.assert_close(another, one, rtol=0, atol=0, equal_nan=True)
