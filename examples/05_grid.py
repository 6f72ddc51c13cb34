"""Every pre-training method on every encoder, including the one combination that is refused.

    python examples/05_grid.py                 a few minutes on two cores
    python examples/05_grid.py --steps 1000

Each cell trains an encoder and a method for some steps on MiniSpectra, and prints the loss on held-out molecules before
and after, under the same noise. SchNet, from torch_geometric, has no vectors, so it denoises by the gradient of an
energy. EMPP predicts a direction, which needs equivariant features.
"""

import argparse
from functools import partial

import torch
from torch_geometric.data import Batch
from torch_geometric.loader import DataLoader
from torch_geometric.nn.models import SchNet
from torch_geometric.transforms import Compose
from tqdm import tqdm

import molspectra as ms

CHANNELS = 32
DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")

ENCODERS = {
    "EquivariantTransformer": lambda: ms.encoders.EquivariantTransformer(CHANNELS, num_layers=2, num_rbf=16),
    "EGNN": lambda: ms.encoders.EGNN(CHANNELS, num_layers=3, max_hops=3),
    "GET": lambda: ms.encoders.GET(CHANNELS, num_layers=2, num_heads=4, num_rbf=16),
    "PaiNN": lambda: ms.encoders.PaiNN(CHANNELS, num_layers=2),
    "IrrepsTransformer": lambda: ms.encoders.IrrepsTransformer(CHANNELS, num_layers=2, num_rbf=16),
    "Adapter(SchNet)": lambda: ms.encoders.Adapter(SchNet(CHANNELS, CHANNELS, num_interactions=2, num_gaussians=16)),
}
METHODS = {
    # Five times the published noise shows learning within a few dozen steps.
    "Coord": partial(ms.methods.Coord, std=0.2, remove_translation=True),
    "Frad": partial(ms.methods.Frad, std=0.2, remove_translation=True),
    "SliDe": ms.methods.SliDe,
    "EMGP": ms.methods.EMGP,
    "EMPP": ms.methods.EMPP,
    "SE3DDM": ms.methods.SE3DDM,
    "SCD": partial(ms.methods.SCD, std=0.2),
}


def prepare() -> Compose:
    """Add the fields that Frad and SliDe read beside positions."""
    return Compose([ms.data.transforms.AddTopology(), ms.data.transforms.ForceConstants.generic()])


def make_cell(encoder_name: str, method_name: str) -> tuple[torch.nn.Module, torch.nn.Module]:
    """Make an encoder and a method that fits it."""
    encoder = ENCODERS[encoder_name]().to(DEVICE)
    methane = ms.data.MiniSpectra()[0].to(DEVICE)
    has_vectors = encoder(methane.z, methane.pos, bond_index=methane.bond_index).vectors is not None
    make = METHODS[method_name]
    # EMPP and SE3DDM take no such option. EMGP differentiates an energy by default, with any encoder.
    arguments = {} if has_vectors or method_name in ("EMGP", "EMPP", "SE3DDM") else {"prediction": "gradient"}
    return encoder, make(CHANNELS, **arguments).to(DEVICE)


def loss_of(method: torch.nn.Module, encoder: torch.nn.Module, batch: Batch) -> float:
    """Compute the loss under a fixed noise, in evaluation mode."""
    encoder.eval()
    method.eval()
    with torch.no_grad():
        loss = method(encoder, batch, torch.Generator(DEVICE).manual_seed(1))["loss"].item()
    encoder.train()
    method.train()
    return loss


def train(method: torch.nn.Module, encoder: torch.nn.Module, loader: DataLoader, steps: int, lr: float) -> None:
    parameters = [*encoder.parameters(), *method.parameters()]
    optimizer = torch.optim.Adam(parameters, lr)
    generator = torch.Generator(DEVICE).manual_seed(0)
    done = 0
    while done < steps:
        for batch in loader:
            loss = method(encoder, batch.to(DEVICE), generator)["loss"]
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(parameters, 5.0)
            optimizer.step()
            done += 1
            if done == steps:
                break


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    train_molecules = ms.data.MiniSpectra("train", pre_transform=prepare())
    held_out = Batch.from_data_list(list(ms.data.MiniSpectra("validation", pre_transform=prepare()))).to(DEVICE)

    rows, reasons = [], []
    for encoder_name in tqdm(ENCODERS, "encoders"):
        cells = []
        for method_name in METHODS:
            torch.manual_seed(arguments.seed)
            try:
                encoder, method = make_cell(encoder_name, method_name)
                # The first call sets the scale of the target normaliser.
                method(encoder, held_out, torch.Generator(DEVICE).manual_seed(1))
                before = loss_of(method, encoder, held_out)
            except ValueError as error:
                cells.append("refused")
                reasons.append(f"{method_name} on {encoder_name}: {error}")
                continue
            shuffled = torch.Generator().manual_seed(arguments.seed)
            loader = DataLoader(train_molecules, batch_size=32, shuffle=True, generator=shuffled)
            train(method, encoder, loader, arguments.steps, lr=1e-3)
            cells.append(f"{before:.3g} → {loss_of(method, encoder, held_out):.3g}")
        rows.append((encoder_name, cells))

    print(f"loss on {held_out.num_graphs} held-out molecules, before and after {arguments.steps} steps")
    print("".join(name.ljust(24 if index == 0 else 16) for index, name in enumerate(("", *METHODS))))
    for encoder_name, cells in rows:
        print(encoder_name.ljust(24) + "".join(cell.ljust(16) for cell in cells))
    for reason in reasons:
        print(f"\n{reason}")


if __name__ == "__main__":
    main()
