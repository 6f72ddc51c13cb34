"""Encoders inside wrappers: they are given, and asked for, what the encoder inside takes, needs and is."""

import functools

import pytest
import torch
from torch import distributed, nn
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel
from torch.optim.swa_utils import AveragedModel
from torch_geometric.data import Batch
from torch_geometric.nn import SchNet

import molspectra as ms
from molspectra._signature import attribute_of, parameters_of, unwrap
from tests.wrappers import Variadic, compiled


class Named(Variadic):
    """A wrapper that spells the first arguments out."""

    def forward(self, z, pos, batch=None, **kwargs):
        return self.inside(z, pos, batch, **kwargs)


class HoldsItTwice(Variadic):
    """The form of Lightning's Fabric: the module as it was, and prepared for its strategy."""

    def __init__(self, module):
        super().__init__(AveragedModel(module))
        self.original = module
        self.inside.module = module


class Adapted(Variadic):
    """The form of `peft`: two levels, which pass attributes on."""

    def __init__(self, module):
        super().__init__(Variadic(module))

    def __getattr__(self, name):
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(super().__getattr__("inside").inside, name)


def patched(module):
    """Replace the forward of one object, as libraries of mixed precision and of hooks do."""
    inner = module.forward
    module.forward = lambda *args, **kwargs: inner(*args, **kwargs)
    return module


WRAPPERS = {
    "variadic": Variadic,
    "named": Named,
    "held twice": HoldsItTwice,
    "adapted": Adapted,
    "averaged": AveragedModel,
    "data parallel": nn.DataParallel,
    "compiled": compiled,
    "patched": patched,
    "nested": lambda module: AveragedModel(nn.DataParallel(Variadic(module))),
    "partial": lambda module: functools.partial(Variadic(module)),
    "forward": lambda module: Variadic(module).forward,
}


@pytest.fixture(params=WRAPPERS)
def wrap(request):
    return WRAPPERS[request.param]


@pytest.fixture
def batch():
    return Batch.from_data_list(list(ms.data.MiniSpectra()[:3]))


@pytest.fixture
def one_process(tmp_path):
    distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/store", rank=0, world_size=1)
    yield
    distributed.destroy_process_group()


def transformer():
    return ms.encoders.EquivariantTransformer(16, num_layers=1, num_heads=2, num_rbf=8, max_z=36)


def egnn():
    return ms.encoders.EGNN(16, num_layers=1)


class NoBonds(nn.Module):
    """An encoder that takes the three required arguments alone."""

    def __init__(self):
        super().__init__()
        self.embedding = nn.Embedding(101, 16)

    def forward(self, z, pos, batch=None):
        return ms.encoders.AtomFeatures(self.embedding(z) * pos.norm(dim=1, keepdim=True))


def same(atoms, expected):
    torch.testing.assert_close(atoms.scalars, expected.scalars, rtol=0, atol=0)


@pytest.mark.parametrize("make", [transformer, egnn, NoBonds])
def test_a_wrapped_encoder_is_given_what_the_encoder_takes(make, wrap, batch):
    encoder = make()
    expected = ms.methods.encode(encoder, batch)
    wrapped = wrap(encoder)
    same(ms.methods.encode(wrapped, batch), expected)
    assert parameters_of(wrapped).names == parameters_of(encoder).names


def test_a_wrapped_encoder_is_asked_for_what_the_encoder_is(wrap):
    encoder = egnn()
    wrapped = wrap(encoder)
    inside = unwrap(wrapped)
    assert getattr(inside, "__self__", inside).config == encoder.config
    for name in ("needs_bonds", "max_z", "out_channels", "cutoff"):
        assert attribute_of(wrapped, name) == getattr(encoder, name)
    assert attribute_of(wrapped, "nothing of this name", 7) == 7


def test_an_attribute_of_the_wrapper_comes_first():
    wrapper = Variadic(transformer())
    wrapper.max_z = 6
    assert attribute_of(nn.DataParallel(wrapper), "max_z") == 6


@pytest.mark.parametrize("method", [ms.methods.Coord(channels=16), ms.methods.EMPP(channels=16)])
def test_every_wrapper_trains(method, wrap, batch):
    encoder = transformer()
    losses = [method(each, batch, torch.Generator().manual_seed(0))["loss"] for each in (encoder, wrap(encoder))]
    torch.testing.assert_close(losses[1], losses[0], rtol=0, atol=0)


def test_features_of_a_wrapped_encoder(wrap):
    encoder, smiles = egnn().eval(), ["CCO", "C"]
    assert (ms.embed(wrap(encoder), smiles) == ms.embed(encoder, smiles)).all()
    with pytest.warns(UserWarning, match="max_z=36"):
        ms.embed(wrap(transformer()), ["CCO", "CI"])


def test_a_context_is_refused_by_the_name_of_the_encoder(wrap, batch):
    with pytest.raises(ValueError, match="NoBonds does not take `context`"):
        ms.methods.encode(wrap(NoBonds()), batch, context=torch.zeros(batch.num_nodes, 16))


