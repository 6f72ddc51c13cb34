"""Identification of a molecule by a spectrum that training has not seen.

A 3D encoder and SpecFormer learn similar embeddings of a molecule and its spectra (MolSpectra's contrast). All
molecules of MiniSpectra are then embedded once into a library, and the spectra of the test split are its queries.

    python examples/08_identify_a_spectrum.py
    python examples/08_identify_a_spectrum.py --checkpoint runs/two_stage_pretraining/seed0    saved by example 01
    python examples/08_identify_a_spectrum.py --molecule 17 --kinds ir                         by infrared alone

The library also holds the training molecules, which the encoders know, so the search is harder.
"""

import argparse
import time
from itertools import combinations
from pathlib import Path

import evaluation
import torch
from torch import Tensor, nn
from torch_geometric.data import Data
from torch_geometric.loader import DataLoader
from tqdm import tqdm

import molspectra as ms

CHANNELS = 64
BATCH_SIZE = 64
KS = (1, 5, 10)
KINDS = tuple(ms.data.MiniSpectra.axes)
SPLITS = ("train", "validation", "test")
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def make_specformer() -> ms.spectra.SpecFormer:
    """Make a small version of the published SpecFormer (256 channels, 3 layers, patches of 20 samples)."""
    # Intensities per eV and per cm⁻¹ are mostly far below 1. Divided by these units, log10(1 + s) resolves them.
    units = {"uv_vis": 0.1, "ir": 0.01, "raman": 0.01}
    return ms.spectra.SpecFormer(
        ms.data.MiniSpectra.axes,
        patch_len={"uv_vis": 20, "ir": 100, "raman": 100},
        stride={"uv_vis": 10, "ir": 50, "raman": 50},
        hidden_channels=64,
        num_layers=2,
        num_heads=4,
        out_channels=CHANNELS,
        scaling={kind: ms.data.Log10Scaling(unit) for kind, unit in units.items()},
    )


def hide_some_kinds(molecule: Data) -> Data:
    """Drop a random half of the spectra of a molecule (NaN is missing), so that every kind becomes searchable."""
    for kind in KINDS:
        if torch.rand(()) < 0.5:
            molecule[kind] = torch.full_like(molecule[kind], torch.nan)
    return molecule


def train(steps: int) -> tuple[nn.Module, ms.methods.MolSpectra]:
    """Train both encoders from random weights, by denoising, reconstruction and contrast at once."""
    encoder = ms.encoders.EquivariantTransformer(
        CHANNELS, num_layers=3, num_heads=8, num_rbf=32, norm_every_layer=True
    ).to(DEVICE)
    denoise = ms.methods.Coord(CHANNELS, std=0.1, remove_translation=True)
    contrast = ms.objectives.InfoNCELoss(temperature=0.2)
    method = ms.methods.MolSpectra(denoise, make_specformer(), contrast=contrast).to(DEVICE)
    parameters = [*encoder.parameters(), *method.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=1e-3, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps)
    loader = DataLoader(ms.data.MiniSpectra("train", transform=hide_some_kinds), BATCH_SIZE, shuffle=True)
    generator = torch.Generator(DEVICE).manual_seed(0)
    progress = tqdm(total=steps)
    while progress.n < steps:
        for batch, _ in zip(loader, range(steps - progress.n), strict=False):
            losses = method(encoder, batch.to(DEVICE), generator)
            optimizer.zero_grad()
            losses["loss"].backward()
            torch.nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
            schedule.step()
            progress.update()
    progress.close()
    return encoder, method


@torch.no_grad()
def embed_molecules(encoder: nn.Module, method: ms.methods.MolSpectra, split: str) -> Tensor:
    """Embed the molecules of a split with the 3D encoder, (B, F)."""
    embeddings = []
    for batch in evaluation.batches(split):
        batch = batch.clone().to(DEVICE)
        pooled = ms.methods.encode(encoder, batch).pool(batch.batch, num_molecules=batch.num_graphs)
        embeddings.append(method.molecule_projection(pooled))
    return torch.cat(embeddings)


