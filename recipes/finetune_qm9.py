"""Fine-tuning on a property of QM9, from scratch and from pre-trained weights, for several numbers of labels.

    python recipes/finetune_qm9.py qm9_mmff_9k.npz --label alpha --labels 500 2000 8000 --seeds 3 \
        --models coord-mini molspectra-mini --output runs/finetune_qm9

The file holds molecules and labels: `z`, `pos`, `atom_offset`, `smiles` and a value per molecule. All starts have the
same architecture, head, labels, batches and number of steps. The first 500 molecules of a fixed permutation are for
validation, the next 1000 for the test. Settings are chosen on the validation molecules, the default of `--split`.

The papers train on 110,000 molecules of QM9 with its own geometries, for all twelve targets and 300,000 steps. With
`ms.data.QM9`, a head for each target is in `examples/06_finetune_property.py`.
"""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from benchmark import load_benchmark, make_encoder
from torch_geometric.data import Batch, Data
from training import DEVICE, Schedule, draw, train

import molspectra as ms

HARTREE = {"gap", "homo", "lumo"}  # intensive energies in the file
SIZES = {"validation": 500, "test": 1000}


def labelled(path: Path, label: str) -> list[Data]:
    """Read molecules with a label `y`: in meV for orbital energies, otherwise in the unit of the file."""
    molecules, values = load_benchmark(path, [label])
    values = values[:, 0] * (1000 * ms.data.units.HARTREE if label in HARTREE else 1.0)
    for data, value in zip(molecules, values, strict=True):
        data.y = torch.tensor([value], dtype=torch.float32)
    return molecules


def split(molecules: list[Data], labels: int) -> dict[str, list[Data]]:
    """Split molecules. Training sets of different sizes are nested."""
    order = torch.randperm(len(molecules), generator=torch.Generator().manual_seed(0)).tolist()
    first, second = SIZES["validation"], sum(SIZES.values())
    parts = {"validation": order[:first], "test": order[first:second], "train": order[second : second + labels]}
    return {name: [molecules[row] for row in rows] for name, rows in parts.items()}


def make_regression(label: str, channels: int, known: list[Data]) -> ms.methods.Regression:
    """Make the regression: a mean over atoms for orbital energies, a sum for what grows with the molecule."""
    values = torch.cat([data.y for data in known])
    reduce = "mean" if label in HARTREE else "sum"
    if reduce == "mean":
        head = ms.heads.ScalarHead(channels, values.mean().item(), values.std().item(), reduce)
    else:
        counts = torch.tensor([float(data.num_nodes) for data in known])
        per_atom = values / counts
        head = ms.heads.ScalarHead(channels, per_atom.mean().item(), per_atom.std().item(), reduce)
    return ms.methods.Regression(head, label="y", loss="l1")


@torch.no_grad()
def errors(encoder, regression, molecules: list[Data]) -> torch.Tensor:
    """Compute the absolute error of each molecule."""
    encoder.eval()
    regression.eval()
    found = []
    for start in range(0, len(molecules), 128):
        batch = Batch.from_data_list(molecules[start : start + 128]).to(DEVICE)
        found.append((regression.predict(encoder, batch).property.squeeze(1) - batch.y).abs().cpu())
    return torch.cat(found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark", type=Path)
    parser.add_argument("--label", default="gap")
    parser.add_argument("--labels", type=int, nargs="+", default=[500], help="numbers of training molecules")
    parser.add_argument("--models", nargs="+", default=["coord-mini", "molspectra-mini"])
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--learning-rate", type=float, default=1e-3)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--split", choices=SIZES, default="validation")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    molecules = labelled(arguments.benchmark, arguments.label)
    results: dict[str, float] = {}
    for labels in arguments.labels:
        parts = split(molecules, labels)
        for start in ("scratch", *arguments.models):
            runs = []
            for seed in range(arguments.seeds):
                encoder = make_encoder(start, arguments.models[0], seed)
                regression = make_regression(arguments.label, encoder.out_channels, parts["train"])
                model = ms.methods.TrainingModule(encoder, regression)
                steps = arguments.steps
                schedule = Schedule(steps, arguments.learning_rate, warmup=steps // 10, decay=0.9, seed=seed)
                name = f"{arguments.label}-{labels}-{start.replace('/', '_')}-{seed}"
                folder = arguments.output / name
                train(model, lambda generator, pool=parts["train"]: draw(pool, 32, generator), schedule, folder)
                runs.append(errors(encoder, regression, parts[arguments.split]).mean().item())
                results[name] = runs[-1]
            spread = f" ± {np.std(runs, ddof=1):.3g}" if len(runs) > 1 else ""
            print(f"{arguments.label}, {labels} labels, {start}: {np.mean(runs):.4g}{spread}", flush=True)
    (arguments.output / f"{arguments.label}-{arguments.split}.json").write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
