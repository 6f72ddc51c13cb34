"""Linear layers and convolutions that are hooked, adapted, pruned, normalized or quantized, in every module.

Each layer must be called, and not only its weights be read.
"""

import copy
import warnings

import pytest
import torch
from torch import nn
from torch.ao.quantization import quantize_dynamic
from torch.nn.utils import parametrizations, prune, weight_norm
from torch.utils._pytree import tree_leaves
from torch_geometric.data import Batch
from torch_geometric.transforms import Compose

import molspectra as ms

F = 8
LENGTHS = {kind: axis.length for kind, axis in ms.data.MiniSpectra.axes.items()}
PREPARE = Compose([ms.data.transforms.AddTopology(), ms.data.transforms.ForceConstants.generic()])


def make_encoder():
    return ms.encoders.EquivariantTransformer(F, 2, 2, 8)


def specformer(**arguments):
    return ms.spectra.SpecFormer(LENGTHS, 200, 100, 8, 2, 2, out_channels=F, **arguments)


ENCODERS = {
    "EquivariantTransformer": make_encoder,
    "EquivariantTransformer, released": lambda: ms.encoders.EquivariantTransformer(
        F, 2, 2, 8, vector_norm="whitened", norm_every_layer=True, as_released=True
    ),
    "EGNN": lambda: ms.encoders.EGNN(F, 2, max_hops=3, coordinates="every", layer_norm=True),
    "EGNN, released": lambda: ms.encoders.EGNN(F, 2, None, coordinates="every", as_released=True),
    "GET": lambda: ms.encoders.GET(F, 2, 2, 8, norm_every_layer=True, normalize=True),
    "GET, released": lambda: ms.encoders.GET(F, 2, 2, 8, vector_norm="whitened", as_released=True),
    "PaiNN": lambda: ms.encoders.PaiNN(F, 2),
    "IrrepsTransformer": lambda: ms.encoders.IrrepsTransformer(F, 2, 2, num_filters=2),
}
SPECTRUM_ENCODERS = {
    "SpecFormer": specformer,
    "SpecFormer, mean": lambda: specformer(norm="layer", pool="mean"),
    "SpecFormer, axes and peaks": lambda: ms.spectra.SpecFormer(
        {**ms.data.MiniSpectra.axes, "peaks": ms.data.PeakAxis("peaks", "m/z", (0, 500), precursor="precursor_mz")},
        *(200, 100, 8, 2, 2, F),
        position="axis",
        num_bands=4,
    ),
    "CNNAM": lambda: ms.spectra.CNNAM(LENGTHS, F, (8, 8), reduction=1),
}
HEADS = {
    "AtomHead": lambda: ms.heads.AtomHead(F),
    "DipoleHead": lambda: ms.heads.DipoleHead(F),
    "EnergyHead": lambda: ms.heads.EnergyHead(F),
    "EnergyHead, released": lambda: ms.heads.EnergyHead(F, as_released=True),
    "EnsembleHead": lambda: ms.heads.EnsembleHead([ms.heads.ScalarHead(F), ms.heads.ScalarHead(F)]),
    "EvidentialHead": lambda: ms.heads.EvidentialHead(F),
    "GradientHead": lambda: ms.heads.GradientHead(channels=F),
    "DistanceScoreHead": lambda: ms.heads.DistanceScoreHead(F),
    "MoleculeEmbeddingHead": lambda: ms.heads.MoleculeEmbeddingHead(F),
    "MoleculePooling": lambda: ms.heads.MoleculePooling(F),
    "PositionDistributionHead": lambda: ms.heads.PositionDistributionHead(F, num_polar=4),
    "PositionDistributionHead, released": lambda: ms.heads.PositionDistributionHead(F, num_polar=4, as_released=True),
    "ScalarHead": lambda: ms.heads.ScalarHead(F),
    "SpatialExtentHead": lambda: ms.heads.SpatialExtentHead(F),
    "SpectrumHead": lambda: ms.heads.SpectrumHead(F, LENGTHS),
    "StickHead": lambda: ms.heads.StickHead(F, {"ir": ms.data.IR}, fwhm=16.0),
    "VectorHead": lambda: ms.heads.VectorHead(F),
}
METHODS = {
    "Coord": lambda: ms.methods.Coord(F),
    "Coord, gradient": lambda: ms.methods.Coord(F, prediction="gradient"),
    "Frad": lambda: ms.methods.Frad(F),
    "SliDe": lambda: ms.methods.SliDe(F),
    "EMGP": lambda: ms.methods.EMGP(F, max_std=1.0),
    "EMPP": lambda: ms.methods.EMPP(F, label="gap", label_mean=8.0, label_std=2.0),
    "SE3DDM": lambda: ms.methods.SE3DDM(F),
    "DeNS": lambda: ms.methods.DeNS(F, molecule_ratio=1.0, atom_ratio=0.5),
    "SCD": lambda: ms.methods.SCD(F),
    "MolSpectra": lambda: ms.methods.MolSpectra(ms.methods.Coord(F), specformer()),
    "NoisyNodes": lambda: ms.methods.NoisyNodes(ms.methods.Coord(F), ms.heads.ScalarHead(F), label="gap"),
    "Regression": lambda: ms.methods.Regression(ms.heads.ScalarHead(F), label="gap", forces="forces"),
    "SpectraRegression": lambda: ms.methods.SpectraRegression(ms.heads.FusionHead(F, F), specformer(), label="gap"),
    "SpectrumPrediction": lambda: ms.methods.SpectrumPrediction(ms.heads.SpectrumHead(F, LENGTHS)),
}


