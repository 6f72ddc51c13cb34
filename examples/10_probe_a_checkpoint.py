"""Probe of a published encoder: ridge regression of properties on its frozen features.

    python examples/10_probe_a_checkpoint.py checkpoint.safetensors

The file is any that `ms.pretrained.load_reference` reads: 3D-EMGP's, or a Lightning checkpoint of Coord or MolSpectra.
Features are summed and averaged over the atoms of a molecule. Baselines are the same network with random weights,
element counts, and the mean. The table gives mean absolute errors over ten folds of MiniSpectra, whose properties
pre-training has not seen.
"""

import argparse
from pathlib import Path

import evaluation
import torch

import molspectra as ms

PROPERTIES = {"gap": "eV", "mu": "Debye", "zpve": "eV"}


def element_counts(split: str) -> torch.Tensor:
    """Count the atoms of each element in each molecule, (B, elements)."""
    batch = evaluation.load(split)
    elements, element = batch.z.unique(return_inverse=True)
    counts = torch.zeros(batch.num_graphs, len(elements), dtype=torch.float64)
    return counts.index_put_((batch.batch, element), torch.ones(1, dtype=torch.float64), accumulate=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--seeds", type=int, default=3, help="seed of the random weights")
    arguments = parser.parse_args()
    encoder = ms.pretrained.load_reference(arguments.checkpoint).encoder
    features = {"element counts": [element_counts("all")], "random weights": []}
    for seed in range(arguments.seeds):
        torch.manual_seed(seed)
        features["random weights"].append(evaluation.embed(type(encoder)(**encoder.config), "all"))
    features["the checkpoint"] = [evaluation.embed(encoder, "all")]

    labels = {name: evaluation.load("all")[name].double() for name in PROPERTIES}
    print("ten folds of MiniSpectra".ljust(26) + "".join(f"{f'{n}, {u}':>18}" for n, u in PROPERTIES.items()))
    guesses = (f"{(label - label.mean()).abs().mean():.3f}" for label in labels.values())
    print("the mean as the guess".ljust(26) + "".join(guess.rjust(18) for guess in guesses))
    for name, runs in features.items():
        cells = []
        for label in labels.values():
            errors = torch.tensor([evaluation.ten_folds(run, label) for run in runs])
            spread = f" ± {errors.std():.3f}" if len(runs) > 1 else ""
            cells.append(f"{errors.mean():.3f}{spread}")
        print(name.ljust(26) + "".join(cell.rjust(18) for cell in cells))


if __name__ == "__main__":
    main()
