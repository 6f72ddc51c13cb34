"""Comparison of objectives: Coord, Frad, SliDe, 3D-EMGP and EMPP in one training loop.

All objectives start from the same weights and use the same batches and budget. They differ in one line: the noise and
the target. Frad and SliDe move torsions and bonds, and read topology and force constants that a transform adds once per
molecule. 3D-EMGP differentiates an energy. EMPP predicts the position of a masked atom.

    python examples/03_swap_the_objective.py
    python examples/03_swap_the_objective.py --force-field uff      force constants of UFF, needs RDKit
"""

import argparse
import math
import time
from pathlib import Path

import evaluation
import torch
from torch_geometric.loader import DataLoader
from torch_geometric.transforms import Compose
from tqdm import tqdm

import molspectra as ms

CHANNELS = 64
BATCH_SIZE = 64
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
SPLIT = "validation"
PICTURED = "CCOc1oncc1N"

METHODS = {
    "Coord": lambda: ms.methods.Coord(CHANNELS, remove_translation=True),
    "Frad, torsions": lambda: ms.methods.Frad(CHANNELS, rotatable_std=math.radians(20), remove_translation=True),
    "Frad, vibrations": lambda: ms.methods.Frad(CHANNELS, mode="vibration", remove_translation=True),
    "SliDe": lambda: ms.methods.SliDe(CHANNELS),
    "3D-EMGP": lambda: ms.methods.EMGP(CHANNELS, max_std=1.0),
    "EMPP": lambda: ms.methods.EMPP(CHANNELS),
}
# The noise of the other objectives leaves no recognisable molecule.
PICTURED_NOISES = ("Coord", "Frad, torsions", "Frad, vibrations", "SliDe")


def make_encoder() -> ms.encoders.EquivariantTransformer:
    """Make a small version of the published encoder (256 channels, 8 layers)."""
    return ms.encoders.EquivariantTransformer(
        CHANNELS, num_layers=3, num_heads=8, num_rbf=32, norm_every_layer=True
    ).to(DEVICE)


def train(method, encoder, molecules, epochs: int, seed: int, title: str) -> None:
    """Minimise the loss of any method."""
    parameters = [*encoder.parameters(), *method.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=1e-2)
    loader = DataLoader(molecules, BATCH_SIZE, shuffle=True, generator=torch.Generator().manual_seed(seed))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, epochs=epochs, steps_per_epoch=len(loader))
    generator = torch.Generator(DEVICE).manual_seed(seed)
    for _ in tqdm(range(epochs), title):
        for batch in loader:
            loss = method(encoder, batch.to(DEVICE), generator)["loss"]
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
            schedule.step()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--force-field", choices=("generic", "uff"), default="generic", help="force constants of SliDe")
    parser.add_argument("--output", type=Path, default=Path("runs/swap_the_objective"))
    arguments = parser.parse_args()

    started = time.perf_counter()
    force_constants = ms.data.transforms.ForceConstants(arguments.force_field)
    pre_transform = Compose([ms.data.transforms.AddTopology(), force_constants])
    molecules = ms.data.MiniSpectra("train", pre_transform=pre_transform)
    torch.manual_seed(arguments.seed)
    results = {"the mean gap": evaluation.guess_error(SPLIT)}
    results["random weights"] = evaluation.gap_error(make_encoder(), SPLIT)
    methods = {}
    for name, make in METHODS.items():
        torch.manual_seed(arguments.seed)
        encoder, method = make_encoder(), make().to(DEVICE)
        train(method, encoder, molecules, arguments.epochs, arguments.seed, name.ljust(16))
        results[name] = evaluation.gap_error(encoder, SPLIT)
        if name != "EMPP":  # EMPP predicts no vector per atom
            results[name] |= evaluation.denoising_error(encoder, method, SPLIT, pre_transform)
        methods[name] = method

    print(f"{f'on the {SPLIT} split':24}{'denoising':>12}{'gap':>12}{'gap, 10 folds':>16}")
    for name, result in results.items():
        denoising = f"{result['denoising']:.3f}" if "denoising" in result else ""
        print(f"{name:24}{denoising:>12}{result['gap']:>9.3f} eV{result['gap, 10 folds']:>13.3f} eV")
    print("denoising: squared error, 1 by predicting none; gap: by ridge regression on frozen features")

    arguments.output.mkdir(parents=True, exist_ok=True)
    molecule = next(molecule for molecule in ms.data.MiniSpectra("all") if molecule.smiles == PICTURED)
    panels = ms.plots.noise({name: methods[name] for name in PICTURED_NOISES}, pre_transform(molecule))
    panels[0].figure.figure.savefig(arguments.output / "noises.png", dpi=130)
    print(f"\n{(time.perf_counter() - started) / 60:.1f} minutes on {DEVICE}; picture in {arguments.output}/")


if __name__ == "__main__":
    main()