class Case:
    """A module, and one number that depends on everything that it computes."""

    def __init__(self, name):
        self.name = name
        self.make = {**ENCODERS, **SPECTRUM_ENCODERS, **HEADS, **METHODS}[name]
        torch.manual_seed(1)
        # Evaluation mode: statistics of one call must not change the next.
        self.module = nn.ModuleDict({"part": self.make()}).eval()
        if name in HEADS or name in METHODS:
            self.module["encoder"] = make_encoder()
        if name in ("DeNS", "NoisyNodes", "Regression"):  # the task, and gradients of forces, exist in training only
            self.module.train()

    def total(self, module, batch):
        part, generator = module["part"], torch.Generator().manual_seed(0)
        if self.name in METHODS:
            return part(module["encoder"], batch, generator)["loss"]
        if self.name in SPECTRUM_ENCODERS:
            return part({kind: batch[kind] for kind in part.kinds}).embedding.square().sum()
        if self.name in ENCODERS:
            bonds = {"bond_index": batch.bond_index} if part.needs_bonds else {}
            atoms = part(batch.z, batch.pos, batch.batch, **bonds)
            return sum(features.square().sum() for features in (atoms.scalars, atoms.vectors, *atoms.tensors))
        batch = copy.copy(batch)
        batch.pos = batch.pos.clone().requires_grad_()
        out = part(module["encoder"](batch.z, batch.pos, batch.batch), batch)
        if isinstance(out, ms.uncertainty.Distribution):
            out = (out.mean, out.std)
        return sum(tensor.square().sum() for tensor in tree_leaves(out))


class Adapted(nn.Module):
    """x ↦ layer(x) + scale · B A x, as LoRA adds it."""

    def __init__(self, layer, rank=2):
        super().__init__()
        self.layer = layer
        options = {"dtype": layer.weight.dtype}
        self.down = nn.Parameter(torch.randn(rank, layer.in_features, **options))
        self.up = nn.Parameter(0.1 * torch.randn(layer.out_features, rank, **options))
        self.scale = 1.0

    def forward(self, x):
        return self.layer(x) + self.scale * (x @ self.down.T @ self.up.T)

    def merge(self):
        """Add B A to the weight, and return the layer."""
        self.layer.weight.data += self.up.data @ self.down.data
        return self.layer


def layers(module, kinds=nn.Linear):
    return {name: part for name, part in module.named_modules() if isinstance(part, kinds)}


def put(module, name, layer):
    parent, _, attribute = name.rpartition(".")
    setattr(module.get_submodule(parent), attribute, layer)


@pytest.fixture(scope="module")
def molecules():
    batch = Batch.from_data_list(list(ms.data.MiniSpectra("train", pre_transform=PREPARE)[40:43]))
    batch.forces = torch.randn_like(batch.pos)
    batch.peaks = 400 * torch.rand(3, 5, 2)
    batch.precursor_mz = torch.full((3, 1), 450.0)
    pairs = ms.noise.DistanceNoise()(batch)
    batch.pair_index, batch.noisy_distance = pairs.pair_index, pairs.noisy_distance
    return batch


@pytest.fixture(scope="module")
def in_float64(molecules):
    return molecules.clone().apply(lambda values: values.double() if values.is_floating_point() else values)


@pytest.fixture(params=[*ENCODERS, *SPECTRUM_ENCODERS, *HEADS, *METHODS])
def case(request):
    return Case(request.param)


