"""The figure of the parts of molspectra, as SVG: `python -m tools.architecture` writes it.

The molecule and its spectra are those of phenol in MiniSpectra. Fonts are those of the reader's system, and colors
follow its light or dark scheme.
"""

import re
from pathlib import Path
from xml.sax.saxutils import escape

import numpy as np

import molspectra as ms

FIGURE = Path(__file__).parents[1] / "docs" / "figures" / "architecture.svg"
WIDTH, HEIGHT = 800, 372
ELEMENTS = {1: ("light", 4.0), 6: ("ink", 6.0), 7: ("blue", 6.5), 8: ("red", 6.5)}  # class and radius of an atom
ALONE = "Alone: `embed` gives features of molecules, `retrieval` finds molecules by spectra."
STYLE = """
text { font: 14px -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; fill: #1a1a1a; }
.code { font: 12.5px ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; fill: #0b5394; }
.small { font-size: 12.5px; fill: #555; }
.title { font-weight: 600; }
.box { fill: #f3f6fa; stroke: #8aa0b8; }
.joint { fill: #fdf3e3; stroke: #d1a054; }
.line { fill: none; stroke: #555; stroke-width: 1.5; }
.head, .ink { fill: #555; }
.light { fill: #fff; stroke: #777; }
.blue { fill: #0072b2; }
.red { fill: #d55e00; }
.curve { fill: none; stroke: #0072b2; stroke-width: 1.2; }
@media (prefers-color-scheme: dark) {
  svg { background: #0d1117; }
  text { fill: #e6e6e6; }
  .code { fill: #79b8ff; }
  .small { fill: #aaa; }
  .box { fill: #161f2b; stroke: #4a6078; }
  .joint { fill: #2b2213; stroke: #a67c3d; }
  .line { stroke: #aaa; }
  .head, .ink { fill: #aaa; }
  .curve { stroke: #56b4e9; }
}
"""


def main() -> None:
    """Write the figure."""
    FIGURE.write_text(draw(), encoding="utf-8")


def draw() -> str:
    """Return the figure as SVG."""
    molecule = next(molecule for molecule in ms.data.MiniSpectra("train") if molecule.smiles == "Oc1ccccc1")
    shapes = [
        text(78, 24, "geometry", "title"),
        *atoms_and_bonds(molecule, left=18, top=36, width=120, height=92),
        text(78, 212, "spectra", "title"),
        *curves(molecule, left=18, top=226, width=120, height=110),
        text(78, 352, "UV-Vis, IR, Raman, …", "small"),
        # One row for the geometry, one for the spectra, and the contrast between them.
        *part(170, 40, "noise", "Coord, Frad, SliDe,", "EMGP, AtomMask"),
        *part(330, 40, "encoders", "equivariant", "networks, yours"),
        *part(490, 40, "heads", "vector, energy,", "position, …"),
        *part(650, 40, "objectives", "denoising", "loss"),
        *part(170, 236, "PatchMask", "hides intervals", "or peaks"),
        *part(330, 236, "SpecFormer", "transformer over", "patches, peaks"),
        *part(490, 236, "PatchDecoder", "hidden patches", "from tokens"),
        *part(650, 236, "objectives", "reconstruction", "loss"),
        *part(330, 142, "InfoNCELoss", "molecule – spectra", kind="joint", height=58),
        *part(650, 142, "methods", "weighted sum", kind="joint", height=58),
        text(170, 352, ALONE, "small", "start"),
    ]
    for row in (78, 274):
        shapes += [arrow(138, row, 168, row)]
        shapes += [arrow(x, row, x + 28, row) for x in (300, 460, 620)]
    shapes += [
        arrow(395, 118, 395, 140),
        arrow(395, 236, 395, 202),
        arrow(715, 118, 715, 140),
        arrow(715, 236, 715, 202),
    ]
    shapes += [arrow(460, 171, 648, 171)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img">',
            "<title>Geometries and spectra in; noise, encoders, heads and losses of molspectra</title>",
            f"<style>{STYLE}</style>",
            *shapes,
            "</svg>\n",
        ]
    )


def part(x: int, y: int, name: str, *lines: str, kind: str = "box", height: int = 76) -> list[str]:
    """Return a box with the name of a part of the library and what it holds."""
    middle = x + 65
    box = f'<rect class="{kind}" x="{x}" y="{y}" width="130" height="{height}" rx="8"/>'
    content = [text(middle, y + 44 + 18 * row, line, "small") for row, line in enumerate(lines)]
    return [box, text(middle, y + 22, name, "code"), *content]


def text(x: float, y: float, content: str, kind: str, anchor: str = "middle") -> str:
    """Return a line of text, with names between backquotes set as code."""
    marked = re.sub("`(.*?)`", r'<tspan class="code">\1</tspan>', escape(content))
    return f'<text class="{kind}" x="{x}" y="{y}" text-anchor="{anchor}">{marked}</text>'


def arrow(x0: int, y0: int, x1: int, y1: int) -> str:
    """Return an arrow, horizontal or vertical."""
    along = np.sign([x1 - x0, y1 - y0])
    across = along[::-1]
    tip = np.array([x1, y1])
    points = " ".join(f"{x},{y}" for x, y in (tip, tip - 8 * along + 4 * across, tip - 8 * along - 4 * across))
    end = tip - 6 * along
    return f'<path class="line" d="M{x0} {y0}L{end[0]} {end[1]}"/><polygon class="head" points="{points}"/>'


def atoms_and_bonds(molecule: object, left: int, top: int, width: int, height: int) -> list[str]:
    """Return the molecule, seen along the axis it extends along least."""
    pos = molecule.pos.double().numpy()
    pos = pos - pos.mean(axis=0)
    axes = np.linalg.eigh(pos.T @ pos)[1][:, :0:-1]
    plane = pos @ (axes * np.sign(axes[np.abs(axes).argmax(axis=0), [0, 1]]))  # no sign left to the machine
    low, high = plane.min(axis=0), plane.max(axis=0)
    scale = min(np.array([width - 16, height - 16]) / (high - low))
    places = (plane - (low + high) / 2) * scale + [left + width / 2, top + height / 2]
    bonds = [
        f'<path class="line" d="M{places[i][0]:.0f} {places[i][1]:.0f}L{places[j][0]:.0f} {places[j][1]:.0f}"/>'
        for i, j in molecule.bond_index.T.tolist()
    ]
    atoms = [
        f'<circle class="{ELEMENTS[z][0]}" cx="{x:.0f}" cy="{y:.0f}" r="{ELEMENTS[z][1]}"/>'
        for z, (x, y) in zip(molecule.z.tolist(), places, strict=True)
    ]
    return [*bonds, *atoms]


def curves(molecule: object, left: int, top: int, width: int, height: int) -> list[str]:
    """Return the three spectra of the molecule, one below the other."""
    row = height / 3
    shapes = []
    for place, kind in enumerate(ms.data.MiniSpectra.axes):
        values = molecule[kind][0].double().numpy()
        peaks = np.array([part.max() for part in np.array_split(np.sqrt(values), width)])
        heights = (row - 6) * peaks / peaks.max()
        base = top + row * (place + 1)
        points = " ".join(f"{left + x},{base - y:.0f}" for x, y in enumerate(heights))
        shapes.append(f'<polyline class="curve" points="{points}"/>')
    return shapes


if __name__ == "__main__":
    main()
