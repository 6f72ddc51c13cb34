"""Prediction of UV-Vis, IR and Raman spectra from a geometry, compared with a look-up.

    python examples/11_predict_a_spectrum.py
    python examples/11_predict_a_spectrum.py --checkpoint runs/two_stage_pretraining/seed0/encoder    fine-tune

A small encoder with a `SpectrumHead` learns the spectra of the training molecules. Three baselines look spectra up: the
mean training spectrum, and the spectrum of the most similar training molecule, by fingerprint (Morgan, Tanimoto) or by
features of the trained encoder.
"""

import argparse
import time
from pathlib import Path

import evaluation
import torch
from torch import Tensor, nn
from torch_geometric.loader import DataLoader
from tqdm import tqdm

import molspectra as ms

BATCH_SIZE = 32
KINDS = tuple(ms.data.MiniSpectra.axes)
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

Spectra = dict[str, Tensor]


def make_encoder() -> ms.encoders.EquivariantTransformer:
    """Make a small version of the published encoder (256 channels, 8 layers)."""
    return ms.encoders.EquivariantTransformer(64, num_layers=3, num_heads=8, num_rbf=32, norm_every_layer=True)


def train(encoder: nn.Module, method: nn.Module, epochs: int) -> None:
    parameters = [*encoder.parameters(), *method.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=2e-3, weight_decay=1e-2)
    loader = DataLoader(ms.data.MiniSpectra("train"), BATCH_SIZE, shuffle=True)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, epochs=epochs, steps_per_epoch=len(loader))
    progress = tqdm(range(epochs))
    for _ in progress:
        for batch in loader:
            loss = method(encoder, batch.to(DEVICE))["loss"]
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
            schedule.step()
        progress.set_postfix(loss=f"{loss.item():.3f}")
    encoder.eval()
    method.eval()


@torch.no_grad()
def predict(encoder: nn.Module, method: ms.methods.SpectrumPrediction, split: str) -> Spectra:
    """Predict spectra with the network, kind → (B, L) on the CPU."""
    predicted = [method.predict(encoder, batch.clone().to(DEVICE)) for batch in evaluation.batches(split)]
    return {kind: torch.cat([spectra[kind] for spectra in predicted]).cpu() for kind in KINDS}


def nearest_by_fingerprint(split: str) -> Tensor:
    """Find the training molecule with the largest Tanimoto similarity to each molecule, (B,)."""
    from rdkit import Chem
    from rdkit.Chem.rdFingerprintGenerator import GetMorganGenerator
    from rdkit.DataStructs import BulkTanimotoSimilarity

    morgan = GetMorganGenerator(radius=2)
    known, asked = (
        [morgan.GetFingerprint(Chem.MolFromSmiles(smiles)) for smiles in evaluation.load(name).smiles]
        for name in ("train", split)
    )
    return torch.tensor([BulkTanimotoSimilarity(fingerprint, known) for fingerprint in asked]).argmax(dim=1)


def nearest_by_features(encoder: nn.Module, split: str) -> Tensor:
    """Find the training molecule with the nearest standardised features to each molecule, (B,)."""
    known, asked = (evaluation.embed(encoder, name) for name in ("train", split))
    mean, std = known.mean(dim=0), known.std(dim=0).clamp(min=1e-8)
    index = ms.retrieval.Index((known - mean) / std)
    return index.search((asked - mean) / std, k=1).indices[:, 0]


def score(predicted: Spectra, true: Spectra) -> dict[str, tuple[float, float]]:
    """Return, per kind, the mean cosine similarity and the root mean squared error relative to the true spectra."""
    scores = {}
    for kind in KINDS:
        error = (predicted[kind] - true[kind]).square().mean() / true[kind].square().mean()
        cosine = nn.functional.cosine_similarity(predicted[kind], true[kind], dim=1).mean()
        scores[kind] = cosine.item(), error.sqrt().item()
    return scores


def print_table(answers: dict[str, Spectra], true: Spectra) -> None:
    print(f"\n{'':36}" + "".join(f"{kind:>20}" for kind in KINDS))
    print(f"{'':36}" + len(KINDS) * f"{'cosine':>10}{'error':>10}")
    for name, predicted in answers.items():
        cells = [cell for pair in score(predicted, true).values() for cell in pair]
        print(f"{name:36}" + "".join(f"{cell:10.3f}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--checkpoint", type=Path, help="saved encoder to start from")
    parser.add_argument("--epochs", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--split", choices=("test", "validation"), default="test", help="split to evaluate on")
    arguments = parser.parse_args()

    started = time.perf_counter()
    torch.manual_seed(arguments.seed)
    encoder = (ms.pretrained.load(arguments.checkpoint).train() if arguments.checkpoint else make_encoder()).to(DEVICE)
    training, asked = evaluation.load("train"), evaluation.load(arguments.split)
    known, true = ({kind: batch[kind] for kind in KINDS} for batch in (training, asked))

    head = ms.heads.SpectrumHead(encoder.out_channels, ms.data.MiniSpectra.axes)
    head.start_from(known, training.ptr.diff())
    method = ms.methods.SpectrumPrediction(head).to(DEVICE)
    train(encoder, method, arguments.epochs)

    mean = {kind: spectra.mean(dim=0).expand(asked.num_graphs, -1) for kind, spectra in known.items()}
    answers = {"the mean training spectrum": mean}
    for name, nearest in (
        ("of the nearest by fingerprint", nearest_by_fingerprint(arguments.split)),
        ("of the nearest by trained features", nearest_by_features(encoder, arguments.split)),
    ):
        answers[name] = {kind: spectra[nearest] for kind, spectra in known.items()}
    answers["predicted"] = predict(encoder, method, arguments.split)
    print_table(answers, true)
    print(f"\nof the {asked.num_graphs} molecules of the {arguments.split} split, in", end=" ")
    print(f"{(time.perf_counter() - started) / 60:.1f} minutes on {DEVICE}")


if __name__ == "__main__":
    main()
