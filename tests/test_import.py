"""Importing the package is silent and brings in no extras."""

import importlib
import importlib.metadata
import pkgutil
import subprocess
import sys

import pytest

import molspectra as ms

EXTRAS = ["rdkit", "ase", "matplotlib", "huggingface_hub", "torch_scatter", "torch_cluster", "torch_sparse", "pytest"]
SUBPACKAGES = [module.name for module in pkgutil.iter_modules(ms.__path__) if module.ispkg]


def run(code: str) -> subprocess.CompletedProcess:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120, check=False)


def test_import_is_silent_and_leaves_extras_alone():
    # torch_geometric picks up torch_scatter by itself, so what it has loaded is not ours.
    done = run(
        "import sys, torch_geometric.data, torch_geometric.utils; before = set(sys.modules); import molspectra; "
        f"print([name for name in {EXTRAS} if name in set(sys.modules) - before])"
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "[]", "")


def test_import_without_any_extra():
    done = run(
        f"import sys; sys.modules.update(dict.fromkeys({EXTRAS})); "  # an entry of None cannot be imported
        "import molspectra; print(molspectra.__version__)"
    )
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, ms.__version__, "")


@pytest.mark.parametrize("name", ["", *SUBPACKAGES])
def test_public_names_resolve(name):
    module = importlib.import_module(f"molspectra.{name}".rstrip("."))
    assert module.__doc__
    assert len(module.__all__) == len(set(module.__all__))
    missing = [public for public in module.__all__ if not hasattr(module, public)]
    assert missing == []


def namespaces():
    """Return every public package, and every public module that lists its names."""
    found = [module.name for module in pkgutil.walk_packages(ms.__path__, "molspectra.") if "._" not in module.name]
    return ["molspectra", *(name for name in found if hasattr(importlib.import_module(name), "__all__"))]


@pytest.mark.parametrize("name", namespaces())
def test_a_namespace_lists_its_public_names(name):
    module = importlib.import_module(name)
    assert dir(module) == sorted(module.__all__)


def test_packages_without_a_list_of_names():
    packages = {m.name for m in pkgutil.walk_packages(ms.__path__, "molspectra.") if m.ispkg and "._" not in m.name}
    assert packages <= set(namespaces())
    assert {f"molspectra.{name}" for name in ("distributed", "sklearn")} <= set(namespaces())


def test_every_stage_of_the_pipeline_is_public():
    public = {name for name in SUBPACKAGES if not name.startswith("_")}
    assert public - {"testing"} <= set(ms.__all__)  # which needs pytest and is imported by itself


def test_version_is_that_of_the_installed_package():
    assert ms.__version__ == importlib.metadata.version("molspectra")