def test_calculator_of_a_wrapped_encoder(wrap):
    from ase import Atoms

    water = Atoms("OH2", [[0, 0, 0], [0.76, 0.59, 0], [-0.76, 0.59, 0]])
    finetune = ms.methods.Regression(ms.heads.ScalarHead(16), label="energy", forces="forces")
    encoder, energies = transformer(), []
    for each in (encoder, wrap(encoder)):
        if isinstance(each, nn.Module):
            water.calc = ms.ase_calculator(each, finetune)
            energies.append(water.get_potential_energy())
    assert len(set(energies)) == 1


def test_an_adapter_of_a_wrapped_model(wrap):
    encoder, z, pos = egnn(), torch.tensor([8, 1, 1]), torch.randn(3, 3)
    bonds = torch.tensor([[0, 0], [1, 2]])
    adapter = ms.encoders.Adapter(wrap(encoder))
    assert (adapter.out_channels, adapter.cutoff, adapter.max_z) == (16, encoder.cutoff, encoder.max_z)
    same(adapter(z, pos, bond_index=bonds), encoder(z, pos, bond_index=bonds))


def test_a_wrapped_model_whose_parts_an_adapter_calls_is_refused():
    schnet = SchNet(hidden_channels=16, num_interactions=1)
    with pytest.raises(ValueError, match="must be the SchNet itself.*got a AveragedModel.*wrap the adapter"):
        ms.encoders.Adapter(AveragedModel(schnet))


@pytest.mark.parametrize("wrap", [WRAPPERS[name] for name in ("averaged", "data parallel", "adapted", "compiled")])
def test_a_wrapped_spectrum_encoder(wrap, batch):
    torch.manual_seed(0)
    encoder = transformer()
    lengths = {"uv_vis": batch.uv_vis.shape[1], "ir": batch.ir.shape[1]}
    specformer = ms.spectra.SpecFormer(lengths, 50, 25, 16, num_layers=1, num_heads=2, out_channels=16)
    losses = []
    for each in (specformer, wrap(specformer)):
        torch.manual_seed(0)
        method = ms.methods.MolSpectra(ms.methods.Coord(channels=16), each)
        losses.append(method(encoder, batch, torch.Generator().manual_seed(0))["loss"])
    torch.testing.assert_close(losses[1], losses[0], rtol=0, atol=0)
    reconstruction = [
        ms.methods.MaskedReconstruction(each)(batch, None, torch.Generator().manual_seed(0))["loss"]
        for each in (specformer, wrap(specformer))
    ]
    assert all(loss.isfinite() for loss in reconstruction)
    finetune = ms.methods.SpectraRegression(ms.heads.FusionHead(16, 16), wrap(specformer), label="gap")
    assert finetune(encoder, batch)["loss"].isfinite()
    with pytest.raises(TypeError, match="got Variadic"):
        ms.methods.MolSpectra(ms.methods.Coord(channels=16), Variadic(nn.Linear(1, 1)))


def test_a_wrapped_head_of_gradients(batch):
    encoder, head = transformer(), ms.heads.GradientHead(channels=16)
    losses = []
    for each in (head, AveragedModel(head)):
        method = ms.methods.Denoising(ms.noise.CoordNoise(0.1), each, ms.objectives.DenoisingLoss())
        losses.append(method(encoder, batch, torch.Generator().manual_seed(0))["loss"])
    torch.testing.assert_close(losses[1], losses[0], rtol=0, atol=0)


@pytest.mark.parametrize("wrap", [WRAPPERS[name] for name in ("averaged", "data parallel", "compiled", "nested")])
def test_the_encoder_inside_is_saved(wrap, tmp_path, batch):
    encoder = transformer().eval()
    ms.pretrained.save(wrap(encoder), tmp_path)
    same(ms.methods.encode(ms.pretrained.load(tmp_path), batch), ms.methods.encode(encoder, batch))


@pytest.mark.parametrize("make", [transformer, egnn])
def test_wrappers_of_several_processes(make, one_process, batch):
    encoder = make()
    expected = ms.methods.encode(encoder, batch)
    parallel = DistributedDataParallel(encoder)
    assert attribute_of(parallel, "needs_bonds") == encoder.needs_bonds
    same(ms.methods.encode(parallel, batch), expected)
    assert ms.methods.Coord(channels=16)(parallel, batch)["loss"].isfinite()
    fully_shard(encoder)  # keeps the class
    assert attribute_of(encoder, "needs_bonds") == encoder.needs_bonds
    same(ms.methods.encode(encoder, batch), expected)


def test_a_layer_of_torch_is_no_model_in_a_wrapper(batch):
    class TakesAnything(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(101, 16)

        def forward(self, *args, **kwargs):
            self.given = set(kwargs)
            return ms.encoders.AtomFeatures(self.embedding(args[0]))

    encoder = TakesAnything()
    assert unwrap(encoder) is encoder
    ms.methods.encode(encoder, batch)
    assert encoder.given == {"bond_index", "bond_order"}


def test_a_module_with_two_models_is_no_wrapper():
    class Two(Variadic):
        def __init__(self):
            super().__init__(transformer())
            self.other = egnn()

    two = Two()
    assert unwrap(two) is two
    assert parameters_of(two).takes_any
