"""A step of the equivariant transformer at its released size, against the same network by others and other networks.

All see the same molecules of MiniSpectra and neighbours within 5 Å, and have 256 channels and 8 layers. `explicit`
(tests/oracles/equivariant_transformer.py) has the same weights and makes every quantity of every edge a tensor of its
own; `torchmd-net` is the same network in the package of its authors (pip install torchmd-net; left out where it is not
installed); PyG's SchNet and ViSNet run through `encoders.Adapter`. None has a norm of its vectors.
"""

import importlib.util
from collections.abc import Callable
from functools import partial
from importlib.metadata import version

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.nn.models import SchNet, ViSNet

import molspectra as ms
from benchmarks.molecules import sample
from benchmarks.peak import peak_memory_of
from benchmarks.timing import DEVICE, MIB, interleaved, matmul_rate, memory_size
from tests.oracles.equivariant_transformer import explicit_transformer

TITLE = "Equivariant transformer: 256 channels, 8 layers, 8 heads, 64 radial functions"
TITLE_MODES = "Equivariant transformer, compiled and under autocast"
TITLE_PRODUCTS = "Equivariant transformer, batch 64, and the matrix products in its training step"


def make_batch(batch_size: int) -> Batch:
    """Return elements and positions alone."""
    return Batch.from_data_list([Data(z=molecule.z, pos=molecule.pos) for molecule in sample(batch_size)]).to(DEVICE)


def make_ours(**arguments) -> ms.encoders.EquivariantTransformer:
    torch.manual_seed(0)
    return ms.encoders.EquivariantTransformer(vector_norm=None, **arguments).to(DEVICE)


def make_torchmd() -> nn.Module:
    from torchmdnet.models.torchmd_et import TorchMD_ET

    return TorchMD_ET(
        256, num_layers=8, num_rbf=64, num_heads=8, trainable_rbf=False, vector_cutoff=True, max_num_neighbors=128
    ).to(DEVICE)


def make_schnet() -> nn.Module:
    return ms.encoders.Adapter(SchNet(256, 256, 8, 64, cutoff=5.0)).to(DEVICE)


def make_visnet() -> nn.Module:
    visnet = ViSNet(lmax=1, num_heads=8, num_layers=8, hidden_channels=256, num_rbf=64, cutoff=5.0)
    return ms.encoders.Adapter(visnet).to(DEVICE)


def plain(module: nn.Module) -> Callable[[Batch], tuple[Tensor, ...]]:
    return lambda batch: module(batch.z, batch.pos, batch.batch)[:2]


def features(encoder: nn.Module) -> Callable[[Batch], tuple[Tensor, ...]]:
    def forward(batch: Batch) -> tuple[Tensor, ...]:
        atoms = encoder(batch.z, batch.pos, batch.batch)
        return (atoms.scalars,) if atoms.vectors is None else (atoms.scalars, atoms.vectors)

    return forward


def explicit(encoder: ms.encoders.EquivariantTransformer) -> Callable[[Batch], tuple[Tensor, ...]]:
    return lambda batch: tuple(explicit_transformer(encoder, batch.z, batch.pos, batch.batch))[:2]


IMPLEMENTATIONS: dict[str, tuple[Callable[[], nn.Module], Callable]] = {
    "molspectra": (make_ours, features),
    "molspectra, checkpointed": (partial(make_ours, checkpoint=True), features),
    "explicit": (make_ours, explicit),
    "PyG SchNet": (make_schnet, features),
    "PyG ViSNet": (make_visnet, features),
}
if importlib.util.find_spec("torchmdnet"):
    IMPLEMENTATIONS[f"torchmd-net {version('torchmd-net')}"] = (make_torchmd, plain)
# The same module in other modes: compiled, and under autocast.
MODES = {
    "molspectra, compiled": (True, False),
    "molspectra, bf16": (False, True),
    "molspectra, compiled, bf16": (True, True),
}


def make_step(name: str, batch_size: int, training: bool = True) -> Callable[[], None]:
    """Make a training step without optimizer, or an evaluation, of one implementation or mode."""
    compiled, half = MODES.get(name, (False, False))
    make, forward_of = IMPLEMENTATIONS["molspectra" if name in MODES else name]
    module, batch = make(), make_batch(batch_size)
    called = torch.compile(module, dynamic=True) if compiled else module
    forward = forward_of(called)

    def train() -> None:
        module.zero_grad(set_to_none=True)
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=half):
            loss = sum(output.float().square().mean() for output in forward(batch))
        loss.backward()

    @torch.no_grad()
    def infer() -> None:
        with torch.autocast(DEVICE.type, torch.bfloat16, enabled=half):
            forward(batch)

    return train if training else infer


def measure(batches: tuple[int, ...] = (32, 128, 512, 1024), repeats: int = 2) -> list[dict]:
    """Measure seconds, peak memory and molecules per second of every implementation that fits into memory."""
    rows: list[dict] = []
    names = list(IMPLEMENTATIONS)
    for batch_size in batches:
        of_last = {row["implementation"]: row["peak MiB"] * batch_size / row["batch"] for row in rows}
        names = [name for name in names if of_last.get(name, 0) < 0.75 * memory_size(DEVICE) / MIB]
        rows += compare(names, batch_size, repeats)
    return rows


def measure_modes(batch_size: int = 32, repeats: int = 3) -> list[dict]:
    """Measure our encoder in eager mode, compiled, and under autocast."""
    return compare(["molspectra", *MODES], batch_size, repeats)


def compare(names: list[str], batch_size: int, repeats: int) -> list[dict]:
    # Memory first, while this process holds little of it.
    memory = {name: peak_memory_of(make_step, name, batch_size) / MIB for name in names}
    train = interleaved({name: make_step(name, batch_size) for name in names}, repeats, DEVICE)
    infer = interleaved({name: make_step(name, batch_size, training=False) for name in names}, repeats, DEVICE)
    return [
        {
            "batch": batch_size,
            "implementation": name,
            "train, s": train[name],
            "× ours": train[name] / train["molspectra"],
            "inference, s": infer[name],
            "peak MiB": memory[name],
            "molecules / s": batch_size / train[name],
        }
        for name in names
    ]


def measure_products(batch_size: int = 64, repeats: int = 5) -> list[dict]:
    """Measure the share of the peak rate of matrix products that a training step attains, and their number."""
    from torch.utils.flop_counter import FlopCounterMode

    same_network = [name for name in IMPLEMENTATIONS if "PyG" not in name]
    steps = {name: make_step(name, batch_size) for name in same_network}
    seconds, rate = interleaved(steps, repeats, DEVICE), matmul_rate(DEVICE)
    rows = []
    for name, step in steps.items():
        with FlopCounterMode(display=False) as counter:
            step()
        products = counter.get_total_flops()
        rows.append(
            {
                "implementation": name,
                "train, s": seconds[name],
                "× ours": seconds[name] / seconds["molspectra"],
                "GFLOP in products": products / 1e9,
                "share of the products' peak": products / seconds[name] / rate,
                "peak, GFLOP / s": rate / 1e9,
            }
        )
    return rows
