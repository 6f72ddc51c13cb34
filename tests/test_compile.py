"""What is promised to compile does: without a break, in few graphs for all sizes, to the numbers of eager mode.

Encoders are tested by `EncoderSuite`; here once more in training with lone atoms, of which the suite asks less.
"""

import contextlib
import copy

import pytest
import torch
from torch import nn
from torch_geometric.data import Batch, Data

import molspectra as ms
from molspectra.encoders import AtomFeatures
from molspectra.testing import assert_compiles, random_molecules

pytestmark = pytest.mark.compile

F = 8
# Atoms of each molecule. Sizes that happen to agree in the first batch would be taken for one.
SIZES = [(5, 2, 4, 6), (3, 7), (6,), (1, 1), (1,), (4, 4, 4, 4, 2)]
# Molecules beside atoms: several, one of several atoms, one of one.
ATOMS_AND_MOLECULES = 3
LENGTHS = {"ir": 200, "uv_vis": 120}
# The first traces the operators of forward and backward too. Every module is compiled with it once. Tests of the same
# module in other circumstances (evaluation, sizes, kinds of spectra, an unknown number of molecules) count graphs and
# compare numbers with the second, in less than half the time.
AOT, GRAPHS_ONLY = "aot_eager", "eager"


def leaf(*shape):
    return torch.randn(shape).requires_grad_()


def features(num_atoms):
    return AtomFeatures(leaf(num_atoms, F), leaf(num_atoms, 3, F))


def of_molecules(make):
    """What `make` says for the numbers of atoms and molecules and the molecule of each atom, of every batch."""
    return [
        make(sum(sizes), len(sizes), torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))) for sizes in SIZES
    ]


