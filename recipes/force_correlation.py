"""Does denoising learn forces? Predicted displacements beside true forces, on frames of molecular dynamics.

    python recipes/force_correlation.py ethanol.npz --trainings runs/coord/final runs/molspectra/final

Where noise of strength σ was added to an equilibrium structure, the expected displacement points against the force of
a harmonic energy (Zaidi et al. 2022, arXiv:2206.00133, §3.2). The table gives the correlation of all force components
with the negative predicted displacement, its mean over frames, and its 95 % interval by a bootstrap over blocks of
time. The file has the layout of MD17. Random weights of encoder and head stand beside the trainings.
"""

import argparse
from pathlib import Path

import numpy as np
import torch
from spectrum_task import AlsoPredictSpectra
from torch_geometric.data import Batch

import molspectra as ms

NUM_BLOCKS = 20


@torch.no_grad()
def correlations(encoder: torch.nn.Module, head: torch.nn.Module, frames: ms.data.Trajectory) -> np.ndarray:
    """Compute the correlation of the negative displacements with the forces of each frame."""
    encoder.eval()
    head.eval()
    found = []
    for start in range(0, len(frames), 100):
        batch = Batch.from_data_list([*frames[start : start + 100]])
        displacement, _ = ms.methods.predict_vectors(encoder, head, batch)
        # Forces add up to zero. A mean displacement, which no force answers, is left out.
        predicted = -ms.geometry.remove_mean(displacement.double(), batch.batch, batch.num_graphs)
        pairs = (vectors.double().reshape(batch.num_graphs, -1) for vectors in (predicted, batch.forces))
        found.append(torch.cosine_similarity(*pairs))
    return torch.cat(found).numpy()


def interval(values: np.ndarray) -> tuple[float, float]:
    """Compute the 95 % interval of the mean, drawing blocks of consecutive frames."""
    blocks = np.array([block.mean() for block in np.array_split(values, NUM_BLOCKS)])
    drawn = np.random.default_rng(0).integers(NUM_BLOCKS, size=(1000, NUM_BLOCKS))
    low, high = np.quantile(blocks[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("trajectory", type=Path)
    parser.add_argument("--trainings", type=Path, nargs="+", required=True, help="folders that a recipe saved")
    parser.add_argument("--limit", type=int, help="number of frames, for a dry run")
    arguments = parser.parse_args()

    frames = ms.data.MD17.from_file(arguments.trajectory)[: arguments.limit]
    for place, folder in enumerate(arguments.trainings):
        model = ms.pretrained.load(folder, classes=[AlsoPredictSpectra])
        task = getattr(model.method, "task", model.method)  # MolSpectra holds its task
        task = getattr(task, "task", task)
        rows = {folder.parent.name: (model.encoder, task.head)}
        if place == 0:
            torch.manual_seed(0)
            new = (type(module)(**module.config) for module in (model.encoder, task.head))
            rows = {"random weights": tuple(new), **rows}
        for name, (encoder, head) in rows.items():
            values = correlations(encoder, head, frames)
            low, high = interval(values)
            print(f"{name:24}{values.mean():.3f} [{low:.3f}, {high:.3f}]", flush=True)


if __name__ == "__main__":
    main()
