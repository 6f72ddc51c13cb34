"""HOMO-LUMO gap from 3D structure, from spectra, and from both, trained on labels alone.

An EGNN reads the structure, SpecFormer the spectra, and a small head their concatenated features. MolSpectra's pilot
study (arXiv:2502.16284, §4.1) compares EGNN with and without UV-Vis. UV-Vis and gap come from different methods here
(TDA-PBE0, GFN2-xTB).

    python examples/12_structure_and_spectra.py --seeds 3
"""

import argparse
import time

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data
from torch_geometric.loader import DataLoader
from tqdm import tqdm

import molspectra as ms

CHANNELS = 64
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
READ = {  # inputs: structure or not, kinds of spectra
    "structure": (True, ()),
    "UV-Vis": (False, ("uv_vis",)),
    "structure + UV-Vis": (True, ("uv_vis",)),
    "structure + IR": (True, ("ir",)),
    "structure + Raman": (True, ("raman",)),
    "structure + all three": (True, ("uv_vis", "ir", "raman")),
}


class Nothing(nn.Module):
    """Encoder that ignores the molecule."""

    out_channels, cutoff = CHANNELS, 5.0

    def forward(self, z: Tensor, pos: Tensor, batch: Tensor | None = None) -> ms.encoders.AtomFeatures:
        return ms.encoders.AtomFeatures(pos.new_zeros(len(z), CHANNELS))


def make_specformer(kinds: tuple[str, ...]) -> ms.spectra.SpecFormer:
    units = {"uv_vis": 0.1, "ir": 0.01, "raman": 0.01}
    sizes = {"uv_vis": 20, "ir": 50, "raman": 50}
    return ms.spectra.SpecFormer(
        lengths={kind: ms.data.MiniSpectra.axes[kind] for kind in kinds},
        patch_len={kind: sizes[kind] for kind in kinds},
        stride={kind: sizes[kind] // 2 for kind in kinds},
        hidden_channels=CHANNELS,
        num_layers=2,
        num_heads=4,
        out_channels=CHANNELS,
        scaling={kind: ms.data.Log10Scaling(units[kind]) for kind in kinds},
    )


def make(reads_structure: bool, kinds: tuple[str, ...], gaps: Tensor) -> tuple[nn.Module, ms.methods.Regression]:
    encoder = ms.encoders.EGNN(CHANNELS, num_layers=4) if reads_structure else Nothing()
    scale = {"mean": gaps.mean().item(), "std": gaps.std().item()}
    if kinds:
        head = ms.heads.FusionHead(CHANNELS, CHANNELS, **scale)
        regression = ms.methods.SpectraRegression(head, make_specformer(kinds), label="gap", loss="l1")
    else:
        regression = ms.methods.Regression(
            ms.heads.ScalarHead(CHANNELS, **scale, reduce="mean"), label="gap", loss="l1"
        )
    return encoder.to(DEVICE), regression.to(DEVICE)


def train(encoder: nn.Module, regression: nn.Module, molecules: list[Data], epochs: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    loader = DataLoader(molecules, batch_size=32, shuffle=True, generator=generator)
    parameters = [*encoder.parameters(), *regression.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, epochs=epochs, steps_per_epoch=len(loader))
    for _ in range(epochs):
        for batch in loader:
            loss = regression(encoder, batch.to(DEVICE))["loss"]
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
            schedule.step()


@torch.no_grad()
def error(encoder: nn.Module, regression: ms.methods.Regression, molecules: Batch) -> float:
    encoder.eval()
    regression.eval()
    return (regression.predict(encoder, molecules).property.squeeze(1) - molecules.gap).abs().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="split to evaluate on")
    arguments = parser.parse_args()

    started = time.perf_counter()
    molecules = list(ms.data.MiniSpectra("train"))
    asked = Batch.from_data_list(list(ms.data.MiniSpectra(arguments.split))).to(DEVICE)
    gaps = torch.cat([molecule.gap for molecule in molecules])
    print(f"mean absolute error of the gap in eV, {asked.num_graphs} molecules, {arguments.seeds} seeds")
    print(f"{'the mean gap':24}{(asked.gap - gaps.mean()).abs().mean().item():.3f}")
    for name, read in READ.items():
        errors = []
        for seed in tqdm(range(arguments.seeds), name, leave=False):
            torch.manual_seed(seed)
            encoder, regression = make(*read, gaps)
            train(encoder, regression, molecules, arguments.epochs, seed)
            errors.append(error(encoder, regression, asked))
        spread = f" ± {torch.tensor(errors).std().item():.3f}" if len(errors) > 1 else ""
        print(f"{name:24}{sum(errors) / len(errors):.3f}{spread}")
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes on {DEVICE}")


if __name__ == "__main__":
    main()
