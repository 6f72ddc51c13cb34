"""A training step of each method on the same encoder and batch, as a ratio to Coord's: time and peak memory.

The encoder is the equivariant transformer at half the published size (128 channels, 4 layers), without norms that need
a matrix root. A step perturbs the molecules, runs forward and backward, and leaves the optimizer out.
"""

from collections.abc import Callable

import torch
from torch_geometric.data import Batch
from torch_geometric.transforms import Compose

import molspectra as ms
from benchmarks.peak import peak_memory_of
from benchmarks.timing import DEVICE, MIB, interleaved

TITLE = "Methods: a training step of each"
CHANNELS = 128

METHODS = {
    "Coord": lambda: ms.methods.Coord(CHANNELS),
    "Coord, gradient of an energy": lambda: ms.methods.Coord(CHANNELS, prediction="gradient"),
    "Frad, torsions": lambda: ms.methods.Frad(CHANNELS),
    "Frad, vibrations": lambda: ms.methods.Frad(CHANNELS, mode="vibration"),
    "SliDe": lambda: ms.methods.SliDe(CHANNELS),
    "SliDe with coordinate noise": lambda: ms.methods.SliDe(CHANNELS, coord_weight=1.0),
    "EMGP": lambda: ms.methods.EMGP(CHANNELS),
    "EMGP, vector": lambda: ms.methods.EMGP(CHANNELS, prediction="vector"),
    "EMPP": lambda: ms.methods.EMPP(CHANNELS),
    "EMPP, 3 masks": lambda: ms.methods.EMPP(CHANNELS, num_copies=3),
    "EMPP, as released": lambda: ms.methods.EMPP(CHANNELS, as_released=True),
}


def make_batch(batch_size: int) -> Batch:
    prepare = Compose([ms.data.transforms.AddTopology(), ms.data.transforms.ForceConstants.generic()])
    molecules = ms.data.MiniSpectra("train", pre_transform=prepare)
    every = len(molecules) // batch_size  # they are sorted by size
    return Batch.from_data_list(list(molecules[::every][:batch_size])).to(DEVICE)


def make_step(name: str, batch_size: int) -> Callable[[], None]:
    torch.manual_seed(0)
    batch = make_batch(batch_size)
    encoder = ms.encoders.EquivariantTransformer(CHANNELS, num_layers=4).to(DEVICE)
    method = METHODS[name]().to(DEVICE)

    def step() -> None:
        encoder.zero_grad(set_to_none=True)
        method.zero_grad(set_to_none=True)
        method(encoder, batch)["loss"].backward()

    return step


def measure(batch_size: int = 32, repeats: int = 5) -> list[dict]:
    """Measure seconds and peak memory, and their ratios to Coord."""
    seconds = interleaved({name: make_step(name, batch_size) for name in METHODS}, repeats, DEVICE)
    memory = {name: peak_memory_of(make_step, name, batch_size) / MIB for name in METHODS}
    return [
        {
            "method": name,
            "train, s": seconds[name],
            "time / Coord": seconds[name] / seconds["Coord"],
            "peak MiB": memory[name],
            "memory / Coord": memory[name] / memory["Coord"],
        }
        for name in METHODS
    ]
