"""Dependencies inside the package point one way, and nothing heavy or remote is imported where it should not be."""

import ast
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "molspectra"
ANY = {""}

# What each part of the package may import from the rest, besides itself and what is SHARED.
MAY_IMPORT = {
    "_batch": set(),
    "_config": set(),
    "_plain": set(),
    "_download": set(),
    "_evaluation": set(),
    "_function_module": {"_signature"},
    "_repr": set(),
    "_signature": set(),
    "_transforms": set(),
    "_validation": set(),
    "distributed": set(),
    "geometry": set(),
    "features": set(),
    "layers": {"geometry"},
    "uncertainty": set(),
    "spectra": {"layers", "geometry"},
    "data": {"geometry", "spectra"},
    "noise": {"data", "geometry"},
    "encoders": {"features", "layers", "geometry"},
    "heads": {"features", "layers", "geometry", "spectra", "uncertainty"},
    "objectives": {"features", "layers", "geometry", "spectra", "uncertainty"},
    "methods": ANY,
    "pretrained": ANY,
    "testing": {"features", "layers", "encoders", "pretrained"},
    "plots": {"data", "embedding", "features", "geometry", "spectra"},
    "retrieval": {"data"},
    "calculator": ANY,
    "embedding": ANY,
    "sklearn": ANY,
    "__main__": ANY,
    "__init__": ANY,
}
SHARED = {
    "_batch",
    "_config",
    "_download",
    "_evaluation",
    "_function_module",
    "_plain",
    "_repr",
    "_signature",
    "_transforms",
    "_validation",
    "distributed",
}

NETWORK = {
    "aiohttp",
    "ftplib",
    "http",
    "httpx",
    "huggingface_hub",
    "requests",
    "socket",
    "torch.hub",
    "torch_geometric.data.download_url",
    "torch_geometric.data.download_google_url",
    "urllib",
}
MAY_USE_NETWORK = {"_download", "pretrained", "data.datasets"}

OPTIONAL = {
    "ase",
    "faiss",
    "huggingface_hub",
    "matplotlib",
    "msgpack",
    "myopic_mces",
    "py3Dmol",
    "pyarrow",
    "pymzml",
    "rdkit",
    "sklearn",
    "tqdm",
    "umap",
}  # extras: imported inside functions only
NEVER = {"torch_cluster", "torch_scatter", "torch_sparse"}  # torch_geometric uses them by itself where they are there


def is_within(name: str, parents: set[str]) -> bool:
    """Whether a dotted name is one of `parents` or lies below one; "" is above everything."""
    return any(parent == "" or name == parent or name.startswith(parent + ".") for parent in parents)


def layer_of(module: str) -> str:
    """Return the entry of MAY_IMPORT that a module belongs to."""
    fitting = [layer for layer in MAY_IMPORT if is_within(module, {layer})]
    assert fitting, f"molspectra.{module} belongs to no layer: add it to MAY_IMPORT"
    return max(fitting, key=len)


