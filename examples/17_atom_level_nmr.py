"""Chemical shifts of carbon atoms: a property of each atom, with labels for some.

A PaiNN reads the DFT geometry of a molecule, and an `AtomHead` gives each carbon atom a shift in ppm. Molecules come
from the training data of CASCADE (Guan et al., Chem. Sci. 2021, doi:10.1039/D1SC03343C) in one .npz of flat arrays:
`z`, `pos` (Å), `shift_dft`, `shift_measured` (ppm, NaN where absent), `atom_offset` and `smiles`.

    python examples/17_atom_level_nmr.py cascade_nmr.npz --seeds 3

One model learns DFT shifts. Another, from its weights, learns measured ones, as CASCADE does. The weights of the lowest
validation error are tested once.
"""

import argparse
import copy
import hashlib
import time

import numpy as np
import torch
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader

import molspectra as ms

CHANNELS = 64
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
PUBLISHED = """\
Published for CASCADE, on the 500 molecules of its own test split (https://nova.chem.colostate.edu/cascade/about/):
DFT 1.26 ppm (DFTNN), measured 1.25 ppm (ExpNN-dft)."""


def load(path: str) -> dict[str, list[Data]]:
    """Load molecules and split them by a hash of the SMILES, 80 : 10 : 10. Only carbon atoms keep their labels."""
    arrays = dict(np.load(path))
    splits: dict[str, list[Data]] = {"train": [], "validation": [], "test": []}
    for row, smiles in enumerate(arrays["smiles"].tolist()):
        atoms = slice(*arrays["atom_offset"][row : row + 2])
        z = torch.tensor(arrays["z"][atoms], dtype=torch.int64)
        labels = {
            name: torch.tensor(arrays[f"shift_{name}"][atoms]).masked_fill(z != 6, torch.nan)
            for name in ("dft", "measured")
        }
        tenth = int(hashlib.sha256(smiles.encode()).hexdigest(), 16) % 10
        split = {0: "test", 1: "validation"}.get(tenth, "train")
        splits[split].append(Data(z=z, pos=torch.tensor(arrays["pos"][atoms]), **labels))
    return splits


def loader(molecules: list[Data], label: str, batch_size: int, shuffle: bool = False) -> DataLoader:
    labelled = [molecule for molecule in molecules if not molecule[label].isnan().all()]
    return DataLoader(labelled, batch_size, shuffle=shuffle)


def train(model: ms.methods.TrainingModule, splits: dict[str, list[Data]], epochs: int, rate: float) -> None:
    """Train, and leave the averaged weights of the epoch with the lowest validation error in the model."""
    label = model.method.label
    batches, asked = loader(splits["train"], label, 16, shuffle=True), loader(splits["validation"], label, 64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=rate, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs=epochs, steps_per_epoch=len(batches))
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(0.995))
    best, kept = float("inf"), None
    for epoch in range(epochs):
        for batch in batches:
            loss = model(batch.to(DEVICE))["loss"]
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()
            average.update_parameters(model)
        error = evaluate(average.module, asked)
        print(f"  {label}, epoch {epoch + 1}: validation {error:.3f} ppm", flush=True)
        if error < best:
            best, kept = error, copy.deepcopy(average.module.state_dict())
    model.load_state_dict(kept)


def evaluate(model: ms.methods.TrainingModule, batches: DataLoader) -> float:
    return model.method.evaluate(model.encoder, (batch.to(DEVICE) for batch in batches)).mae


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("path", help="cascade_nmr.npz")
    parser.add_argument("--epochs", type=int, nargs=2, default=(10, 5), help="for DFT and for measured shifts")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="split to evaluate on")
    arguments = parser.parse_args()

    started = time.perf_counter()
    splits = load(arguments.path)
    errors: dict[str, list[float]] = {"dft": [], "measured": []}
    for seed in range(arguments.seeds):
        torch.manual_seed(seed)
        encoder = ms.encoders.PaiNN(CHANNELS, num_layers=3, cutoff=3.0).to(DEVICE)
        model = None
        for label, epochs, rate in zip(errors, arguments.epochs, (1e-3, 5e-4), strict=True):
            z, shifts = (torch.cat([molecule[name] for molecule in splits["train"]]) for name in ("z", label))
            if model is None:
                head = ms.heads.AtomHead(CHANNELS, scale=ms.heads.ElementScale.fit(z, shifts))
            method = ms.methods.Regression(head, label=label, level="atom", loss="l1").to(DEVICE)
            model = ms.methods.TrainingModule(encoder, method)
            train(model, splits, epochs, rate)
            errors[label].append(evaluate(model, loader(splits[arguments.split], label, 64)))
            print(f"seed {seed}, {label}: {errors[label][-1]:.3f} ppm on the {arguments.split} split", flush=True)
    for label, values in errors.items():
        spread = f" ± {torch.tensor(values).std().item():.3f}" if len(values) > 1 else ""
        print(f"{label:10}{sum(values) / len(values):.3f}{spread} ppm on the {arguments.split} split")
    print(f"{PUBLISHED}\n{(time.perf_counter() - started) / 60:.1f} minutes on {DEVICE}")


if __name__ == "__main__":
    main()
