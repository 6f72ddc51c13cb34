"""Fine-tuning on a property: an encoder from scratch, after denoising, and after denoising and spectra.

All three get the same head, labels and number of steps. The pre-trained ones start from the weights that
`examples/01_two_stage_pretraining.py` saved, so run that with as many seeds as here.

    python examples/01_two_stage_pretraining.py --seeds 3
    python examples/06_finetune_property.py --seeds 3
    python examples/06_finetune_property.py --label alpha --labelled 100
    python examples/06_finetune_property.py --data qm9 --root data/qm9 --label homo

With `--data qm9` the labels come from QM9, which is downloaded unless it is at `--root`. `--label all` runs its twelve
targets, or those of MiniSpectra, in sequence.
"""

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import torch
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from tqdm import tqdm

import molspectra as ms

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
STARTS = {"from scratch": None, "denoising": "encoder_stage1", "denoising + spectra": "encoder"}
LABELS = {
    "minispectra": ("mu", "alpha", "homo", "lumo", "gap", "zpve", "u0", "u298", "h298", "g298", "cv", "pbe0_r2"),
    "qm9": ("mu", "alpha", "homo", "lumo", "gap", "r2", "zpve", "u0", "u298", "h298", "g298", "cv"),
}
# Orbital energies are intensive, total energies are sums over atoms.
INTENSIVE = {"homo", "lumo", "gap"}
TOTAL_ENERGIES = {"u0", "u298", "h298", "g298"}


def load_data(name: str, root: Path, labelled: int | None) -> dict[str, Sequence[Data]]:
    """Load training, validation and test molecules, and keep the requested number of training labels."""
    if name == "minispectra":
        splits = {split: ms.data.MiniSpectra(split) for split in ("train", "validation", "test")}
    else:
        molecules = ms.data.QM9(root)
        order = torch.randperm(len(molecules), generator=torch.Generator().manual_seed(0))
        sizes = (110_000, 10_000, len(molecules) - 120_000)  # as is common
        splits = dict(
            zip(("train", "validation", "test"), (molecules[part] for part in order.split(sizes)), strict=True)
        )
    train = splits["train"]
    if labelled is not None:
        few = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))[:labelled]
        splits["train"] = train[few]
    return splits


def make_head(label: str, channels: int, train: Sequence[Data]) -> torch.nn.Module:
    """Make the head that fits a property, scaled by the training labels."""
    values = torch.cat([molecule[label].double() for molecule in train])
    if label in TOTAL_ENERGIES:
        z = torch.cat([molecule.z for molecule in train])
        batch = torch.arange(len(train)).repeat_interleave(torch.tensor([molecule.num_nodes for molecule in train]))
        references = ms.heads.AtomicReferenceEnergies.fit(z, batch, values)
        rest = values - references(None, Data(z=z, batch=batch))
        return ms.heads.ScalarHead(channels, std=rest.std().item(), references=references)
    if label == "mu":
        return ms.heads.DipoleHead(channels, std=values.std().item())
    if label.endswith("r2"):
        return ms.heads.SpatialExtentHead(channels, values.mean().item(), values.std().item() / 10)
    reduce = "mean" if label in INTENSIVE else "sum"
    std = values.std().item() if label in INTENSIVE else values.std().item() / 10  # of the contribution per atom
    return ms.heads.ScalarHead(channels, values.mean().item(), std, reduce)


def finetune(
    encoder: torch.nn.Module,
    regression: ms.methods.Regression,
    splits: dict[str, Sequence[Data]],
    steps: int,
    seed: int,
) -> float:
    """Fine-tune, and return the mean absolute test error of the weights with the lowest validation error."""
    generator = torch.Generator().manual_seed(seed)
    loader = DataLoader(splits["train"], batch_size=32, shuffle=True, generator=generator)
    parameters = [*encoder.parameters(), *regression.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps)
    best, test, done = float("inf"), float("inf"), 0
    while done < steps:
        encoder.train()
        for batch in loader:
            loss = regression(encoder, batch.to(DEVICE))["loss"]
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
            schedule.step()
            done += 1
            if done == steps:
                break
        if done == steps or done % 200 < len(loader):
            validation = error(encoder, regression, splits["validation"])
            if validation < best:
                best, test = validation, error(encoder, regression, splits["test"])
    return test


@torch.no_grad()
def error(encoder: torch.nn.Module, regression: ms.methods.Regression, molecules: Sequence[Data]) -> float:
    """Return the mean absolute error in units of the label."""
    encoder.eval()
    errors = []
    for batch in DataLoader(molecules, batch_size=128):
        batch = batch.to(DEVICE)
        predicted = regression.predict(encoder, batch).property.squeeze(1)
        errors.append((predicted - batch[regression.label].to(predicted.dtype)).abs())
    return torch.cat(errors).mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=LABELS, default="minispectra")
    parser.add_argument("--root", type=Path, default=Path("data/qm9"))
    parser.add_argument("--label", nargs="+", default=["gap"], help='or "all"')
    parser.add_argument("--labelled", type=int, help="number of labelled training molecules (default: all)")
    parser.add_argument("--pretrained", type=Path, default=Path("runs/two_stage_pretraining"))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--steps", type=int, default=600)
    arguments = parser.parse_args()

    started = time.perf_counter()
    splits = load_data(arguments.data, arguments.root, arguments.labelled)
    labels = LABELS[arguments.data] if arguments.label == ["all"] else arguments.label
    print(f"mean absolute error on {len(splits['test'])} test molecules, {len(splits['train'])} with labels")
    for label in labels:
        for start, folder in STARTS.items():
            errors = []
            for seed in tqdm(range(arguments.seeds), f"{label}, {start}", leave=False):
                encoder = ms.pretrained.load(arguments.pretrained / f"seed{seed}" / "encoder").to(DEVICE)
                if folder is None:
                    torch.manual_seed(seed)
                    encoder = type(encoder)(**encoder.config).to(DEVICE)  # the same architecture with new weights
                else:
                    encoder = ms.pretrained.load(arguments.pretrained / f"seed{seed}" / folder).to(DEVICE)
                torch.manual_seed(seed)
                head = make_head(label, encoder.out_channels, splits["train"])
                regression = ms.methods.Regression(head, label=label, loss="l1").to(DEVICE)
                errors.append(finetune(encoder, regression, splits, arguments.steps, seed))
            spread = f" ± {torch.tensor(errors).std().item():.4f}" if len(errors) > 1 else ""
            print(f"{label:10} {start:20} {sum(errors) / len(errors):.4f}{spread}")
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes on {DEVICE}")


if __name__ == "__main__":
    main()
