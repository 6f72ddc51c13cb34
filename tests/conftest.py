"""Fixtures and markers of the test suite.

Nothing here imports molspectra while pytest reads this file: the checks of shapes reach only modules that are imported
after the plugin of jaxtyping has installed its hook, which versions before 0.2.37 do once all conftest files are read.
"""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

if TYPE_CHECKING:
    from tests.conformers import PublishedConformers

_REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def seed() -> None:
    """Random weights and molecules are the same in every run, and in every order of the tests."""
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def reference() -> Path:
    """Folder of golden numbers of the published implementations, which is not part of the repository."""
    folder = Path(os.environ.get("MOLSPECTRA_REFERENCE", _REPOSITORY.parent / "shared" / "reference"))
    if not (folder / "fixtures").is_dir():
        pytest.skip(f"no reference numbers at {folder}; set MOLSPECTRA_REFERENCE to the folder that has fixtures/")
    return folder


@pytest.fixture(scope="session")
def dataset_files(reference: Path) -> Path:
    """Folder of sample files in published layouts, beside the golden numbers; no part of the repository either."""
    folder = reference.parent / "dataset"
    if not (folder / "public").is_dir():
        pytest.skip(f"no sample files at {folder}")
    return folder


@pytest.fixture(scope="session")
def load_fixture(reference: Path) -> Callable[[str], Any]:
    """Read a file below fixtures/ by its name: tensors from a .safetensors, plain values from a .json."""

    def load(name: str) -> dict[str, Tensor] | Any:
        path = reference / "fixtures" / name
        return json.loads(path.read_text()) if path.suffix == ".json" else load_file(path)

    return load


@pytest.fixture(scope="session")
def conformers(reference: Path) -> "PublishedConformers":
    """Molecules of the published Frad and SliDe with their noises and energies."""
    from tests.conformers import PublishedConformers

    return PublishedConformers(reference / "fixtures")


@pytest.fixture
def no_shape_checks() -> Iterator[None]:
    """For tests that pass wrong shapes or types on purpose, or compile: see `molspectra.testing`."""
    from molspectra.testing import without_shape_checks

    with without_shape_checks():
        yield


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip, with a reason, what this machine cannot run."""
    skips = {}
    if not torch.cuda.is_available():
        skips["cuda"] = pytest.mark.skip(reason="needs a CUDA device")
    if config.getoption("jaxtyping_packages"):
        # The compiler does not see through the wrappers that check shapes.
        skips["compile"] = pytest.mark.skip(reason="runs without shape checks: pytest -m compile --jaxtyping-packages=")
    for item in items:
        for marker, skip in skips.items():
            if item.get_closest_marker(marker):
                item.add_marker(skip)
