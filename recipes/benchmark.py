"""Molecules of a benchmark file, and encoders to be measured on them."""

from pathlib import Path

import numpy as np
import torch
from torch_geometric.data import Data

import molspectra as ms
from molspectra.embedding.models import load_encoder


def load_benchmark(path: Path, labels: list[str]) -> tuple[list[Data], np.ndarray]:
    """Read molecules (`z`, `pos`, `atom_offset`, `smiles`) and the labels of a file, (molecules, labels)."""
    with np.load(path) as file:
        z, pos, bounds, smiles = (file[name] for name in ("z", "pos", "atom_offset", "smiles"))
        values = np.stack([file[name] for name in labels], axis=1)
    molecules = [
        Data(
            z=torch.tensor(z[start:stop], dtype=torch.int64),
            pos=torch.tensor(pos[start:stop], dtype=torch.float32),
            smiles=str(text),
        )
        for start, stop, text in zip(bounds[:-1], bounds[1:], smiles, strict=True)
    ]
    return molecules, values


def random_weights(model: str, seed: int) -> torch.nn.Module:
    """Make the architecture of a model anew, to be read as the model is."""
    encoder, _ = load_encoder(model)
    torch.manual_seed(seed)
    new = type(encoder)(**encoder.config)
    reading = ms.pretrained.recommended_reading(encoder)
    return new if reading is None else ms.pretrained.recommend_reading(new, reading)


def make_encoder(start: str, like: str, seed: int) -> torch.nn.Module:
    """Load the weights of a model, or make the architecture of another with new ones if the start is "scratch"."""
    return random_weights(like, seed) if start == "scratch" else load_encoder(start)[0]
