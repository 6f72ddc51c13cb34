"""InfoNCE in chunks against all rows at once: time and memory of forward and backward, by the size of the batch.

Both directions, in float32, 256 channels, chunks of 512 rows. The memory is what a step needs beyond the embeddings.
"""

from collections.abc import Callable

import torch

from benchmarks.peak import peak_memory_of
from benchmarks.timing import DEVICE, MIB, interleaved
from molspectra.objectives import InfoNCELoss

TITLE = "InfoNCE, all rows at once and in chunks"
WAYS = ("at once", "in chunks")


def make_step(way: str, batch_size: int, chunk_size: int) -> Callable[[], torch.Tensor]:
    """Make a step that computes the gradient of one side."""
    torch.manual_seed(0)
    z_a, z_b = (torch.randn(batch_size, 256, device=DEVICE, requires_grad=True) for _ in range(2))
    contrast = InfoNCELoss(chunk_size=chunk_size if way == "in chunks" else None)

    def step() -> torch.Tensor:
        z_a.grad = z_b.grad = None
        contrast(z_a, z_b).backward()
        return z_a.grad

    return step


def measure(batches: tuple[int, ...] = (4096, 8192), chunk_size: int = 512, repeats: int = 3) -> list[dict]:
    """Measure seconds, peak memory, and the largest relative difference of gradients."""
    rows = []
    for batch_size in batches:
        steps = {way: make_step(way, batch_size, chunk_size) for way in WAYS}
        at_once, in_chunks = (step() for step in steps.values())
        seconds = interleaved(steps, repeats, DEVICE)
        for way in WAYS:
            rows.append(
                {
                    "batch": batch_size,
                    "way": way,
                    "forward + backward, s": seconds[way],
                    "peak MiB": peak_memory_of(make_step, way, batch_size, chunk_size) / MIB,
                    "difference": ((in_chunks - at_once).abs().max() / at_once.abs().max()).item(),
                }
            )
    return rows
