"""SpecFormer's fused residual attention against the explicit one: time and memory of a training step.

python -m benchmarks.specformer [--batch 16] [--repeats 7] [--configuration released|paper]

Both are the same network with the same weights; only the attention differs. `explicit` adds (heads × tokens × tokens)
scores of one layer to the next, as the released code does (tests/oracles/residual_attention.py).
"""

import argparse

import torch

from benchmarks.timing import MIB, in_a_process_of_its_own, interleaved, machine, peak_memory
from molspectra.spectra import SpecFormer, specformer
from molspectra.spectra.residual_attention import ScoreHistory
from tests.oracles.residual_attention import ExplicitScores

HISTORIES = {"fused": ScoreHistory, "explicit": ExplicitScores}
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def make_step(variant: str, configuration: str, batch_size: int):
    torch.manual_seed(0)
    module = getattr(SpecFormer, configuration)().to(DEVICE).train()
    lengths = {kind: patcher.length for kind, patcher in module.patchers.items()}
    spectra = {kind: torch.rand(batch_size, length, device=DEVICE) for kind, length in lengths.items()}

    def step() -> torch.Tensor:
        specformer.ScoreHistory = HISTORIES[variant]
        module.zero_grad(set_to_none=True)
        embedding = module(spectra).embedding
        embedding.square().sum().backward()
        return embedding.detach()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--configuration", choices=("released", "paper"), default="released")
    parser.add_argument("--memory-of", choices=HISTORIES, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        print(peak_memory(make_step(arguments.memory_of, arguments.configuration, arguments.batch), DEVICE))
        return

    steps = {variant: make_step(variant, arguments.configuration, arguments.batch) for variant in HISTORIES}
    difference = (steps["fused"]() - steps["explicit"]()).abs().max().item()
    seconds = interleaved(steps, arguments.repeats, DEVICE)
    options = ("--configuration", arguments.configuration, "--batch", str(arguments.batch))
    memory = {v: in_a_process_of_its_own("benchmarks.specformer", "--memory-of", v, *options) for v in HISTORIES}

    print(f"SpecFormer.{arguments.configuration}(), batch {arguments.batch}, forward + backward, float32")
    print(f"{machine(DEVICE)}; medians of {arguments.repeats} interleaved runs")
    print(f"largest difference between the embeddings: {difference:.1e}")
    print(f"{'':10}{'seconds':>10}{'peak MiB':>10}")
    for variant in HISTORIES:
        print(f"{variant:10}{seconds[variant]:10.3f}{memory[variant] / MIB:10.0f}")
    ratios = (seconds["explicit"] / seconds["fused"], memory["explicit"] / memory["fused"])
    print(f"explicit / fused: {ratios[0]:.2f} × the time, {ratios[1]:.2f} × the memory")


if __name__ == "__main__":
    main()