# In float64, here and below: gradients by biases ahead of a batch normalisation are sums that cancel to rounding.
def some_spectra(batch_size, missing):
    spectra = {kind: torch.rand(batch_size, length, dtype=torch.float64) for kind, length in LENGTHS.items()}
    if missing:
        spectra["ir"][batch_size // 2] = torch.nan
    return spectra


def of_spectra():
    """Batches of spectra: many, one, some of them missing, or all of a kind."""
    batches = [some_spectra(*each) for each in ((5, False), (3, True), (2, False), (1, False), (1, True), (7, True))]
    return [{"spectra": batch} for batch in batches]


def with_masks(mode):
    patchers = {kind: ms.spectra.SpectrumPatcher(length, 20, 10) for kind, length in LENGTHS.items()}
    mask = ms.spectra.PatchMask(patchers, 0.2, mode)
    return [{**call, "masked": mask(call["spectra"])} for call in of_spectra()]


def specformer(**arguments):
    return ms.spectra.SpecFormer(LENGTHS, 20, 10, 16, num_layers=2, num_heads=4, out_channels=16, **arguments)


SPECTRUM_ENCODERS = {
    "SpecFormer": (specformer(), of_spectra),
    "SpecFormer, masked intervals": (specformer(), lambda: with_masks("interval")),
    "SpecFormer, masked patches": (specformer(), lambda: with_masks("patch")),
    "SpecFormer, other norm and pooling": (specformer(norm="layer", pool="mean"), of_spectra),
    "CNNAM": (ms.spectra.CNNAM(LENGTHS, 16, (8, 16)), of_spectra),
}


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", SPECTRUM_ENCODERS)
def test_spectrum_encoders(name, training):
    module, calls = SPECTRUM_ENCODERS[name]
    with torch.set_grad_enabled(training):
        assert_compiles(module.double().train(training), calls(), backend=AOT if training else GRAPHS_ONLY)


@pytest.mark.parametrize(
    "make", [ms.spectra.SpecFormer.released, ms.spectra.SpecFormer.paper], ids=["released", "paper"]
)
def test_specformer_of_published_shape(make):
    """Of the published lengths and patches, but one layer."""
    module = make(32).double()
    del module.layers[1:]
    lengths = {kind: patcher.length for kind, patcher in module.patchers.items()}
    calls = [
        {"spectra": {kind: torch.rand(size, length).double() for kind, length in lengths.items()}} for size in (2, 3)
    ]
    calls[1]["spectra"]["raman"][0] = torch.nan
    assert_compiles(module, calls, max_graphs=1, backend=GRAPHS_ONLY)


def test_specformer_without_a_kind():
    """Which kinds there are is part of the graph: one more for each set of kinds."""
    calls = [
        {"spectra": {kind: call["spectra"][kind] for kind in kinds}}
        for kinds in (("ir",), tuple(LENGTHS))
        for call in of_spectra()[:3]
    ]
    assert_compiles(specformer().double(), calls, max_graphs=2, backend=GRAPHS_ONLY)


ENCODERS = {
    "EquivariantTransformer": lambda: ms.encoders.EquivariantTransformer(8, 1, 2, 4, norm_every_layer=True),
    "EGNN": lambda: ms.encoders.EGNN(8, num_layers=2, coordinates="every"),
    "GET": lambda: ms.encoders.GET(8, 1, 2, 4),
    "PaiNN": lambda: ms.encoders.PaiNN(8, num_layers=1, num_rbf=4),
    "IrrepsTransformer": lambda: ms.encoders.IrrepsTransformer(8, 1, 2, l_max=2, num_rbf=4),
}


@pytest.mark.parametrize("name", ENCODERS)
def test_encoders_with_first_derivatives(name):
    """Backward by weights and by positions: forces, where nothing is trained on them."""
    calls = []
    for sizes in SIZES:
        z, pos, batch = random_molecules(sizes)
        calls.append({"z": z, "pos": pos.requires_grad_(), "batch": batch, "context": leaf(len(z), 8)})
    assert_compiles(ENCODERS[name](), calls)


def test_an_encoder_with_vectors_in_its_context():
    calls = []
    for sizes in SIZES:
        z, pos, batch = random_molecules(sizes)
        calls.append({"z": z, "pos": pos, "batch": batch, "context": features(len(z))})
    assert_compiles(ENCODERS["PaiNN"](), calls)


PROPERTY_HEADS = {
    "ScalarHead": ms.heads.ScalarHead(F, mean=1.0, std=2.0),
    "ScalarHead, mean": ms.heads.ScalarHead(F, reduce="mean"),
    "ScalarHead, references": ms.heads.ScalarHead(F, references=ms.heads.AtomicReferenceEnergies([6, 8], [-1.0, -2.0])),
    "DipoleHead": ms.heads.DipoleHead(F),
    "DipoleHead, vector": ms.heads.DipoleHead(F, magnitude=False),
    "SpatialExtentHead": ms.heads.SpatialExtentHead(F),
}
MOLECULE_HEADS = {
    "MoleculePooling": ms.heads.MoleculePooling(F),
    "EnergyHead": ms.heads.EnergyHead(F),
    "MoleculeEmbeddingHead": ms.heads.MoleculeEmbeddingHead(F),
    "SpectrumHead": ms.heads.SpectrumHead(F, LENGTHS),
}
ATOM_HEADS = {
    "VectorHead": ms.heads.VectorHead(F),
    "VectorHead, as released": ms.heads.VectorHead(F, as_released=True),
    "PositionDistributionHead": ms.heads.PositionDistributionHead(F, num_polar=6),
}


@pytest.mark.parametrize("known", [True, False], ids=["number of molecules", "from batch"])
@pytest.mark.parametrize("name", [*PROPERTY_HEADS, *MOLECULE_HEADS])
def test_heads_of_molecules(name, known):
    def call(num_atoms, num_molecules, batch):
        z, pos = 6 + 2 * torch.randint(2, (num_atoms,)), leaf(num_atoms, 3)
        count = {"num_graphs": num_molecules} if known else {}
        return {"atoms": features(num_atoms), "data": Data(z=z, pos=pos, batch=batch, **count)}

    module = (PROPERTY_HEADS | MOLECULE_HEADS)[name]
    max_graphs, backend = (ATOMS_AND_MOLECULES, AOT) if known else (2, GRAPHS_ONLY)
    assert_compiles(module, of_molecules(call), max_graphs=max_graphs, backend=backend)


def noisy_pairs(atoms, molecules, batch):
    """A pair of each atom with itself or with the next one."""
    atom = torch.arange(atoms)
    pair_index = torch.stack([atom, (atom + 1).clamp(max=atoms - 1)])
    return Data(pair_index=pair_index, noisy_distance=leaf(atoms), batch=batch, num_graphs=molecules)


def test_head_of_pairs():
    calls = of_molecules(lambda *of: {"atoms": features(of[0]), "data": noisy_pairs(*of)})
    assert_compiles(ms.heads.DistanceScoreHead(F), calls)


@pytest.mark.parametrize("name", ATOM_HEADS)
def test_heads_of_atoms(name):
    assert_compiles(ATOM_HEADS[name], of_molecules(lambda num_atoms, *_: {"atoms": features(num_atoms)}))


def test_other_heads():
    rows = (5, 2, 1, 7, 4)
    forces = [{"forces": torch.randn(n, 3), "mask": torch.rand(n) > 0.5} for n in rows]
    assert_compiles(ms.methods.ForceEncoding(F, l_max=2), forces)
    assert_compiles(ms.methods.NoiseScaleClassifier(F, 5), [{"clean": leaf(n, F), "noisy": leaf(n, F)} for n in rows])
    assert_compiles(ms.layers.ProjectionMLP(F, 3), [{"features": leaf(n, F)} for n in rows])
    tokens = [{"tokens": {"ir": leaf(n, 9, F), "uv_vis": leaf(n, 11, F)}} for n in rows]
    assert_compiles(ms.spectra.PatchDecoder(F, {"ir": 4, "uv_vis": 6}), tokens)
    calls = of_molecules(
        lambda atoms, molecules, batch: {
            "atoms": features(atoms),
            "data": Data(spectrum_embedding=leaf(molecules, 7), batch=batch, num_graphs=molecules),
        }
    )
    assert_compiles(ms.heads.FusionHead(F, 7), calls, max_graphs=ATOMS_AND_MOLECULES)
    calls = of_molecules(
        lambda atoms, molecules, batch: {
            "embedding": leaf(molecules, F),
            "data": Data(pos=torch.randn(atoms, 3), batch=batch, num_graphs=molecules),
        }
    )
    # In evaluation mode: random numbers of two calls differ.
    assert_compiles(ms.methods.MoleculeCondition(F).eval(), calls, max_graphs=ATOMS_AND_MOLECULES)


def vectors(*names):
    """Objectives of a predicted and a true vector per atom."""

    def call(atoms, molecules, batch):
        others = {"batch": batch, "num_molecules": molecules}
        return {"predicted": leaf(atoms, 3), "target": torch.randn(atoms, 3), **{name: others[name] for name in names}}

    return lambda: of_molecules(call)


def scores(atoms, molecules, batch):
    return {
        "predicted": leaf(atoms),
        "target": torch.randn(atoms),
        "noise_scale": torch.rand(molecules) + 0.1,
        "molecule": batch,
    }


def views(some_invalid):
    return lambda: of_molecules(
        lambda atoms, molecules, batch: {
            "z_a": leaf(molecules, 6),
            "z_b": leaf(molecules, 6),
            "valid": torch.arange(molecules) % 3 != 1 if some_invalid else None,
        }
    )


def distributions(atoms, molecules, batch):
    head = ms.heads.PositionDistributionHead(F, num_polar=6)
    return {
        "predicted": head(features(atoms))._replace(direction=leaf(atoms, 72), radius=leaf(atoms, 128)),
        "displacement": torch.randn(atoms, 3),
        "molecule": batch,
        "num_molecules": molecules,
    }


def reconstructions():
    return [
        {
            "predicted": {"ir": leaf(size, 4, 5)},
            "target": {"ir": torch.randn(size, 4, 5)},
            "masked": {"ir": torch.rand(size, 4, 5) > 0.5},
        }
        for size in (7, 2, 1, 3, 9)
    ]


def predicted_spectra():
    targets = [{kind: of.float() for kind, of in call["spectra"].items()} for call in of_spectra()]
    return [{"predicted": {kind: leaf(*of.shape) for kind, of in each.items()}, "target": each} for each in targets]


OBJECTIVES = {
    "DenoisingLoss": (ms.objectives.DenoisingLoss(), vectors(), 2),
    "DenoisingLoss, plain": (ms.objectives.DenoisingLoss(normalize=False), vectors(), 2),
    "DenoisingLoss, as released": (ms.objectives.DenoisingLoss(as_released=True), vectors(), 2),
    **{
        f"DistanceScoreLoss, {reduce}, {as_released}": (
            ms.objectives.DistanceScoreLoss(3.0, reduce, as_released=as_released),
            lambda: of_molecules(scores),
            ATOMS_AND_MOLECULES,
        )
        for reduce, as_released in (("molecule", False), ("pair", False), ("sum", True))
    },
    "ForceMatchingLoss": (ms.objectives.ForceMatchingLoss(), vectors(), 2),
    "ForceMatchingLoss, sum": (
        ms.objectives.ForceMatchingLoss("sum"),
        vectors("batch", "num_molecules"),
        ATOMS_AND_MOLECULES,
    ),
    "InfoNCELoss": (ms.objectives.InfoNCELoss(), views(False), 2),
    "InfoNCELoss, some without a partner": (ms.objectives.InfoNCELoss(), views(True), 2),
    "InfoNCELoss, dot, learnable": (
        ms.objectives.InfoNCELoss(1.0, "dot", learnable_temperature=True),
        views(True),
        2,
    ),
    "InfoNCELoss, as released": (ms.objectives.InfoNCELoss(as_released=True), views(True), 2),
    "MaskedPatchLoss": (ms.objectives.MaskedPatchLoss(), reconstructions, 2),
    "MaskedPatchLoss, over samples": (
        ms.objectives.MaskedPatchLoss({"ir": ms.spectra.SpectrumPatcher(11, 5, 2)}),
        lambda: [
            {**call, "masked": {"ir": torch.rand(len(call["masked"]["ir"]), 11) > 0.5}} for call in reconstructions()
        ],
        2,
    ),
    "NoiseScaleLoss": (
        ms.objectives.NoiseScaleLoss(),
        lambda: [{"predicted": leaf(n, 5), "target": torch.randint(5, (n,))} for n in (7, 2, 1, 3, 9)],
        2,
    ),
    "PositionDistributionLoss": (
        ms.objectives.PositionDistributionLoss(),
        lambda: of_molecules(distributions),
        ATOMS_AND_MOLECULES,
    ),
    "PositionDistributionLoss, pairs": (
        ms.objectives.PositionDistributionLoss(as_released=True),
        lambda: of_molecules(distributions),
        ATOMS_AND_MOLECULES,
    ),
    "SliDeLoss": (ms.objectives.SliDeLoss(), vectors("batch"), 2),
    "SliDeLoss, sliced": (ms.objectives.SliDeLoss("sliced", 8), vectors("batch"), 2),
    "SpectrumLoss": (ms.objectives.SpectrumLoss(), predicted_spectra, 2),
    "TargetNormalizer": (
        ms.objectives.TargetNormalizer(),
        lambda: [{"target": torch.randn(n, 3)} for n in (7, 2, 1, 4, 9)],
        2,
    ),
    "VectorErrorLoss": (
        ms.objectives.VectorErrorLoss(),
        lambda: [{**call, "mask": torch.rand(len(call["target"])) > 0.5} for call in vectors()()],
        2,
    ),
    "WeightedSum": (
        ms.objectives.WeightedSum({"a": 1.0, "b": 0.5, "c": 0}),
        lambda: [{"losses": {name: leaf() for name in "abc"}}] * 2,
        1,
    ),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives(name):
    module, calls, max_graphs = OBJECTIVES[name]
    assert_compiles(module.train(), calls(), max_graphs=max_graphs)


METHODS = {
    "Coord": lambda: ms.methods.Coord(F),
    "EMPP": lambda: ms.methods.EMPP(F),
    "MolSpectra": lambda: ms.methods.MolSpectra(
        ms.methods.Coord(F),
        # Not with the batch normalisation, for the reason given above.
        ms.spectra.SpecFormer(MINI_SPECTRA, 100, 50, 16, 1, 4, out_channels=F, norm="layer"),
    ),
}
MINI_SPECTRA = {kind: axis.length for kind, axis in ms.data.MiniSpectra.axes.items()}


# What dynamo looks at of the features that a head gets, which are no leaves.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("name", METHODS)
def test_a_method_with_its_parts_compiled_in_place(name):
    """As the documentation says: noise and bookkeeping in eager mode; encoders, heads and objectives compiled."""
    molecules = ms.data.MiniSpectra()
    batches = [Batch.from_data_list(list(molecules[start:stop])) for start, stop in ((0, 5), (8, 9), (20, 27))]
    eager = ms.encoders.PaiNN(F, num_layers=1, num_rbf=4), METHODS[name]()
    compiled = copy.deepcopy(eager)
    parts = [compiled[0], *(part for part in compiled[1].modules() if is_compiled(part))]
    assert len(parts) >= 3
    torch.compiler.reset()
    for part in parts:
        part.compile(backend=GRAPHS_ONLY, fullgraph=True, dynamic=True)
    results = []
    settings = {"recompile_limit": ATOMS_AND_MOLECULES, "fail_on_recompile_limit_hit": True}
    with torch._dynamo.config.patch(settings):
        for encoder, method in (eager, compiled):
            generator = torch.Generator().manual_seed(0)
            losses = [method(encoder, batch, generator) for batch in batches]
            sum(each["loss"] for each in losses).backward()
            parameters = [*encoder.parameters(), *method.parameters()]
            results.append([*(loss for each in losses for loss in each.values()), *(p.grad for p in parameters)])
    for actual, expected in zip(*reversed(results), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize("name", METHODS)
def test_a_method_compiled_as_a_whole(name):
    """Graphs end before noise and masks, which stay in eager mode, and sizes become symbolic in the second batch."""
    molecules = ms.data.MiniSpectra()
    batches = [
        Batch.from_data_list(list(molecules[start:stop])) for start, stop in ((0, 5), (8, 11), (20, 27), (30, 34))
    ]
    eager = ms.methods.TrainingModule(ms.encoders.PaiNN(F, num_layers=1, num_rbf=4), METHODS[name]())
    compiled = copy.deepcopy(eager)
    torch.compiler.reset()
    step, results = torch.compile(compiled, backend=GRAPHS_ONLY), []
    # The last batch needs nothing new. One without a generator draws other numbers, which no graph keeps.
    for model, call in ((eager, eager), (compiled, step)):
        generator = torch.Generator().manual_seed(0)
        losses = [call(batch, generator) for batch in batches[:3]]
        with torch.compiler.set_stance("fail_on_recompile") if call is step else contextlib.nullcontext():
            losses.append(call(batches[3], generator))
        sum(each["loss"] for each in losses).backward()
        assert call(batches[0])["loss"] != call(batches[0])["loss"]
        results.append([*(loss for each in losses for loss in each.values()), *(p.grad for p in model.parameters())])
    for actual, expected in zip(*reversed(results), strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)


def is_compiled(part):
    return type(part).__module__.startswith(("molspectra.heads.", "molspectra.objectives.")) or isinstance(
        part, ms.spectra.SpecFormer
    )


def test_training_on_forces_is_for_eager_mode():
    """The first derivative is there, for evaluation; the second, in training, is refused with the remedy."""
    encoder, head = ms.encoders.PaiNN(F, num_layers=1, num_rbf=4), ms.heads.ScalarHead(F)
    method = ms.methods.Regression(head, label="energy", forces="forces")
    batch = Batch.from_data_list(list(ms.data.MiniSpectra()[:2]))
    expected = method.eval().predict(encoder, batch).forces
    encoder.compile(backend="aot_eager", fullgraph=True, dynamic=True)
    torch.testing.assert_close(method.predict(encoder, batch).forces, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(RuntimeError, match="which torch.compile does not support. Leave encoder and energy head"):
        method.train().predict(encoder, batch)


class Storm(nn.Module):
    def forward(self, x):
        return x * len({x.shape[0]: None})  # a hash of a size


class Dishonest(nn.Module):
    def forward(self, x):
        return x + 1e-3 if torch.compiler.is_compiling() else x


class Breaking(nn.Module):
    def forward(self, x):
        return x * x.sum().item() if x.sum() > 0 else x


@pytest.mark.parametrize(
    ("module", "error"),
    [(Storm(), "FailOnRecompileLimitHit"), (Dishonest(), "AssertionError"), (Breaking(), "Unsupported|UserError")],
)
def test_assert_compiles_notices(module, error):
    calls = [{"x": torch.rand(rows, 3)} for rows in (4, 2, 7, 5)]
    with pytest.raises(Exception) as caught:  # noqa: PT011 - the classes are not public
        assert_compiles(module, calls)
    assert type(caught.value).__name__ in error.split("|")
