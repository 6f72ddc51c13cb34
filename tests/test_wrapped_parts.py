"""Tasks, heads and other parts of methods inside wrappers, and functions around encoders, give what they give bare."""

import functools

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torch_geometric.data import Batch

import molspectra as ms
from molspectra.methods.pretext_task import run_task
from tests.wrappers import Variadic, compiled

F = 16
AXES = {"uv_vis": ms.data.MiniSpectra.axes["uv_vis"]}


WRAPPERS = {
    "variadic": Variadic,
    "averaged": AveragedModel,
    "data parallel": nn.DataParallel,
    "compiled": compiled,
    "nested": lambda module: AveragedModel(nn.DataParallel(Variadic(module))),
}


@pytest.fixture(params=WRAPPERS)
def wrap(request):
    return WRAPPERS[request.param]


def labeled(molecules):
    batch = Batch.from_data_list(molecules)
    batch.y, batch.forces = torch.ones(len(molecules), 1), torch.zeros_like(batch.pos)
    return batch


@pytest.fixture(scope="module")
def batch():
    topology, constants = ms.data.transforms.AddTopology(), ms.data.transforms.ForceConstants.generic()
    return labeled([constants(topology(molecule)) for molecule in ms.data.MiniSpectra()[40:43]])


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return ms.encoders.PaiNN(F, num_layers=1, num_rbf=8)


def specformer():
    return ms.spectra.SpecFormer(AXES, 200, 100, F, num_layers=1, num_heads=4, out_channels=F)


def scalar():
    return ms.heads.ScalarHead(F)


M = ms.methods
METHODS = {
    "Coord": lambda: M.Coord(F),
    "Coord of a gradient": lambda: M.Coord(F, prediction="gradient"),
    "Frad": lambda: M.Frad(F),
    "SliDe": lambda: M.SliDe(F, coord_weight=1.0),
    "EMGP": lambda: M.EMGP(F),
    "EMGP of vectors": lambda: M.EMGP(F, prediction="vector"),
    "EMPP": lambda: M.EMPP(F),
    "SE3DDM": lambda: M.SE3DDM(F),
    "DeNS": lambda: M.DeNS(F, molecule_ratio=1.0, prediction="vector"),
    "SCD": lambda: M.SCD(F, as_released=True),
    "MolSpectra": lambda: M.MolSpectra(M.Coord(F), specformer()),
    "MolSpectra of several": lambda: M.MolSpectra(
        M.Combined({"empp": (M.EMPP(F), 1.0), "coord": (M.Coord(F), 1.0)}), specformer()
    ),
    "MaskedReconstruction": lambda: M.MaskedReconstruction(specformer()),
    "NoisyNodes": lambda: M.NoisyNodes(M.Coord(F), scalar()),
    "NoisyNodes, two passes": lambda: M.NoisyNodes(M.EMPP(F), scalar(), separate=True, forces="forces"),
    "Regression": lambda: M.Regression(scalar(), forces="forces", force_head=ms.heads.VectorHead(F)),
    "Regression of atoms": lambda: M.Regression(
        ms.heads.AtomHead(F, scale=ms.heads.ElementScale([1, 6, 7, 8], [0.0] * 4, [1.0] * 4)),
        label="mulliken_charge",
        level="atom",
    ),
    "evidential": lambda: M.Regression(ms.heads.EvidentialHead(F), loss="evidential"),
    "ensemble": lambda: M.Regression(ms.heads.EnsembleHead([scalar(), scalar()])),
    "SpectraRegression": lambda: M.SpectraRegression(ms.heads.FusionHead(F, F), specformer()),
    "SpectrumPrediction": lambda: M.SpectrumPrediction(ms.heads.SpectrumHead(F, AXES)),
    "Combined": lambda: M.Combined(
        {"coord": (M.Coord(F), 1.0), "spectra": (M.MaskedReconstruction(specformer()), 1.0)}
    ),
}


def losses_of(method, encoder, batch):
    torch.manual_seed(1)
    return method(encoder, batch, torch.Generator().manual_seed(0))


def built(name):
    torch.manual_seed(0)
    return METHODS[name]()


def parts_of(module):
    """Paths of the parts that a caller can pass or exchange: heads, tasks, objectives, spectrum encoders."""
    containers = nn.ModuleList | nn.ModuleDict | ms.methods.Regression
    for name, part in module.named_children():
        nested = isinstance(part, containers | ms.methods.PretextTask | ms.heads.GradientHead | ms.heads.SpectrumHead)
        if not isinstance(part, containers):
            yield name
        if nested:
            yield from (f"{name}.{inner}" for inner in parts_of(part))


