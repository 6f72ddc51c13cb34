"""A step of SpecFormer against the explicit one: time and memory, in its released and its paper's configuration.

Both have the same weights. `explicit` (tests/oracles/specformer.py) forms (heads × tokens × tokens) scores and adds
those of one layer to the next, as the released code does. `axis` has positions in physical units, and bands instead of
all tokens in its embedding.
"""

from collections.abc import Callable

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.peak import peak_memory_of
from benchmarks.timing import DEVICE, MIB, interleaved, matmul_rate
from molspectra.spectra import IR, RAMAN, UV_VIS, UV_VIS_QM9S, SpecFormer
from tests.oracles.specformer import explicit_specformer

TITLE = "SpecFormer: 3 layers, 16 heads, UV-Vis, IR and Raman"
# bfloat16 is measured on accelerators only.
WAYS = ("molspectra", "molspectra, axis", "explicit", *(() if DEVICE.type == "cpu" else ("molspectra, bf16",)))


def make_specformer(configuration: str, position: str) -> SpecFormer:
    """Make a SpecFormer in a published configuration, or one of its sizes with positions on axes."""
    published = getattr(SpecFormer, configuration)()
    if position == "learned":
        return published
    sizes = {
        name: {kind: getattr(patcher, name) for kind, patcher in published.patchers.items()}
        for name in ("patch_len", "stride")
    }
    axes = {"uv_vis": UV_VIS if configuration == "paper" else UV_VIS_QM9S, "ir": IR, "raman": RAMAN}
    return SpecFormer(axes, **sizes, hidden_channels=published.hidden_channels, position=position)


def make_step(way: str, configuration: str, batch_size: int) -> Callable[[], None]:
    """Make a training step without the optimizer."""
    torch.manual_seed(0)
    module = make_specformer(configuration, "axis" if "axis" in way else "learned").to(DEVICE).train()
    lengths = {kind: patcher.length for kind, patcher in module.patchers.items()}
    spectra = {kind: torch.rand(batch_size, length, device=DEVICE) for kind, length in lengths.items()}

    def step() -> None:
        module.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled="bf16" in way):
            embedding = explicit_specformer(module, spectra)[1] if way == "explicit" else module(spectra).embedding
            loss = embedding.float().square().sum()
        loss.backward()

    return step


def measure(configurations: dict[str, tuple[int, ...]] | None = None, repeats: int = 5) -> list[dict]:
    """Measure seconds and peak memory, and on an accelerator the share of the bfloat16 peak rate."""
    rows = []
    for configuration, batches in (configurations or {"released": (16, 64), "paper": (16,)}).items():
        for batch_size in batches:
            steps = {way: make_step(way, configuration, batch_size) for way in WAYS}
            seconds = interleaved(steps, repeats, DEVICE)
            for way, step in steps.items():
                row = {
                    "configuration": configuration,
                    "batch": batch_size,
                    "implementation": way,
                    "train, s": seconds[way],
                    "× ours": seconds[way] / seconds["molspectra"],
                    "peak MiB": peak_memory_of(make_step, way, configuration, batch_size) / MIB,
                }
                if DEVICE.type == "cuda" and "bf16" in way:
                    with FlopCounterMode(display=False) as counter:
                        step()
                    rate = matmul_rate(DEVICE, dtype=torch.bfloat16)
                    row["share of the products' peak"] = counter.get_total_flops() / seconds[way] / rate
                rows.append(row)
    return rows
