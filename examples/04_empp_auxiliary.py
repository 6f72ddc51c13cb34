"""EMPP as an auxiliary task beside a property, and EMPP alone.

An encoder learns the HOMO-LUMO gap alone and together with EMPP, which predicts the position of a masked atom. All runs
start from the same weights and use the same batches and number of steps. EMPP encodes each batch twice, so another run
learns the gap alone in twice as many steps. Finally EMPP trains an encoder alone, and is evaluated on masked atoms of
molecules that it has not seen.

    python examples/04_empp_auxiliary.py
    python examples/04_empp_auxiliary.py --epochs 100 --seed 1
"""

import argparse
import time

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from tqdm import tqdm

import molspectra as ms

CHANNELS = 64
BATCH_SIZE = 64
SPLIT = "validation"
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def make_encoder() -> ms.encoders.EquivariantTransformer:
    """Make a small version of the published encoder (256 channels, 8 layers)."""
    return ms.encoders.EquivariantTransformer(
        CHANNELS, num_layers=3, num_heads=8, num_rbf=32, norm_every_layer=True
    ).to(DEVICE)


class Regression(nn.Module):
    """Regression of the standardised gap by its absolute error, with an optional auxiliary task."""

    def __init__(self, mean: float, std: float, auxiliary: ms.methods.EMPP | None = None) -> None:
        super().__init__()
        self.head = ms.heads.ScalarHead(CHANNELS, reduce="mean")
        self.auxiliary = auxiliary
        self.mean, self.std = mean, std

    def forward(self, encoder: nn.Module, batch: Batch, generator: torch.Generator) -> dict[str, Tensor]:
        loss = (self.predict(encoder, batch) - batch.gap).abs().mean() / self.std
        if self.auxiliary is not None:
            loss = loss + self.auxiliary(encoder, batch, generator)["loss"]
        return {"loss": loss}

    def predict(self, encoder: nn.Module, batch: Batch) -> Tensor:
        """Predict the gap in eV, (B,)."""
        atoms = encoder(batch.z, batch.pos, batch.batch)
        predicted = self.head(atoms, batch)
        return self.mean + self.std * predicted.squeeze(1)


def train(method: nn.Module, encoder: nn.Module, epochs: int, seed: int, title: str) -> None:
    """Minimise the loss of any method."""
    parameters = [*encoder.parameters(), *method.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=1e-2)
    draws = torch.Generator().manual_seed(seed)
    loader = DataLoader(ms.data.MiniSpectra("train"), BATCH_SIZE, shuffle=True, generator=draws)
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
    encoder.eval()
    method.eval()


@torch.no_grad()
def gap_error(method: Regression, encoder: nn.Module, batch: Batch) -> float:
    return (method.predict(encoder, batch) - batch.gap).abs().mean().item()


def mean_bond_lengths(batch: Data) -> Tensor:
    """Return the mean bond length in Å of each pair of elements, (119, 119), 0 for absent pairs."""
    i, j = batch.bond_index
    length = (batch.pos[i] - batch.pos[j]).norm(dim=1)
    pair = torch.cat([119 * batch.z[i] + batch.z[j], 119 * batch.z[j] + batch.z[i]])
    total, count = torch.zeros(2, 119 * 119, device=length.device).unbind()
    total.index_add_(0, pair, length.repeat(2))
    count.index_add_(0, pair, torch.ones_like(length).repeat(2))
    return (total / count.clamp(min=1)).view(119, 119)


def guess_position(batch: Batch, masked_atom: Tensor, lengths: Tensor, generator: torch.Generator) -> Tensor:
    """Guess a position: a random direction from a bonded atom, at the mean length of such bonds."""
    i, j = batch.bond_index
    neighbor = torch.empty_like(batch.z)
    neighbor[i], neighbor[j] = j, i
    bonded = neighbor[masked_atom]
    direction = F.normalize(torch.randn(len(masked_atom), 3, generator=generator, device=batch.pos.device), dim=1)
    return batch.pos[bonded] + lengths[batch.z[masked_atom], batch.z[bonded]].unsqueeze(1) * direction


def position_errors(method: ms.methods.EMPP, encoder: nn.Module, batch: Batch, repeats: int) -> dict[str, Tensor]:
    """Return the errors in Å of predicted and guessed positions, and a mask of hydrogens."""
    lengths = mean_bond_lengths(Batch.from_data_list(list(ms.data.MiniSpectra("train"))).to(DEVICE))
    generator = torch.Generator(DEVICE).manual_seed(0)
    errors = {"EMPP": [], "guess": [], "hydrogen": []}
    for _ in range(repeats):
        found = method.predict_position(encoder, batch, generator=generator)
        guess = guess_position(batch, found.masked.masked_atom, lengths, generator)
        errors["EMPP"].append(found.error)
        errors["guess"].append((guess - found.masked.masked_pos).norm(dim=1))
        errors["hydrogen"].append(found.masked.masked_z == 1)
    return {name: torch.cat(parts) for name, parts in errors.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()

    started = time.perf_counter()
    gaps = torch.stack([molecule.gap[0] for molecule in ms.data.MiniSpectra("train")])
    mean, std = gaps.mean().item(), gaps.std().item()
    held_out = Batch.from_data_list(list(ms.data.MiniSpectra(SPLIT))).to(DEVICE)
    standardised = {"label": "gap", "label_mean": mean, "label_std": std}

    results = {"guessing the mean gap": (held_out.gap - mean).abs().mean().item()}
    for name, repeats, auxiliary in (
        ("gap alone", 1, None),
        ("gap alone, twice the steps", 2, None),
        ("with EMPP", 1, {}),
        ("with EMPP, told the gap", 1, standardised),
    ):
        torch.manual_seed(arguments.seed)
        encoder, method = make_encoder(), Regression(mean, std).to(DEVICE)
        if auxiliary is not None:  # made after the head, so that the head has the same weights in all runs
            method.auxiliary = ms.methods.EMPP(CHANNELS, **auxiliary).to(DEVICE)
        train(method, encoder, repeats * arguments.epochs, arguments.seed, name.ljust(26))
        results[name] = gap_error(method, encoder, held_out)

    torch.manual_seed(arguments.seed)
    encoder, empp = make_encoder(), ms.methods.EMPP(CHANNELS).to(DEVICE)
    train(empp, encoder, arguments.epochs, arguments.seed, "EMPP alone".ljust(26))
    errors = position_errors(empp, encoder, held_out, repeats=5)

    print(f"\nmean absolute error of the gap on the {held_out.num_graphs} molecules of the {SPLIT} split")
    for name, error in results.items():
        print(f"{name:28}{error:.3f} eV")
    print("\nmedian error of the positions of masked atoms in these, by EMPP alone")
    hydrogen = errors.pop("hydrogen")
    print(f"{'':44}{'all':>8}{'hydrogens':>12}{'others':>9}")
    names = {"EMPP": "predicted", "guess": "at the mean bond length, in any direction"}
    for key, error in errors.items():
        all_of_them, of_hydrogens, of_others = (
            part.median().item() for part in (error, error[hydrogen], error[~hydrogen])
        )
        print(f"{names[key]:44}{all_of_them:>6.2f} Å{of_hydrogens:>10.2f} Å{of_others:>7.2f} Å")
    print(f"\n{(time.perf_counter() - started) / 60:.1f} minutes on {DEVICE}")


if __name__ == "__main__":
    main()
