"""Frozen features on true QM9: ridge regression of DFT properties, five folds, for any number of encoders.

    python recipes/probe.py qm9_true_2000.npz --models coord-mini molspectra-mini --output runs/probe
    python recipes/probe.py qm9_true_2000.npz --models runs/molspectra/encoder --layers all --pool mean+sum

The file holds molecules with B3LYP geometry and properties of QM9: `z`, `pos`, `atom_offset`, `smiles`, and a value per
molecule of each property, in Hartree, Debye, a0^3, a0^2 and cal/mol/K. A model is anything that `ms.embed` takes by
name. It is read as its card recommends, or as `--layers` and `--pool` say. Beside the models stand element counts, a
Morgan fingerprint, and the architecture of the first model with random weights, read the same way.

The table gives the mean absolute error, its standard deviation over the seeds (of the folds, and of random weights),
and the seconds that the features took. The second table gives ratios to the first row of random weights, with 95 %
intervals of a paired bootstrap over molecules.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from benchmark import load_benchmark, random_weights
from rdkit import Chem
from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import KFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch_geometric.data import Data

import molspectra as ms

RANDOM = "random weights"
MEV = 1000 * ms.data.units.HARTREE
TARGETS = {  # property → unit of the table, and the factor from the unit of the file
    "gap": ("meV", MEV),
    "homo": ("meV", MEV),
    "lumo": ("meV", MEV),
    "mu": ("D", 1.0),
    "alpha": ("a0^3", 1.0),
    "r2": ("a0^2", 1.0),
    "zpve": ("meV", MEV),
    "cv": ("cal/mol/K", 1.0),
    "u0": ("eV", ms.data.units.HARTREE),
}


def element_counts(molecules: list[Data]) -> np.ndarray:
    return np.array([[int((data.z == z).sum()) for z in (1, 6, 7, 8, 9)] for data in molecules], dtype=float)


def fingerprints(molecules: list[Data]) -> np.ndarray:
    """Count the Morgan substructures of radius 2, folded to 1024."""
    generator = GetMorganGenerator(radius=2, fpSize=1024)
    return np.array(
        [generator.GetCountFingerprintAsNumPy(Chem.MolFromSmiles(data.smiles)) for data in molecules], dtype=float
    )


def errors(features: np.ndarray, labels: np.ndarray, seed: int) -> np.ndarray:
    """Compute absolute errors (molecules, targets) over five folds.

    The penalty of each target has the least leave-one-out error within the training folds.
    """
    regression = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 5, 17), alpha_per_target=True))
    folds = KFold(5, shuffle=True, random_state=seed)
    return np.abs(cross_val_predict(regression, features.astype(np.float64), labels, cv=folds) - labels)


def ratio(found: np.ndarray, reference: np.ndarray, num_samples: int = 1000) -> tuple[np.ndarray, np.ndarray]:
    """Compute the ratio of mean errors of each target, and its 95 % interval (2, targets) by a bootstrap."""
    drawn = np.random.default_rng(0).integers(len(found), size=(num_samples, len(found)))
    samples = found[drawn].mean(axis=1) / reference[drawn].mean(axis=1)
    return found.mean(axis=0) / reference.mean(axis=0), np.quantile(samples, [0.025, 0.975], axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("benchmark", type=Path)
    parser.add_argument("--models", nargs="+", required=True)
    parser.add_argument("--layers", default="recommended", help='"all", "output", or numbers separated by commas')
    parser.add_argument("--pool", default="recommended")
    parser.add_argument("--seeds", type=int, default=3, help="number of splits into folds, and of random weights")
    parser.add_argument("--limit", type=int, help="number of molecules, for a dry run")
    parser.add_argument("--output", type=Path, help="folder for the numbers of all seeds, probe.json")
    arguments = parser.parse_args()
    named = {"recommended": "recommended", "all": "all", "output": None}
    asked = arguments.layers
    layers = named[asked] if asked in named else [int(number) for number in asked.split(",")]
    molecules, labels = load_benchmark(arguments.benchmark, list(TARGETS))
    molecules, labels = molecules[: arguments.limit], labels[: arguments.limit]
    labels = labels * np.array([factor for _, factor in TARGETS.values()])

    def read(model: str | torch.nn.Module) -> np.ndarray:
        rows = ms.embed(model, molecules, arguments.pool, layers=layers)
        return rows.reshape(len(rows), -1)

    rows: dict[str, Callable[[int], np.ndarray]] = {
        "element counts": lambda seed: element_counts(molecules),
        "Morgan fingerprint": lambda seed: fingerprints(molecules),
        RANDOM: lambda seed: read(random_weights(arguments.models[0], seed)),
        **{model: lambda seed, model=model: read(model) for model in arguments.models},
    }
    found: dict[str, np.ndarray] = {}
    print(f"{len(molecules)} molecules".ljust(24) + "".join(f"{f'{n}, {u}':>18}" for n, (u, _) in TARGETS.items()))
    for name, features in rows.items():
        started = time.perf_counter()
        of_seed = features(0)
        seconds = time.perf_counter() - started
        runs = [errors(of_seed, labels, 0)]
        for seed in range(1, arguments.seeds):
            runs.append(errors(features(seed) if name == RANDOM else of_seed, labels, seed))
        found[name] = np.stack(runs)
        means = found[name].mean(axis=1)
        spread = means.std(axis=0, ddof=1) if len(runs) > 1 else np.full(len(TARGETS), np.nan)
        cells = (f"{mean:.4g} ± {sd:.2g}" for mean, sd in zip(means.mean(axis=0), spread, strict=True))
        print(name[-24:].ljust(24) + "".join(cell.rjust(18) for cell in cells) + f"{seconds:8.1f} s", flush=True)
    print(f"\nratio to {RANDOM}")
    for model in arguments.models:
        value, (low, high) = ratio(found[model].mean(axis=0), found[RANDOM].mean(axis=0))
        cells = (f"{v:.3f} ({a:.3f}–{b:.3f})" for v, a, b in zip(value, low, high, strict=True))
        print(model[-24:].ljust(24) + "".join(cell.rjust(22) for cell in cells))
    if arguments.output:
        arguments.output.mkdir(parents=True, exist_ok=True)
        table = {name: dict(zip(TARGETS, runs.mean(axis=1).T.tolist(), strict=True)) for name, runs in found.items()}
        (arguments.output / "probe.json").write_text(json.dumps(table, indent=1))


if __name__ == "__main__":
    main()
