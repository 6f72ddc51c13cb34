"""The equivariant transformer against its equations written out: time of a training step, and what bounds it.

python -m benchmarks.encoder [--batch 32] [--repeats 5]

Both have the released size and the same weights. `explicit` (tests/oracles/equivariant_transformer.py) finds neighbours
among all pairs of atoms of the batch, makes every quantity of every edge a tensor of its own, and whitens by SVD.
"""

import argparse

import torch
from torch_geometric.data import Batch

import molspectra as ms
from benchmarks.timing import interleaved, machine
from tests.oracles.equivariant_transformer import explicit_transformer

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def make_steps(batch_size: int, norm_every_layer: bool) -> tuple[dict, Batch, torch.nn.Module]:
    torch.manual_seed(0)
    encoder = ms.encoders.EquivariantTransformer(vector_norm="whitened", norm_every_layer=norm_every_layer).to(DEVICE)
    batch = Batch.from_data_list(list(ms.data.MiniSpectra("train")[:batch_size])).to(DEVICE)
    batch.pos += 0.04 * torch.randn_like(batch.pos)

    def step(forward) -> torch.Tensor:
        encoder.zero_grad(set_to_none=True)
        scalars, vectors = forward(batch.z, batch.pos, batch.batch)
        (scalars.square().mean() + vectors.square().mean()).backward()
        return scalars.detach()

    def explicit(z, pos, molecule):
        return explicit_transformer(encoder, z, pos, molecule)

    return {"ours": lambda: step(encoder), "explicit": lambda: step(explicit)}, batch, encoder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    print(
        f"EquivariantTransformer(256 channels, 8 layers, 8 heads, 64 RBF), batch {arguments.batch}, forward + backward"
    )
    print(f"{machine(DEVICE)}; medians of {arguments.repeats} interleaved runs")
    for norm_every_layer in (False, True):
        steps, batch, encoder = make_steps(arguments.batch, norm_every_layer)
        edges = ms.geometry.radius_graph(batch.pos, batch.batch, encoder.cutoff, loop=True).shape[1]
        difference = (steps["ours"]() - steps["explicit"]()).abs().max().item()
        seconds = interleaved(steps, arguments.repeats, DEVICE)
        norms = "after every layer" if norm_every_layer else "at the end"
        print(f"\nwhitened {norms}; {batch.num_nodes} atoms, {edges} edges; largest difference {difference:.1e}")
        ours, explicit = seconds["ours"], seconds["explicit"]
        print(f"  ours {ours:.3f} s, explicit {explicit:.3f} s: {explicit / ours:.2f} × the time")
    print(f"\nwhat a step spends its time on (ours, {norms}), operators by their own time:")
    with torch.profiler.profile() as profile:
        steps["ours"]()
    key = "self_device_time_total" if DEVICE.type == "cuda" else "self_cpu_time_total"
    events = sorted(profile.key_averages(), key=lambda event: getattr(event, key), reverse=True)
    total = sum(getattr(event, key) for event in events)
    for event in events[:12]:
        print(f"  {getattr(event, key) / total:6.1%}  {event.count:6d} ×  {event.key}")


if __name__ == "__main__":
    main()