@pytest.mark.parametrize("name", METHODS)
def test_every_part_of_a_method_in_a_wrapper(name, encoder, batch):
    expected = losses_of(built(name), encoder, batch)
    paths = ["", *parts_of(built(name))]
    for number, path in enumerate(paths):
        method = built(name)
        wrap = list(WRAPPERS.values())[number % 3]
        if path:
            owner, _, child = path.rpartition(".")
            modules = method.get_submodule(owner)._modules
            modules[child] = wrap(modules[child])
        else:
            method = wrap(method)
        losses = losses_of(method, encoder, batch)
        assert losses.keys() == expected.keys()
        for term, loss in losses.items():
            torch.testing.assert_close(loss, expected[term], rtol=1e-5, atol=1e-6)


def test_what_is_made_of_a_wrapped_task(wrap, encoder, batch):
    task, masks = wrap(M.Coord(F)), wrap(M.EMPP(F, num_copies=2))
    with pytest.raises(ValueError, match="got num_copies=2"):
        M.MolSpectra(masks, specformer())
    with pytest.raises(ValueError, match="EMPP removes atoms"):
        M.NoisyNodes(masks, scalar())
    combined = M.Combined({"masks": (masks, 1.0), "coord": (task, 0.5)})
    assert (combined.num_copies, combined.preserves_atoms, combined.representative) == (1, True, "coord")
    assert M.MolSpectra(wrap(combined), wrap(specformer()))(encoder, batch)["loss"].isfinite()
    assert M.NoisyNodes(task, scalar())(encoder, batch)["loss"].isfinite()
    assert M.TrainingModule(None, wrap(M.MaskedReconstruction(specformer())))(batch)["loss"].isfinite()
    with pytest.raises(TypeError, match="which Coord calls; got None"):
        M.TrainingModule(None, task)


def test_a_wrapped_spectrum_head(wrap, encoder, batch):
    head = ms.heads.SpectrumHead(F, AXES)
    method = M.SpectrumPrediction(wrap(head))
    assert method(encoder, batch).keys() == {"loss", "uv_vis"}
    with pytest.raises(ValueError, match=r"none of the spectra \['uv_vis'\]"):
        method(encoder, Batch.from_data_list([ms.data.from_smiles("C")]))
    head.bands["uv_vis"] = wrap(head.bands["uv_vis"])
    head.start_from({"uv_vis": batch.uv_vis}, torch.tensor([3, 4, 5]))
    assert method.predict(encoder, batch)["uv_vis"].shape == batch.uv_vis.shape
    assert head.lengths == {"uv_vis": AXES["uv_vis"].length}


def test_hooks_and_wrappers_of_a_task_take_part(encoder, batch):
    method, seen = M.MolSpectra(M.Coord(F), specformer()), []
    method.task.register_forward_hook(
        lambda module, inputs, losses: seen.append(losses) or {**losses, "loss": 2 * losses["loss"]}
    )
    losses = losses_of(method, encoder, batch)
    torch.testing.assert_close(losses["denoising"], 2 * seen[0]["loss"])


class Doubled(M.Coord):
    def forward(self, encoder, batch, generator=None):
        return {"loss": 2 * super().forward(encoder, batch, generator)["loss"]}


class Silent(M.Coord):
    def forward(self, encoder, batch, generator=None):
        return {"loss": batch.pos.sum()}


class Foreign(nn.Module):
    """A task of another base."""

    num_copies = 1

    def __init__(self):
        super().__init__()
        self.inner = M.Coord(F)

    def forward(self, encoder, batch, generator=None):
        raise AssertionError

    def run(self, encoder, batch, generator=None):
        return self.inner.run(encoder, batch, generator)


def test_tasks_of_users(encoder, batch):
    results = []
    for cls in (lambda: M.Coord(F), lambda: Doubled(F), lambda: Silent(F), Foreign):
        torch.manual_seed(0)
        results.append(run_task(cls(), encoder, batch, torch.Generator().manual_seed(0)))
    coord, doubled, silent, foreign = (result.loss for result in results)
    torch.testing.assert_close(doubled, 2 * coord)
    torch.testing.assert_close(foreign, coord)
    assert silent.isfinite()
    assert all(result.atoms.scalars.shape == (len(batch.z), F) for result in results)


def test_figures_of_wrapped_methods(wrap, batch):
    plots = pytest.importorskip("molspectra.plots")
    pytest.importorskip("matplotlib")
    method, propane = M.MaskedReconstruction(wrap(specformer())), ms.data.from_smiles("CCC")
    assert len(plots.reconstruction(wrap(method), batch)) == len(AXES)
    assert len(plots.noise(wrap(M.Coord(F)), propane, copies=3)) == 4


