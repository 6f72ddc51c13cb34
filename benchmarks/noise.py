"""The noise of Frad and SliDe for a batch at once, against RDKit one molecule after the other, on one core.

python -m benchmarks.noise [--batch 128] [--repeats 25]

Timed, ours: from a collated batch with its topology and force constants to its positions and targets. Timed, RDKit
(tests/oracles/rdkit_noise.py): from molecule objects to a tensor of positions and one of targets for each; for SliDe,
to its gradient. What neither includes is told beside: what is done once a data set, and collation.

`measure`, one of the tables of `python -m benchmarks`, gives the share of the released encoder's training step instead.
"""

import argparse
import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Batch, Data
from torch_geometric.transforms import Compose

import molspectra as ms
from benchmarks.timing import DEVICE, interleaved, machine
from molspectra.data.chemistry.rdkit import to_rdkit
from molspectra.data.transforms import AddTopology, ForceConstants
from tests.oracles import rdkit_noise

TITLE = "Noise: its share of the released encoder's training step"
CPU = torch.device("cpu")
FEW = 5  # runs of what takes seconds
STD, ROTATABLE_STD, NUM_SLICES = 0.04, math.radians(2), 128
FIELDS = ("bond_index", "angle_index", "torsion_index", "rotatable_index", "parent_index", "bridge")
CONSTANTS = ("bond_k", "angle_k", "torsion_k")
NOISES = {
    "Frad, torsion": ms.noise.FradNoise(STD),
    "Frad, vibration": ms.noise.FradNoise(STD, "vibration"),
    "SliDe": ms.noise.SliDeNoise(),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=25)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)

    molecules = [molecule for molecule in ms.data.MiniSpectra("train") if (molecule.z > 1).sum() >= 8]
    molecules = molecules[: arguments.batch]
    num_atoms = sum(molecule.num_nodes for molecule in molecules)
    print(f"{machine(CPU)}; medians of {arguments.repeats} interleaved runs, of {FEW} where they take seconds")
    print(f"{len(molecules)} molecules of MiniSpectra with 8 or 9 heavy atoms, {num_atoms} atoms in all")

    print("\nonce a data set")
    molecules = timed_for_each(AddTopology(), molecules)
    molecules = timed_for_each(ForceConstants.generic(), molecules)
    mols = timed_for_each(to_rdkit, molecules)
    print_collation(molecules, arguments.repeats)
    batch = Batch.from_data_list(molecules)
    print_perturbation(batch, mols, arguments.repeats)
    print_gradient(batch, molecules, mols)


def timed_for_each(transform: Callable[[Data], Any], molecules: list[Data]) -> list[Any]:
    for molecule in molecules[:8]:
        transform(molecule)  # a warm-up
    start = time.perf_counter()
    transformed = [transform(molecule) for molecule in molecules]
    name = getattr(transform, "__name__", repr(transform).split("(")[0])
    print(f"  {name:28}{1000 * (time.perf_counter() - start) / len(molecules):8.2f} ms a molecule")
    return transformed


def print_collation(molecules: list[Data], repeats: int) -> None:
    """Measure how much the fields that noises read add to collating a batch for an encoder."""
    kinds = {
        "positions alone": ("z", "pos"),
        "with what Frad reads": ("z", "pos", *FIELDS),
        "with what SliDe reads": ("z", "pos", *FIELDS, *CONSTANTS),
    }
    parts = {
        name: [Data(**{f: molecule[f] for f in fields}) for molecule in molecules] for name, fields in kinds.items()
    }
    seconds = interleaved({name: lambda p=p: Batch.from_data_list(p) for name, p in parts.items()}, repeats, CPU)
    print("\ncollating a batch")
    for name in parts:
        print(f"  {name:28}{1000 * seconds[name]:8.2f} ms")


