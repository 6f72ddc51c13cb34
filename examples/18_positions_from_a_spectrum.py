"""Positions of atoms from their elements and spectra, by denoising: conditional generation in miniature.

SpecFormer's tokens are the memory that every atom attends to. The result conditions an equivariant encoder, which
predicts positions from noisy ones (Karras et al., arXiv:2206.00364). To generate, noise is removed in small steps.

    python examples/18_positions_from_a_spectrum.py

This shows the hook, `SpectrumFeatures.as_memory`. It is no tool for structures: elements, hydrogen atoms included, are
given, and 584 molecules are few.
"""

import argparse
import time

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.utils import scatter
from tqdm import tqdm

import molspectra as ms

CHANNELS = 64
KINDS = ("ir", "raman")
SPREAD = 1.6  # Å, root mean square of x, y and z about the center of a molecule
LEVELS = (0.05, 6.0)  # Å, smallest and largest noise
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Denoiser(nn.Module):
    """Prediction of positions from noisy ones, elements and spectra. It is equivariant, as its encoder and head are."""

    def __init__(self) -> None:
        super().__init__()
        lengths = {kind: ms.data.MiniSpectra.axes[kind] for kind in KINDS}
        scaling = ms.data.Log10Scaling(0.01)
        self.specformer = ms.spectra.SpecFormer(lengths, 100, 100, CHANNELS, 1, 4, CHANNELS, scaling=scaling)
        self.element = nn.Embedding(10, CHANNELS)
        self.level = nn.Linear(1, CHANNELS)
        self.attention = nn.MultiheadAttention(CHANNELS, 4, batch_first=True)
        self.encoder = ms.encoders.EGNN(CHANNELS, num_layers=4, cutoff=None)
        self.head = ms.heads.VectorHead(CHANNELS)

    def context(self, batch: Batch, spectra: dict[str, Tensor]) -> Tensor:
        """Read the spectra by attention from each atom, (N, F)."""
        memory, padding = self.specformer(spectra).as_memory(batch.batch)
        atoms = self.element(batch.z)
        return atoms + self.attention(atoms[:, None], memory, memory, key_padding_mask=padding)[0][:, 0]

    def forward(self, batch: Batch, context: Tensor, pos: Tensor, level: Tensor) -> Tensor:
        """Predict positions (N, 3) from noisy ones, whose noise has the standard deviation `level` (N,) in Å."""
        level = level[:, None]
        size = (level.square() + SPREAD**2).sqrt()
        atoms = self.encoder(batch.z, pos * SPREAD / size, batch.batch, context=context + self.level(level.log()))
        return pos * (SPREAD / size).square() + centered(self.head(atoms), batch) * SPREAD * level / size


def centered(pos: Tensor, batch: Batch) -> Tensor:
    return pos - scatter(pos, batch.batch, dim=0, reduce="mean")[batch.batch]


def spectra_of(batch: Batch, order: Tensor | None = None) -> dict[str, Tensor]:
    return {kind: batch[kind] if order is None else batch[kind][order] for kind in KINDS}


def train(model: Denoiser, epochs: int) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=1e-2)
    loader = DataLoader(ms.data.MiniSpectra("train"), 32, shuffle=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, epochs=epochs, steps_per_epoch=len(loader))
    for _ in tqdm(range(epochs)):
        for batch in loader:
            batch = batch.to(DEVICE)
            low, high = torch.tensor(LEVELS).log()
            level = (low + (high - low) * torch.rand(batch.num_graphs)).exp().to(DEVICE)[batch.batch]
            clean = centered(batch.pos, batch)
            noisy = clean + centered(torch.randn_like(clean), batch) * level[:, None]
            # A fifth of the molecules come without spectra, so that the model works without them too.
            spectra = spectra_of(batch)
            unseen = torch.rand(batch.num_graphs, 1, device=DEVICE) < 0.2
            spectra = {kind: spectrum.masked_fill(unseen, torch.nan) for kind, spectrum in spectra.items()}
            predicted = model(batch, model.context(batch, spectra), noisy, level)
            weight = (level.square() + SPREAD**2) / (level * SPREAD).square()
            loss = (weight[:, None] * (predicted - clean).square()).mean()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
            schedule.step()


@torch.no_grad()
def generate(model: Denoiser, batch: Batch, spectra: dict[str, Tensor], steps: int = 40) -> Tensor:
    """Generate positions from noise, by steps of Euler along the probability flow."""
    context = model.context(batch, spectra)
    levels = torch.logspace(*torch.tensor(LEVELS[::-1]).log10().tolist(), steps).to(DEVICE)
    pos = centered(torch.randn(batch.num_nodes, 3), batch.cpu()).to(DEVICE) * levels[0]
    batch = batch.to(DEVICE)
    for level, following in zip(levels, [*levels[1:], levels.new_zeros(())], strict=True):
        predicted = model(batch, context, pos, level.expand(batch.num_nodes))
        pos = predicted + (pos - predicted) * (following / level)
    return pos


def distance_error(batch: Batch, pos: Tensor) -> float:
    """Return the mean error of interatomic distances in Å, those of each pair of elements in order of length."""
    errors = []
    for molecule, found in zip(batch.to_data_list(), pos.split(batch.ptr.diff().tolist()), strict=True):
        first, second = torch.triu_indices(len(found), len(found), 1, device=found.device)
        low, high = (function(molecule.z[first], molecule.z[second]) for function in (torch.minimum, torch.maximum))
        for pair in (low * 100 + high).unique():
            own = low * 100 + high == pair
            lengths = [torch.sort((at[first] - at[second]).norm(dim=1)[own]).values for at in (found, molecule.pos)]
            errors.append((lengths[0] - lengths[1]).abs())
    return torch.cat(errors).mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=12)
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="split to evaluate on")
    arguments = parser.parse_args()

    started = time.perf_counter()
    torch.manual_seed(0)
    model = Denoiser().to(DEVICE)
    train(model, arguments.epochs)
    model.eval()
    batch = Batch.from_data_list(list(ms.data.MiniSpectra(arguments.split))).to(DEVICE)
    clean, other = centered(batch.pos, batch), torch.arange(batch.num_graphs).roll(batch.num_graphs // 2)
    absent = {kind: torch.full_like(spectrum, torch.nan) for kind, spectrum in spectra_of(batch).items()}
    given = {"its own": spectra_of(batch), "of another molecule": spectra_of(batch, other), "none": absent}
    print(f"\n{batch.num_graphs} molecules of the {arguments.split} split\n{'':22}denoised positions, Å   generated, Å")
    for name, spectra in given.items():
        torch.manual_seed(1)  # the same noise for all
        level = torch.full((batch.num_nodes,), 1.0, device=DEVICE)
        noisy = clean + centered(torch.randn_like(clean), batch)
        with torch.no_grad():
            predicted = model(batch, model.context(batch, spectra), noisy, level)
        error = (predicted - clean).square().sum(dim=1).mean().sqrt().item()
        distances = distance_error(batch, generate(model, batch, spectra))
        print(f"{'spectra: ' + name:30}{error:15.3f}{distances:15.3f}")
    print("Denoised: root mean squared error after noise of 1 Å along each axis. Generated: mean error of distances.")
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes on {DEVICE}")


if __name__ == "__main__":
    main()
