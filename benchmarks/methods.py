"""One training step of each method on the same encoder and batch, as a ratio to Coord's: time and peak memory.

python -m benchmarks.methods [--batch 32] [--repeats 5]

The encoder is the equivariant transformer at half the published size (128 channels, 4 layers), without norms that need
a matrix root. A step perturbs the molecules, runs forward and backward, and leaves the optimizer out.
"""

import argparse

import torch
from torch_geometric.data import Batch
from torch_geometric.transforms import Compose

import molspectra as ms
from benchmarks.timing import MIB, in_a_process_of_its_own, interleaved, machine, peak_memory

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
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
    "EMPP, 3 masks": lambda: ms.methods.EMPP(CHANNELS, num_masked=3),
    "EMPP, as released": lambda: ms.methods.EMPP(CHANNELS, as_released=True),
}


def make_batch(batch_size: int) -> Batch:
    prepare = Compose([ms.data.transforms.AddTopology(), ms.data.transforms.ForceConstants.generic()])
    molecules = ms.data.MiniSpectra("train", pre_transform=prepare)
    every = len(molecules) // batch_size  # they are sorted by size
    return Batch.from_data_list(list(molecules[::every][:batch_size])).to(DEVICE)


def make_step(name: str, batch: Batch):
    torch.manual_seed(0)
    encoder = ms.encoders.EquivariantTransformer(CHANNELS, num_layers=4).to(DEVICE)
    method = METHODS[name]().to(DEVICE)

    def step() -> None:
        encoder.zero_grad(set_to_none=True)
        method.zero_grad(set_to_none=True)
        method(encoder, batch)["loss"].backward()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--memory-of", choices=METHODS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    batch = make_batch(arguments.batch)
    if arguments.memory_of:
        print(peak_memory(make_step(arguments.memory_of, batch), DEVICE))
        return

    seconds = interleaved({name: make_step(name, batch) for name in METHODS}, arguments.repeats, DEVICE)
    options = ("--batch", str(arguments.batch))
    memory = {name: in_a_process_of_its_own("benchmarks.methods", "--memory-of", name, *options) for name in METHODS}

    print(f"a training step on {arguments.batch} molecules, {batch.num_nodes} atoms, float32")
    print(f"{machine(DEVICE)}; medians of {arguments.repeats} interleaved runs")
    print(f"{'':30}{'seconds':>10}{'/ Coord':>10}{'peak MiB':>10}{'/ Coord':>10}")
    for name in METHODS:
        ratios = seconds[name] / seconds["Coord"], memory[name] / memory["Coord"]
        print(f"{name:30}{seconds[name]:10.3f}{ratios[0]:10.2f}{memory[name] / MIB:10.0f}{ratios[1]:10.2f}")


if __name__ == "__main__":
    main()