def print_perturbation(batch: Batch, mols: list[Any], repeats: int) -> None:
    generator = np.random.default_rng(0)
    known = [rdkit_noise.rotatable_torsions(mol) for mol in mols]

    def rotate(search: bool) -> None:
        for mol, torsions in zip(mols, known, strict=True):
            torsions = rdkit_noise.rotatable_torsions(mol) if search else torsions
            turns = generator.normal(0, ROTATABLE_STD, len(torsions))
            with_coord_noise(rdkit_noise.rotate(mol, torsions, turns), generator)

    def vibrate(search: bool, repeated: bool) -> None:
        for mol, torsions in zip(mols, known, strict=True):
            torsions = rdkit_noise.rotatable_torsions(mol) if search else torsions
            changes = rdkit_noise.draw_vibration(mol, generator, torsions, repeated=repeated)
            with_coord_noise(rdkit_noise.vibrate(mol, changes), generator)

    variants = {
        "Frad, torsion": {
            "RDKit, with substructure search": lambda: rotate(search=True),
            "RDKit, rotatable bonds known": lambda: rotate(search=False),
        },
        "Frad, vibration": {
            "RDKit, as released": lambda: vibrate(search=True, repeated=True),
            "RDKit, rotatable bonds known, each turned once": lambda: vibrate(search=False, repeated=False),
        },
    }
    for name, steps in variants.items():
        compare(f"{name}: perturbing the batch", {"ours": lambda n=name: NOISES[n](batch), **steps}, repeats)


def with_coord_noise(pos: np.ndarray, generator: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """Return noisy positions and their target, in float32 as released."""
    pos = pos.astype(np.float32)
    noisy = pos + STD * generator.standard_normal(pos.shape, dtype=np.float32)
    return torch.from_numpy(noisy), torch.from_numpy(noisy - pos)


def print_gradient(batch: Batch, molecules: list[Data], mols: list[Any]) -> None:
    noise, generator = NOISES["SliDe"], np.random.default_rng(0)
    noisy = noise(batch)
    moved, terms, weights = [], [], []
    for molecule, mol, pos in zip(molecules, mols, noisy.pos.split(batch.ptr.diff().tolist()), strict=True):
        moved.append(rdkit_noise.with_positions(mol, pos.double().numpy()))
        terms.append(rdkit_noise.listed_terms(molecule))
        constants = torch.cat([molecule[k] for k in CONSTANTS]).double().numpy()
        weights.append(rdkit_noise.term_gradients(moved[-1], mol, terms[-1], constants))

    def sliced() -> np.ndarray:
        gradients = []
        for mol, listed, weight in zip(moved, terms, weights, strict=True):
            slices = generator.standard_normal((NUM_SLICES, mol.GetNumAtoms(), 3))
            gradients.append(rdkit_noise.sliced_gradient(mol, listed, weight, slices))
        return np.concatenate(gradients)

    difference = np.linalg.norm(sliced() - noisy.gradient_target.numpy(), axis=1)
    relative = np.median(difference / noisy.gradient_target.norm(dim=1).numpy())
    steps = {"ours": lambda: noise.gradient(batch, noisy.pos), "ours, noise included": lambda: noise(batch)}
    steps[f"RDKit, {NUM_SLICES} slices, least squares"] = sliced
    compare(f"SliDe: the gradient for the batch, {sum(map(len, terms))} terms", steps, FEW)
    print(f"  median difference of the two on an atom: {relative:.1%}")


def compare(title: str, steps: dict[str, Callable[[], Any]], repeats: int) -> None:
    seconds = interleaved(steps, repeats, CPU)
    print(f"\n{title}")
    for name in steps:
        ratio = f"{seconds[name] / seconds['ours']:8.1f} × ours" if name.startswith("RDKit") else ""
        print(f"  {name:48}{1000 * seconds[name]:8.2f} ms{ratio}")


def measure(batch_size: int = 128, repeats: int = 5) -> list[dict]:
    """Measure the share of the noise in a training step: forward and backward of encoder, head and loss, and noise."""
    prepare = Compose([AddTopology(), ForceConstants.generic()])
    molecules = [prepare(m) for m in ms.data.MiniSpectra("train") if (m.z > 1).sum() >= 8][:batch_size]
    batch = Batch.from_data_list(molecules).to(DEVICE)
    encoder = ms.encoders.EquivariantTransformer(vector_norm="whitened").to(DEVICE)
    method = ms.methods.Coord(encoder.out_channels, std=STD).to(DEVICE)

    def step() -> None:
        encoder.zero_grad(set_to_none=True)
        method.zero_grad(set_to_none=True)
        method(encoder, batch)["loss"].backward()

    noises = {name: lambda noise=noise: noise(batch) for name, noise in {"Coord": method.noise, **NOISES}.items()}
    seconds = interleaved({"step": step, **noises}, repeats, DEVICE)
    return [
        {
            "batch": batch_size,
            "noise": name,
            "noise, ms": 1000 * seconds[name],
            "step with it, ms": 1000 * (seconds[name] + seconds["step"] - seconds["Coord"]),
            "share": seconds[name] / (seconds[name] + seconds["step"] - seconds["Coord"]),
        }
        for name in noises
    ]


if __name__ == "__main__":
    main()
