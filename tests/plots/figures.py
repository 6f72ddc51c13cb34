"""Figures that the tests compare with stored images: `python -m tests.plots.figures` draws the stored ones anew."""

import io
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch_geometric.data import Batch, Data

import molspectra as ms

BASELINE = Path(__file__).parent / "baseline"
AXES = ms.data.MiniSpectra.axes
NMR = ms.data.SpectrumAxis("nmr_h", 0.0, 12.0, 0.02, "ppm")
MASS = ms.data.SpectrumAxis("ms", 0.0, 100.0, 1.0, "m/z")


def lines(axis: ms.data.SpectrumAxis, *places: float) -> torch.Tensor:
    """Return a spectrum (L,) of lines at some places of an axis, of heights 1, 2, …"""
    width = (axis.stop - axis.start) / 60
    grid = axis.grid.unsqueeze(1)
    shapes = torch.exp(-0.5 * ((grid - torch.tensor(places, dtype=grid.dtype)) / width).square())
    return (shapes * torch.arange(1, len(places) + 1)).sum(dim=1).float()


def batch() -> Batch:
    """Return three molecules with made-up spectra, of which one lacks its Raman spectrum."""
    rows = []
    for shift in (0.0, 1.0, 2.0):
        ir, uv_vis = lines(ms.data.IR, 1000 + 300 * shift, 3000), lines(ms.data.UV_VIS, 4 + shift, 9)
        raman = ir * torch.nan if shift == 2 else lines(ms.data.RAMAN, 1500, 2500 + 300 * shift)
        rows.append(Data(uv_vis=uv_vis[None], ir=ir[None], raman=raman[None], num_nodes=1))
    return Batch.from_data_list(rows)


def specformer() -> ms.spectra.SpecFormer:
    """Return a small SpecFormer whose weights are the same with every version of torch."""
    module = ms.spectra.SpecFormer(AXES, 200, 100, 16, num_layers=2, num_heads=4, out_channels=8, norm="layer").eval()
    return same_weights(module)


def same_weights(module: Any) -> Any:
    """Replace random weights by cosines, and biases by 0."""
    with torch.no_grad():
        for number, (name, parameter) in enumerate(module.named_parameters()):
            if name.endswith("bias"):
                parameter.zero_()
            if parameter.dim() > 1:
                phase = torch.arange(parameter.numel(), dtype=torch.float64) * (1.3 + 0.1 * number)
                parameter.copy_(phase.cos().view_as(parameter) * 1.5 / parameter.shape[-1] ** 0.5)
    return module


def propanol() -> Data:
    """Return n-propanol, in a geometry that is written down here."""
    carbons = [(0.0, 0.0, 0.0), (1.52, 0.0, 0.0), (2.03, 1.43, 0.1), (3.45, 1.45, 0.2)]
    hydrogens = [
        (-0.38, -1.02, 0.0),
        (-0.38, 0.51, 0.89),
        (-0.38, 0.51, -0.89),
        (1.9, -0.53, 0.88),
        (1.9, -0.53, -0.88),
    ]
    more = [(1.65, 1.96, 0.98), (1.65, 1.96, -0.78), (3.75, 2.36, 0.25)]
    bonds = [(0, 1), (1, 2), (2, 3), (0, 4), (0, 5), (0, 6), (1, 7), (1, 8), (2, 9), (2, 10), (3, 11)]
    return Data(
        z=torch.tensor([6, 6, 6, 8] + [1] * 8),
        pos=torch.tensor(carbons + hydrogens + more),
        bond_index=torch.tensor(bonds).T.contiguous(),
        bond_order=torch.ones(len(bonds)),
    )


class Wave:
    """A noise that is the same with every version of torch."""

    def __init__(self, scale: float) -> None:
        self.scale = scale

    def __call__(self, data: Data, generator: torch.Generator | None = None) -> Data:
        noisy = data.clone()
        wave = torch.sin(torch.arange(data.pos.numel(), dtype=torch.float64) * 2.399963).view_as(data.pos)
        noisy.pos = data.pos + self.scale * wave.float()
        return noisy


def history() -> list[dict[str, float]]:
    """Return losses of forty steps, some of them missing."""
    steps = [{"loss": 2 * math.exp(-step / 10) + 0.3, "denoising": math.exp(-step / 10)} for step in range(40)]
    for step in range(0, 40, 10):
        steps[step]["validation"] = 1.5 * math.exp(-step / 12) + 0.2
    return steps


def rows() -> torch.Tensor:
    """Return 40 points of 5 channels on two arcs."""
    angle = torch.linspace(0, 3, 40, dtype=torch.float64)
    side = torch.arange(40) % 2
    return torch.stack([angle.cos() + side, angle.sin(), 0.2 * angle, 0.1 * side + 0 * angle, 0 * angle], dim=1)


def reconstruction() -> Any:
    method = same_weights(ms.methods.MaskedReconstruction(specformer()))

    # Drawn by hand: random numbers of other versions of torch may be others.
    def mask(prepared: Any, generator: Any = None) -> dict[str, torch.Tensor]:
        samples = {kind: torch.arange(row.shape[1]) for kind, row in prepared.scaled.items()}
        return {kind: ((place // 200) % 3 == 1).expand_as(prepared.scaled[kind]) for kind, place in samples.items()}

    method.mask = mask
    return ms.plots.reconstruction(method, batch(), 1)


FIGURES: dict[str, Callable[[], Any]] = {
    "spectra": lambda: ms.plots.spectrum(batch()[0], AXES),
    "spectra_together": lambda: ms.plots.spectrum(batch().ir, ms.data.IR, labels=["a", "b", "c"]),
    "nmr": lambda: ms.plots.spectrum(lines(NMR, 1.2, 3.6, 7.2), NMR),
    "mass": lambda: ms.plots.spectrum((torch.arange(101) % 14 == 1) * torch.arange(101.0), MASS),
    "reconstruction": reconstruction,
    "heads": lambda: ms.plots.attention(specformer(), batch()),
    "attention": lambda: ms.plots.attention(specformer(), batch(), head="mean", layer=0),
    "numbers": lambda: ms.plots.embedding(rows(), rows()[:, 0], label="angle (rad)"),
    "groups": lambda: ms.plots.embedding(rows(), ["odd" if number % 2 else "even" for number in range(40)]),
    "noises": lambda: ms.plots.noise({"small": Wave(0.05), "large": Wave(0.2)}, propanol(), copies=40),
    "balls": lambda: ms.plots.molecule(propanol(), "3d"),
    "training": lambda: ms.plots.training(history()),
}


def picture(axes: Any) -> np.ndarray:
    """Draw the figure of axes as an image without its text, whose shape depends on versions of fonts, (H, W, 3)."""
    from matplotlib.image import imread
    from matplotlib.text import Text

    figure = np.ravel(axes)[0].figure.figure  # of a part of a figure, the whole
    figure.draw_without_rendering()  # places the ticks
    for text in figure.findobj(Text):
        text.set_visible(False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=50)
    buffer.seek(0)
    return np.rint(255 * imread(buffer)[..., :3]).astype(np.uint8)


def main() -> None:
    from PIL import Image

    BASELINE.mkdir(exist_ok=True)
    for name, make in FIGURES.items():
        image = Image.fromarray(picture(make())).quantize(64)
        image.save(BASELINE / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
