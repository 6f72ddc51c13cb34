"""Growth of cost with the size of the work: exponents p of cost ∝ size^p, fitted by least squares to logarithms.

A training step of the equivariant transformer (128 channels, 4 layers) over more molecules, over longer molecules
(straight alkanes, whose atoms have the same neighbours however long the chain) and over larger globules (100 atoms
a cubic nanometre, where atoms inside have more neighbours than those at the surface); the peak memory of
a training step of SpecFormer over more tokens.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

import molspectra as ms
from benchmarks.peak import peak_memory_of
from benchmarks.timing import DEVICE, MIB, interleaved

TITLE = "Growth of the cost"
TOKENS, SAMPLES = (250, 500, 1000, 2000), 20


def alkane(num_carbons: int) -> tuple[Tensor, Tensor]:
    """Return elements and positions in Å of a straight CH₂ chain with a hydrogen at each end."""
    i = torch.arange(num_carbons, dtype=torch.float32)
    side = 1 - 2 * (i % 2)
    carbons = torch.stack([1.27 * i, 0.435 * side, torch.zeros_like(i)], dim=1)
    hydrogens = [carbons + torch.stack([0 * i, 0.63 * side, sign * 0.89 + 0 * i], dim=1) for sign in (-1, 1)]
    ends = torch.stack([carbons[0] - torch.tensor([1.09, 0, 0]), carbons[-1] + torch.tensor([1.09, 0, 0])])
    pos = torch.cat([carbons, *hydrogens, ends])
    return torch.tensor([6] * num_carbons + [1] * (len(pos) - num_carbons)), pos


def globule(num_atoms: int) -> tuple[Tensor, Tensor]:
    """Return carbon atoms on the points of a cubic lattice (100 atoms per nm³) nearest to the origin."""
    points = torch.cartesian_prod(*[torch.arange(-6.0, 7.0)] * 3) * 10 / 100 ** (1 / 3)
    nearest = points.norm(dim=1).argsort(stable=True)[:num_atoms]
    return torch.full((num_atoms,), 6), points[nearest]


def make_step(molecule: str, size: int, count: int) -> Callable[[], None]:
    """Make a training step on `count` molecules of one shape."""
    z, pos = {"alkane": alkane, "globule": globule}[molecule](size)
    batch = torch.arange(count).repeat_interleave(len(z)).to(DEVICE)
    z, pos = z.repeat(count).to(DEVICE), pos.repeat(count, 1).to(DEVICE)
    torch.manual_seed(0)
    encoder = ms.encoders.EquivariantTransformer(128, num_layers=4).to(DEVICE)

    def step() -> None:
        encoder.zero_grad(set_to_none=True)
        atoms = encoder(z, pos, batch)
        (atoms.scalars.square().mean() + atoms.vectors.square().mean()).backward()

    return step


def make_spectrum_step(num_tokens: int) -> Callable[[], None]:
    torch.manual_seed(0)
    length = SAMPLES * num_tokens
    specformer = ms.spectra.SpecFormer({"ir": length}, SAMPLES, SAMPLES, hidden_channels=128, pool="mean").to(DEVICE)
    spectra = {"ir": torch.rand(4, length, device=DEVICE)}
    return lambda: specformer(spectra).embedding.square().sum().backward()


def measure(repeats: int = 3) -> list[dict]:
    """Return one row per series: sizes, measured values and exponent."""
    counts, carbons, atoms = (16, 32, 64, 128, 256), (16, 33, 66, 132, 166), (64, 125, 250, 500)
    series = {
        "molecules (butane)": ([14 * n for n in counts], [("alkane", 4, n) for n in counts]),
        "atoms of an alkane": ([3 * n + 2 for n in carbons], [("alkane", n, 8) for n in carbons]),
        "atoms of a globule": (list(atoms), [("globule", n, 2) for n in atoms]),
    }
    rows = []
    for name, (sizes, arguments) in series.items():
        seconds = interleaved({str(of): make_step(*of) for of in arguments}, repeats, DEVICE)
        costs = [seconds[str(of)] for of in arguments]
        rows.append(
            row(name.replace("molecules (butane)", "atoms in more molecules (butane)"), "time, s", sizes, costs)
        )
    memory = [peak_memory_of(make_spectrum_step, tokens) / MIB for tokens in TOKENS]
    return [*rows, row("tokens of SpecFormer", "peak MiB", TOKENS, memory)]


def row(name: str, cost: str, sizes: list[int] | tuple[int, ...], costs: list[float]) -> dict:
    exponent = np.polyfit(np.log(sizes), np.log(costs), 1)[0]
    return {
        "growing": name,
        "sizes": ", ".join(map(str, sizes)),
        "cost": cost,
        "measured": ", ".join(f"{value:.3g}" for value in costs),
        "exponent": float(exponent),
    }