@torch.no_grad()
def embed_spectra(method: ms.methods.MolSpectra, split: str, kinds: tuple[str, ...]) -> Tensor:
    """Embed the spectra of a split with SpecFormer, (B, F), from the given kinds only."""
    batches = ({kind: batch[kind].to(DEVICE) for kind in kinds} for batch in evaluation.batches(split))
    return torch.cat([method.specformer(spectra).embedding for spectra in batches])


def print_accuracies(molecules: dict[str, Tensor], method: ms.methods.MolSpectra) -> None:
    """Print top-k accuracies for each set of kinds, in both directions and both libraries."""
    all_molecules, test = torch.cat([molecules[split] for split in SPLITS]), molecules["test"]
    # The test split is the last part of the library.
    own = torch.arange(len(all_molecules) - len(test), len(all_molecules), device=DEVICE)
    columns = "".join(f"{f'top {k}':>8}" for k in KS)
    for way in ("spectrum → molecule", "molecule → spectrum"):
        print(f"\n{way:26}" + "".join(f"{f'of {n}':>{8 * len(KS)}}" for n in (len(test), len(all_molecules))))
        print(f"{'measured':26}{columns}{columns}")
        for number in range(1, len(KINDS) + 1):
            for kinds in combinations(KINDS, number):
                spectra = {split: embed_spectra(method, split, kinds) for split in SPLITS}
                all_spectra = torch.cat([spectra[split] for split in SPLITS])
                if way == "spectrum → molecule":
                    searches = (spectra["test"], test, None), (spectra["test"], all_molecules, own)
                else:
                    searches = (test, spectra["test"], None), (test, all_spectra, own)
                cells = [share for search in searches for share in ms.retrieval.topk_accuracy(*search, KS).values()]
                print(f"{', '.join(kinds):26}" + "".join(f"{cell:8.3f}" for cell in cells))
    chance = [k / n for n in (len(test), len(all_molecules)) for k in KS]
    print(f"{'by chance':26}" + "".join(f"{cell:8.3f}" for cell in chance))


def identify(index: ms.retrieval.Index, spectrum: Tensor, answer: str) -> None:
    """Print the five most likely molecules of the library for one spectrum."""
    matches = index.search(spectrum, k=5)
    for place, (score, smiles) in enumerate(zip(matches.scores[0].tolist(), index.ids_of(matches)[0], strict=True)):
        print(f"{place + 1}. {score:6.3f}  {smiles}{'   ← this one it was' if smiles == answer else ''}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="run saved by example 01 (default: train here)")
    parser.add_argument("--steps", type=int, default=300, help="training epochs without a checkpoint")
    parser.add_argument("--molecule", type=int, default=0, help="test molecule whose spectrum to identify")
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=KINDS, help="measured kinds")
    parser.add_argument("--library", type=Path, help="folder to save the library in")
    arguments = parser.parse_args()

    started = time.perf_counter()
    torch.manual_seed(0)
    if arguments.checkpoint:
        encoder, method = (ms.pretrained.load(arguments.checkpoint / name).to(DEVICE) for name in ("encoder", "method"))
    else:
        encoder, method = train(arguments.steps)
    encoder.eval()
    method.eval()
    molecules = {split: embed_molecules(encoder, method, split) for split in SPLITS}
    smiles = {split: [name for batch in evaluation.batches(split) for name in batch.smiles] for split in SPLITS}
    index = ms.retrieval.Index(torch.cat(list(molecules.values())), sum(smiles.values(), []))
    if arguments.library:
        index.save(arguments.library)

    print_accuracies(molecules, method)
    answer = smiles["test"][arguments.molecule]
    spectrum = embed_spectra(method, "test", tuple(arguments.kinds))[arguments.molecule, None]
    print(f"\nthe {', '.join(arguments.kinds)} of {answer}, among {len(index)} molecules")
    identify(index, spectrum, answer)
    print(f"\n{(time.perf_counter() - started) / 60:.1f} minutes on {DEVICE}")


if __name__ == "__main__":
    main()