def imported_names(tree: ast.AST, package: str) -> Iterator[str]:
    """Absolute dotted names of everything imported; `from a import b` counts as a.b, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, base]).rstrip(".")
            yield from (f"{base}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Attribute) and ast.unparse(node) == "torch.hub":
            yield "torch.hub"


def without_functions(tree: ast.Module) -> ast.Module:
    """The statements that run when the module is imported by Python (a type checker's are left out, too)."""

    class Remove(ast.NodeTransformer):
        def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
            return None

        visit_AsyncFunctionDef = visit_FunctionDef

        def visit_If(self, node: ast.If) -> ast.AST | None:
            return None if "TYPE_CHECKING" in ast.unparse(node.test) else self.generic_visit(node)

    return Remove().visit(tree)


def violations(source: str, module: str, is_package: bool = False) -> list[str]:
    """What is wrong with the imports of a module, named without the leading "molspectra."."""
    tree = ast.parse(source)
    layer = layer_of(module)
    package = f"molspectra.{module}" if is_package else f"molspectra.{module}".rpartition(".")[0]
    found = []
    for name in sorted(set(imported_names(tree, package))):
        if is_within(name, {"molspectra"}):
            target = name.removeprefix("molspectra").removeprefix(".")
            if not is_within(target, MAY_IMPORT[layer] | SHARED | {layer}):
                found.append(f"{module} imports {name}, but {layer} may not")
        if is_within(name, NEVER):
            found.append(f"{module} imports {name}; use torch_geometric.utils")
        if is_within(name, NETWORK) and not is_within(module, MAY_USE_NETWORK):
            found.append(f"{module} imports {name}; only {sorted(MAY_USE_NETWORK)} use the network")
    for name in sorted(set(imported_names(without_functions(tree), package))):
        if is_within(name, OPTIONAL - {layer}):  # molspectra.sklearn is imported by name, or when it is first used
            found.append(f"{module} imports {name} with the module; import extras inside functions")
    return found


def modules() -> list[Path]:
    """All source files of the package."""
    return sorted(PACKAGE.rglob("*.py"))


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
    parts = path.relative_to(PACKAGE).with_suffix("").parts
    is_package = parts[-1] == "__init__" and len(parts) > 1
    module = ".".join(parts[:-1] if is_package else parts)
    assert violations(path.read_text(encoding="utf-8"), module, is_package) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("geometry.linalg", "from molspectra.layers import radial"),
        ("geometry.linalg", "from ..layers.radial import CosineCutoff"),
        ("geometry.linalg", "from .. import layers"),
        ("geometry.linalg", "import molspectra"),
        ("heads.vector", "from molspectra.encoders import EquivariantTransformer"),
        ("heads.vector", "def f():\n    from molspectra.noise.coord import CoordNoise"),
        ("objectives.denoising", "import molspectra.methods.coord"),
        ("noise.coord", "from molspectra.objectives.denoising import DenoisingLoss"),
        ("features", "from molspectra.encoders.egnn.model import EGNN"),
        ("spectra.specformer", "from molspectra.data import MiniSpectra"),
        ("encoders.egnn", "import torch_scatter"),
        ("methods.coord", "from torch_cluster import radius_graph"),
        ("spectra.axis", "import urllib.request"),
        ("methods.coord", "import torch\ntorch.hub.load_state_dict_from_url('')"),
        ("data.chemistry.smiles", "from rdkit import Chem"),
        ("data.chemistry.smiles", "try:\n    import ase.io\nexcept ImportError:\n    pass"),
        ("data.datasets.qm9s", "class Data:\n    import tqdm"),
    ],
)
def test_a_violation_is_found(module, source):
    assert len(violations(source, module)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("geometry.linalg", "from . import neighbors\nfrom molspectra._validation import values_are_free"),
        ("heads.vector", "from molspectra.features import AtomFeatures"),
        ("spectra.specformer", "from molspectra.spectra.scaling import Log10Scaling"),
        ("methods.coord", "from molspectra.noise import CoordNoise\nfrom molspectra.encoders import EGNN"),
        ("data.chemistry.smiles", "def from_smiles(s):\n    from rdkit import Chem"),
        ("data.chemistry.smiles", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import ase"),
        ("data.datasets.qm9s", "import urllib.request"),
        ("pretrained.hub", "def f():\n    from huggingface_hub import snapshot_download"),
    ],
)
def test_what_is_allowed_passes(module, source):
    assert violations(source, module) == []


def test_a_module_outside_every_layer_is_found():
    with pytest.raises(AssertionError, match="belongs to no layer"):
        violations("", "trainer")


def module_name(path: Path) -> str:
    """Return the dotted name of a source file, below and including "molspectra"."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph(sources: dict[str, tuple[str, bool]]) -> dict[str, set[str]]:
    """Map each module to the modules it imports anywhere, in functions and for type checkers too.

    A package that only re-exports is looked through: importing a name from it means importing the module below it. That
    a module's own package runs first is Python's business and no dependency of the module.
    """
    graph = {}
    for module, (source, is_package) in sources.items():
        package = module if is_package else module.rpartition(".")[0]
        targets = set()
        for name in imported_names(ast.parse(source), package):
            while name and name not in sources:
                name = name.rpartition(".")[0]
            if name and name != module and not module.startswith(name + "."):
                targets.add(name)
        graph[module] = targets
    return graph


def find_circle(graph: dict[str, set[str]]) -> list[str]:
    """Return the modules of one circle of imports, or nothing."""
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        return error.args[1]
    return []


def test_no_circle_of_imports():
    sources = {module_name(p): (p.read_text(encoding="utf-8"), p.name == "__init__.py") for p in modules()}
    assert find_circle(import_graph(sources)) == []


def test_a_circle_is_found():
    late = "def f():\n    from molspectra.b import g"
    sources = {"molspectra.a": (late, False), "molspectra.b": ("from molspectra.a import f", False)}
    assert set(find_circle(import_graph(sources))) == {"molspectra.a", "molspectra.b"}