def test_every_encoder_and_head_is_among_the_cases():
    cases = {name.partition(",")[0] for name in (*ENCODERS, *SPECTRUM_ENCODERS, *HEADS)}
    public = {
        name
        for namespace in (ms.encoders, ms.spectra, ms.heads)
        for name in namespace.__all__
        if isinstance(value := getattr(namespace, name), type) and issubclass(value, nn.Module)
    }
    others = {
        # Parts of methods in the cases.
        *("PatchDecoder", "FusionHead"),
        # Parts of SpecFormer with axes and peaks, and of its masked modelling.
        *("AxisPositions", "FourierFeatures", "BandPooling", "PeakTokens", "PeakDecoder"),
        # Without layers of their own.
        *("BaseEncoder", "FunctionEncoder", "GraphEncoder", "PyGEncoder", "SpectrumEncoder", "SpectrumPatcher"),
        *("AtomicReferenceEnergies", "ElementScale"),
        *(name for name in public if name.endswith("Scaling")),
    }
    assert not public - cases - others


def test_hooks_fire(case, molecules):
    fired = set()
    found = layers(case.module, (nn.Linear, nn.Bilinear, nn.Conv1d))
    for name, layer in found.items():
        layer.register_forward_hook(lambda *_, name=name: fired.add(name))
    case.total(case.module, molecules)
    assert set(found) == fired


def test_adapters_act_and_learn(case, in_float64):
    module = case.module.double()
    before = case.total(module, in_float64).detach()
    for name, layer in layers(module).items():
        put(module, name, Adapted(layer))
    adapters = layers(module, Adapted)
    case.total(module, in_float64).backward()
    adapters = {
        name: adapter
        for name, adapter in adapters.items()
        # Weights whose result is not read are frozen. The vectors that enter the first layer are 0.
        if adapter.layer.weight.requires_grad and not name.endswith("layers.0.vec_proj")
    }
    for name, adapter in adapters.items():
        assert adapter.up.grad.abs().max() > 0, name
        assert adapter.down.grad.abs().max() > 0, name
    for adapter in layers(module, Adapted).values():
        adapter.scale = 0.0
    torch.testing.assert_close(case.total(module, in_float64).detach(), before)
    for name, adapter in adapters.items():
        adapter.scale = 1.0
        assert case.total(module, in_float64).detach() != before, name
        adapter.scale = 0.0


def test_adapters_equal_merged_weights(case, in_float64):
    module = case.module.double()
    for name, layer in layers(module).items():
        put(module, name, Adapted(layer))
    adapted = case.total(module, in_float64).detach()
    for name, adapter in layers(module, Adapted).items():
        put(module, name, adapter.merge())
    torch.testing.assert_close(adapted, case.total(module, in_float64).detach(), rtol=1e-6, atol=1e-9)


def hooked_weight_norm(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # deprecated, and still in use
        weight_norm(layer)


@pytest.mark.parametrize("normalize", [parametrizations.weight_norm, hooked_weight_norm], ids=["new", "old"])
def test_weight_norm_changes_nothing_and_trains(case, normalize, in_float64):
    module = case.module.double()
    before = case.total(module, in_float64).detach()
    found = layers(module, (nn.Linear, nn.Conv1d))
    for layer in found.values():
        layer.weight.data += 0.0  # a copy of its own, also where a weight is 0 at first
        normalize(layer)
    torch.testing.assert_close(case.total(module, in_float64).detach(), before, rtol=1e-6, atol=1e-9)
    train(case, module, in_float64, steps=2)


def test_pruned_layers_equal_zeroed_weights_and_train(case, in_float64):
    module = case.module.double()
    expected = copy.deepcopy(module)
    for name, layer in layers(module).items():
        prune.l1_unstructured(layer, "weight", amount=0.5)
        expected.get_submodule(name).weight.data.mul_(layer.weight_mask)
    torch.testing.assert_close(case.total(module, in_float64), case.total(expected, in_float64))
    train(case, module, in_float64, steps=2)


def test_spectral_norm_trains(case, in_float64):
    module = case.module.double()
    for layer in layers(module).values():
        parametrizations.spectral_norm(layer)
    train(case, module, in_float64, steps=2)


def train(case, module, batch, steps):
    """Take steps of gradient descent in training mode: a graph that is kept from the step before would raise."""
    module.train()
    optimizer = torch.optim.SGD(module.parameters(), lr=1e-6)
    for _ in range(steps):
        optimizer.zero_grad()
        loss = case.total(module, batch)
        loss.backward()
        optimizer.step()
        assert loss.isfinite()


@pytest.mark.filterwarnings("ignore:torch.ao.quantization is deprecated:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")
def test_dynamic_quantization(case, molecules):
    quantized = quantize_dynamic(case.module, {nn.Linear})
    assert not layers(quantized)
    if case.name in ("DeNS", "GradientHead", "Coord, gradient", "EMGP", "Regression"):
        return  # forces are gradients, and torch has none of quantized layers
    with torch.no_grad():
        expected, actual = case.total(case.module, molecules), case.total(quantized, molecules)
    torch.testing.assert_close(actual, expected, rtol=0.2, atol=1e-3)
