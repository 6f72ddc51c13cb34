"""The whole training step of MolSpectra at released sizes: noise, both encoders and all losses, forward and backward.

`explicit` (tests/oracles/molspectra.py) has the same weights and consists of the explicit encoders, which whiten by SVD
and form every quantity of every edge and all attention scores, and of losses written out.
"""

from collections.abc import Callable

import torch
from torch_geometric.data import Batch

import molspectra as ms
from benchmarks.molecules import sample
from benchmarks.peak import peak_memory_of
from benchmarks.timing import DEVICE, MIB, interleaved
from tests.oracles.molspectra import explicit_losses

TITLE = "MolSpectra, the whole training step"
# bfloat16 is measured on accelerators only.
WAYS = ("molspectra", "explicit") if DEVICE.type == "cpu" else ("molspectra", "explicit", "molspectra, bf16")
AXES = ms.data.MiniSpectra.axes


def make_step(way: str, batch_size: int, whitened: bool) -> Callable[[], None]:
    """Make a step of the released configuration (whitened in every layer), or with the default norm."""
    torch.manual_seed(0)
    norm = "whitened" if whitened else "rms"
    encoder = ms.encoders.EquivariantTransformer(vector_norm=norm, norm_every_layer=True).to(DEVICE)
    patch_len, stride = {"uv_vis": 20, "ir": 50, "raman": 50}, {"uv_vis": 10, "ir": 25, "raman": 25}
    lengths = {kind: axis.length for kind, axis in AXES.items()}
    specformer = ms.spectra.SpecFormer(lengths, patch_len, stride, hidden_channels=128)
    method = ms.methods.MolSpectra(ms.methods.Coord(256), specformer).to(DEVICE)
    batch = Batch.from_data_list(sample(batch_size)).to(DEVICE)
    generator = torch.Generator(DEVICE)

    def step() -> None:
        encoder.zero_grad(set_to_none=True)
        method.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled="bf16" in way):
            losses = (explicit_losses if way == "explicit" else ours)(encoder, method, batch, generator.manual_seed(0))
        losses["loss"].backward()

    def ours(encoder, method, batch, generator):
        return method(encoder, batch, generator)

    return step


def measure(batches: tuple[int, ...] = (32, 128), repeats: int = 3) -> list[dict]:
    """Measure seconds, peak memory and molecules per second."""
    rows = []
    for whitened in (True, False):
        for batch_size in batches:
            ways = [way for way in WAYS if whitened or way != "explicit"]
            seconds = interleaved({way: make_step(way, batch_size, whitened) for way in ways}, repeats, DEVICE)
            for way in ways:
                rows.append(
                    {
                        "norm of vectors": "whitened, every layer" if whitened else "rms, every layer",
                        "batch": batch_size,
                        "implementation": way,
                        "train, s": seconds[way],
                        "× ours": seconds[way] / seconds["molspectra"],
                        "peak MiB": peak_memory_of(make_step, way, batch_size, whitened) / MIB,
                        "molecules / s": batch_size / seconds[way],
                    }
                )
    return rows