def egnn():
    torch.manual_seed(0)
    return ms.encoders.EGNN(F, num_layers=1, max_hops=2).eval()


NEEDS = egnn()  # a function of a notebook finds its encoder here


def of_the_notebook(z, pos, batch, **others):
    return NEEDS(z, pos, batch, **others)


class Held:
    def __init__(self, encoder):
        self.encoder = encoder

    def __call__(self, z, pos, batch, bond_index=None):
        return self.encoder(z, pos, batch, bond_index=bond_index)

    def features(self, z, pos, batch, bond_index=None):
        return self.encoder(z, pos, batch, bond_index=bond_index)


def functions(encoder):
    def inner(*arguments, **keywords):
        return encoder(*arguments, **keywords)

    return {
        "partial": functools.partial(encoder),
        "partial of a wrapper": functools.partial(Variadic(encoder), context=None),
        "lambda": lambda z, pos, batch, **others: encoder(z, pos, batch, **others),
        "named": lambda z, pos, batch, bond_index=None: encoder(z, pos, batch, bond_index=bond_index),
        "function of a function": lambda z, pos, batch, **others: inner(z, pos, batch, **others),
        "container": lambda z, pos, batch, **others: {"a": [encoder]}["a"][0](z, pos, batch, **others),
        "global": of_the_notebook,
        "object": Held(encoder),
        "method": Held(encoder).features,
        "forward": encoder.forward,
    }


@pytest.mark.parametrize("name", functions(NEEDS))
def test_a_function_around_an_encoder_that_needs_bonds(name):
    from ase import Atoms

    encoder = NEEDS
    function = functions(encoder)[name]
    expected = ms.embed(encoder, ["CCO", "C"])
    assert (ms.embed(function, ["CCO", "C"]) == expected).all()
    water = Atoms("OH2", [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
    with pytest.warns(UserWarning, match="were guessed from positions"):
        assert (ms.embed(function, [water]) == ms.embed(encoder, [water])).all()
    torch.manual_seed(0)
    finetune = M.Regression(scalar(), label="energy", forces="forces")
    energies = []
    for each in (encoder, function):
        water.calc = ms.ase_calculator(each, finetune)
        with pytest.warns(UserWarning, match="Guessed 2 bonds"):
            energies.append(water.get_potential_energy())
    assert energies[0] == energies[1]
    adapter = ms.encoders.FunctionEncoder(function, out_channels=F)
    assert adapter.needs_bonds
    assert (ms.embed(adapter, ["CCO", "C"]) == expected).all()


def test_the_encoder_in_a_function_is_evaluated_in_its_dtype_and_stays_as_it_was():
    class WithDropout(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.dropout = egnn().double(), nn.Dropout(0.5)

        def forward(self, z, pos, batch=None, **others):
            atoms = self.encoder(z, pos, batch, **others)
            return ms.encoders.AtomFeatures(self.dropout(atoms.scalars))

    encoder = WithDropout().train()
    expected = ms.embed(encoder, ["CCO"])
    assert expected.dtype == "float64"
    assert (ms.embed(lambda z, pos, batch, **others: encoder(z, pos, batch, **others), ["CCO"]) == expected).all()
    head = nn.Sequential(nn.Dropout(0.5))
    pooled = [ms.embed(encoder, ["CCO"], lambda atoms, data: head(atoms.pool(data.batch))) for _ in range(2)]
    assert (pooled[0] == expected).all()
    assert (pooled[1] == expected).all()
    assert encoder.training
    assert head.training


def test_a_function_that_passes_no_bonds_on_is_told_so():
    with pytest.raises(ValueError, match="by its own keyword bond_index="):
        ms.embed(lambda z, pos, batch: NEEDS(z, pos, batch), ["CCO"])


def test_methods_are_no_encoders(wrap):
    for method in (M.Coord(F), M.Regression(scalar())):
        with pytest.raises(
            TypeError, match=f"got a {type(method).__name__}. Pass the encoder that it was trained with"
        ):
            ms.embed(wrap(method), ["C"])


def test_the_regression_of_a_calculator_is_found_or_asked_for(wrap, encoder):
    from ase import Atoms

    water = Atoms("OH2", [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
    finetune = M.Regression(scalar(), label="energy", forces="forces")
    energies = []
    for method in (finetune, wrap(finetune)):
        water.calc = ms.ase_calculator(wrap(encoder), method)
        energies.append((water.get_potential_energy(), water.get_forces().sum()))
    assert energies[0] == energies[1]
    with pytest.raises(TypeError, match="got a NoisyNodes. Of NoisyNodes pass method.regression"):
        ms.ase_calculator(encoder, M.NoisyNodes(M.Coord(F), scalar()))
