"""FSDP2 (`fully_shard`) around encoder and SpecFormer layers: the same training as by one process."""

import warnings

import pytest
import torch
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor
from torch_geometric.data import Batch

import molspectra as ms
from tests.distributed.test_methods import SIZES, make, molecules, step_and_gradients

# All except those that differentiate an energy in the forward: FSDP2 mistakes it for the backward.
METHODS = ("Coord", "SliDe and Coord", "EMGP, vector", "EMPP", "MolSpectra", "NoisyNodes", "SpectrumPrediction")


def layers_of(step):
    """Layers of the encoder and of SpecFormer, which are sharded one by one."""
    stacks = [module for module in step.modules() if isinstance(module, torch.nn.ModuleList)]
    layers = [layer for stack in stacks for layer in stack]
    inner = {id(part) for layer in layers for part in layer.modules() if part is not layer}
    return [layer for layer in layers if id(layer) not in inner]


def train(rank, method, encoder):
    sizes = SIZES[2]
    mine = slice(sum(sizes[:rank]), sum(sizes[: rank + 1]))
    step, alone = make(method, encoder, mine), make(method, encoder, slice(None))
    # It warns that a layer returns a view, which must not be changed in place. Nothing here changes it.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
    mesh = torch.distributed.init_device_mesh("cpu", (2,))
    for layer in layers_of(step):
        fully_shard(layer, mesh=mesh)
    fully_shard(step, mesh=mesh)
    assert all(isinstance(parameter, DTensor) for parameter in step.parameters())
    optimizers = [torch.optim.Adam(module.parameters(), 1e-3) for module in (step, alone)]
    for _ in range(3):
        losses = step_and_gradients(step, Batch.from_data_list(molecules()[mine]))
        with ms.distributed.local_only():
            expected = step_and_gradients(alone, Batch.from_data_list(molecules()))
        for name, loss in losses.items():
            torch.distributed.all_reduce(loss)
            torch.testing.assert_close(loss / 2, expected[name], rtol=1e-6, atol=1e-9)
        for (name, parameter), reference in zip(step.named_parameters(), alone.parameters(), strict=True):
            if not reference.requires_grad:
                continue
            scale = reference.grad.abs().max().clamp(min=1)
            difference = (parameter.grad.full_tensor() - reference.grad).abs().max() / scale
            assert difference < 1e-6, f"{name}: {difference}"
        for optimizer in optimizers:
            optimizer.step()
            optimizer.zero_grad()


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_sharded_training_is_that_of_one_process(processes, method):
    processes.run(2, train, method, "EquivariantTransformer")


@pytest.mark.slow
@pytest.mark.parametrize("encoder", ["PaiNN", "EGNN"])
def test_other_encoders(processes, encoder):
    processes.run(2, train, "MolSpectra", encoder)
