"""InfoNCE in chunks against all rows at once: time and memory of forward and backward, by the size of the batch.

python -m benchmarks.contrast [--batches 4096 8192] [--channels 256] [--chunk-size 512] [--repeats 3]

Both directions, in float32. The memory is what a step needs beyond what is held before it, embeddings included.
"""

import argparse

import torch

from benchmarks.timing import MIB, in_a_process_of_its_own, interleaved, machine, peak_memory
from molspectra.objectives import InfoNCELoss

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
VARIANTS = ("at once", "in chunks")


def make_step(variant: str, batch_size: int, channels: int, chunk_size: int):
    torch.manual_seed(0)
    z_a, z_b = (torch.randn(batch_size, channels, device=DEVICE, requires_grad=True) for _ in range(2))
    contrast = InfoNCELoss(chunk_size=chunk_size if variant == "in chunks" else None)

    def step() -> torch.Tensor:
        z_a.grad = z_b.grad = None
        contrast(z_a, z_b).backward()
        return z_a.grad

    return step


def measure(batches=(4096, 8192), channels: int = 256, chunk_size: int = 512, repeats: int = 3) -> list[dict]:
    """A row for each batch and variant: {"batch", "variant", "seconds", "peak_bytes", "difference"}."""
    rows = []
    for batch_size in batches:
        steps = {variant: make_step(variant, batch_size, channels, chunk_size) for variant in VARIANTS}
        grads = [step() for step in steps.values()]
        difference = ((grads[0] - grads[1]).abs().max() / grads[0].abs().max()).item()
        seconds = interleaved(steps, repeats, DEVICE)
        for variant in VARIANTS:
            options = ("--batches", batch_size, "--channels", channels, "--chunk-size", chunk_size)
            memory = in_a_process_of_its_own("benchmarks.contrast", "--memory-of", variant, *map(str, options))
            rows.append(
                {
                    "batch": batch_size,
                    "variant": variant,
                    "seconds": seconds[variant],
                    "peak_bytes": memory,
                    "difference": difference,
                }
            )
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=(4096, 8192))
    parser.add_argument("--channels", type=int, default=256)
    parser.add_argument("--chunk-size", type=int, default=512)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory-of", choices=VARIANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.memory_of:
        make_step(arguments.memory_of, 64, arguments.channels, 32)()  # what libraries set up once is not counted
        step = make_step(arguments.memory_of, arguments.batches[0], arguments.channels, arguments.chunk_size)
        print(peak_memory(step, DEVICE))
        return

    rows = measure(arguments.batches, arguments.channels, arguments.chunk_size, arguments.repeats)
    print(f"InfoNCE of {arguments.channels} channels, both directions, forward + backward, float32")
    print(f"{machine(DEVICE)}; medians of {arguments.repeats} interleaved runs; chunks of {arguments.chunk_size} rows")
    print(f"largest difference between gradients, relative: {max(row['difference'] for row in rows):.1e}")
    print(f"{'batch':>8}  {'':10}{'seconds':>10}{'peak MiB':>10}")
    for row in rows:
        print(f"{row['batch']:8}  {row['variant']:10}{row['seconds']:10.3f}{row['peak_bytes'] / MIB:10.0f}")


if __name__ == "__main__":
    main()
