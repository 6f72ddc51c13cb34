"""Drawings of molecules in two and three dimensions."""

import io
from typing import Any, Literal

import numpy as np
from torch_geometric.data import Data

from molspectra._validation import check_choice, checked
from molspectra.data import from_smiles, to_rdkit
from molspectra.plots.skeleton import draw_skeleton, flattest_view
from molspectra.plots.style import one_panel, style

View = Literal["2d", "3d", "interactive"]


@checked
def molecule(molecule: Any, view: View = "2d", *, ax: Any = None) -> Any:
    """Draw a molecule.

    Args:
        molecule: A molecule with `z` and `pos`, a SMILES, or a molecule of RDKit.
        view: "2d", the structural formula without its hydrogens on carbon (RDKit), "3d", balls and sticks viewed along
            the flattest direction, or "interactive", a widget for notebooks (needs py3Dmol).
        ax: Axes to draw on. Default: a new figure.

    Returns:
        The axes, or the view of py3Dmol.

    Raises:
        TypeError: This is no molecule.
        ValueError: The view is unknown, or the molecule has no bonds for a structural formula.
        ImportError: RDKit or py3Dmol is needed and not installed.

    Example:
        >>> ax = ms.plots.molecule(ms.data.MiniSpectra()[0], "3d")
    """
    check_choice("view", view, ("2d", "3d", "interactive"))
    if view == "2d":
        picture = _formula(molecule)
        with style() as plt:
            panel = one_panel(plt, ax, (3.0, 3.0))
            panel.imshow(picture, interpolation="antialiased")
            panel.axis("off")
        return panel
    data = _with_positions(molecule)
    if view == "interactive":
        return _widget(data)
    with style() as plt:
        panel = one_panel(plt, ax, (3.2, 3.2))
        pos = flattest_view(data.pos)
        draw_skeleton(panel, data, pos, balls=True)
        panel.set_aspect("equal")
        panel.axis("off")
    return panel


def _formula(molecule: Any, pixels: int = 900) -> np.ndarray:
    """Return an image of the structural formula."""
    from molspectra.data.chemistry._rdkit import import_rdkit

    chem = import_rdkit("molspectra.plots.molecule").Chem
    from matplotlib.image import imread
    from rdkit.Chem import rdDepictor
    from rdkit.Chem.Draw import rdMolDraw2D

    if isinstance(molecule, str):
        mol = chem.MolFromSmiles(molecule)
        if mol is None:
            raise ValueError(f"RDKit cannot read the SMILES {molecule!r}.")
    elif isinstance(molecule, Data):
        mol = to_rdkit(molecule)
    elif isinstance(molecule, chem.Mol):
        mol = chem.Mol(molecule)
    else:
        raise TypeError(f"molecule must be a Data, a SMILES or an RDKit molecule; got a {type(molecule).__name__}.")
    mol = chem.RemoveHs(mol)
    rdDepictor.Compute2DCoords(mol)
    canvas = rdMolDraw2D.MolDraw2DCairo(pixels, pixels)
    options: Any = canvas.drawOptions()
    options.bondLineWidth = 5
    options.padding = 0.08
    options.fixedBondLength = 150
    rdMolDraw2D.PrepareAndDrawMolecule(canvas, mol)
    canvas.FinishDrawing()
    return _cropped(imread(io.BytesIO(canvas.GetDrawingText())))


def _cropped(picture: np.ndarray, margin: int = 20) -> np.ndarray:
    """Return a picture without its white border."""
    ink = np.asarray((picture[..., :3] < 1).any(axis=2))
    rows, columns = (np.flatnonzero(ink.any(axis=axis)) for axis in (1, 0))
    if rows.size == 0:
        return picture
    top, left = max(rows[0] - margin, 0), max(columns[0] - margin, 0)
    return picture[top : rows[-1] + margin, left : columns[-1] + margin]


def _with_positions(molecule: Any) -> Data:
    if isinstance(molecule, str):
        return from_smiles(molecule)
    if isinstance(molecule, Data):
        if molecule.get("z") is None or molecule.get("pos") is None:
            raise ValueError(f"molecule must have z and pos to be drawn in 3D; got the fields {list(molecule.keys())}.")
        return molecule
    from molspectra.data import from_rdkit

    return from_rdkit(molecule)


def _widget(data: Data) -> Any:
    """Return an interactive view.

    Raises:
        ImportError: py3Dmol is not installed.
    """
    try:
        import py3Dmol
    except ImportError as error:
        raise ImportError('view="interactive" needs py3Dmol: pip install py3Dmol.') from error
    from molspectra.data.chemistry.elements import SYMBOLS

    atoms = [
        f"{SYMBOLS[z - 1]} {x:.5f} {y:.5f} {height:.5f}"
        for z, (x, y, height) in zip(data.z.tolist(), data.pos.tolist(), strict=True)
    ]
    widget = py3Dmol.view(width=400, height=400)
    widget.addModel("\n".join([str(len(atoms)), "", *atoms]), "xyz")
    widget.setStyle({"stick": {"radius": 0.12}, "sphere": {"scale": 0.25}})
    widget.zoomTo()
    return widget
