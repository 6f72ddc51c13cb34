"""Fixtures and markers of the test suite.

Nothing here imports molspectra while pytest reads this file: the checks of shapes reach only modules that are imported
after the plugin of jaxtyping has installed its hook, which versions before 0.2.37 do once all conftest files are read.
"""

import functools
import json
import lzma
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

if TYPE_CHECKING:
    from tests.conformers import PublishedConformers

_FIXTURES = Path(__file__).parent / "fixtures"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the suite run under another default dtype of torch: pytest --default-dtype=float64."""
    parser.addoption("--default-dtype", default="float32", help="torch's default dtype in all tests")


def pytest_configure(config: pytest.Config) -> None:
    """Set the default dtype before any test file, and with it molspectra, is imported."""
    torch.set_default_dtype(getattr(torch, config.getoption("--default-dtype")))


def pytest_collectstart(collector: pytest.Collector) -> None:
    """Weights that a test file draws when it is imported are the same in every run, and in every selection of files."""
    if isinstance(collector, pytest.Module):
        torch.manual_seed(0)


@pytest.fixture(autouse=True)
def seed() -> None:
    """Random weights and molecules are the same in every run, and in every order of the tests."""
    torch.manual_seed(0)


@pytest.fixture
def float32_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """Modules are built in float32 under any default dtype, for molecules and spectra from files, which are float32.

    Their forward passes still run under the default, which shows tensors that the library makes without a dtype.
    """
    import molspectra  # noqa: F401 - its modules are among the subclasses

    if torch.get_default_dtype() == torch.float32:
        return

    def in_float32(init: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(init)
        def build(*args: Any, **keywords: Any) -> None:
            default = torch.get_default_dtype()
            torch.set_default_dtype(torch.float32)
            try:
                init(*args, **keywords)
            finally:
                torch.set_default_dtype(default)

        return build

    classes = [nn.Module]
    for module in classes:
        classes += module.__subclasses__()
        if module is not nn.Module and "__init__" in vars(module):
            monkeypatch.setattr(module, "__init__", in_float32(module.__init__))


@pytest.fixture(scope="session")
def reference() -> Iterator[Path]:
    """Folder of the golden numbers, one folder a part; see tests/fixtures/README.md.

    MOLSPECTRA_REFERENCE names another folder, with fixtures/ in it: of all numbers, or of other seeds and sizes.
    """
    if override := os.environ.get("MOLSPECTRA_REFERENCE"):
        folder = Path(override) / "fixtures"
        assert folder.is_dir(), f"MOLSPECTRA_REFERENCE must name a folder that has fixtures/; got {override}"
        yield folder
        return
    with tempfile.TemporaryDirectory() as unpacked:
        for path in _FIXTURES.rglob("*.*"):
            target = Path(unpacked) / path.relative_to(_FIXTURES)
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".xz":
                target.with_suffix("").write_bytes(lzma.decompress(path.read_bytes()))
            elif path.suffix == ".json":
                shutil.copyfile(path, target)
        yield Path(unpacked)


@pytest.fixture(scope="session")
def sample_files() -> Path:
    """Folder of sample files in published layouts, one folder a source; see tests/fixtures/README.md."""
    return _FIXTURES / "files"


@pytest.fixture(scope="session")
def load_fixture(reference: Path) -> Callable[[str], Any]:
    """Read a file of golden numbers by its name: tensors from a .safetensors, plain values from a .json."""

    def load(name: str) -> dict[str, Tensor] | Any:
        path = reference / name
        return json.loads(path.read_text()) if path.suffix == ".json" else load_file(path)

    return load


@pytest.fixture(scope="session")
def conformers(reference: Path) -> "PublishedConformers":
    """Molecules of the published Frad and SliDe with their noises and energies."""
    from tests.conformers import PublishedConformers

    return PublishedConformers(reference)


@pytest.fixture
def generator() -> Callable[..., torch.Generator]:
    """Make a random generator with a seed, on the CPU unless told otherwise."""
    return lambda seed=0, device="cpu": torch.Generator(device).manual_seed(seed)


@pytest.fixture
def no_shape_checks() -> Iterator[None]:
    """For tests that pass wrong shapes or types on purpose, or compile: see `molspectra.testing`."""
    from molspectra.testing import without_shape_checks

    with without_shape_checks():
        yield


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Skip the tests that need a device, where it is missing; leave out those that run without shape checks."""
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("cuda"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))
    if config.getoption("jaxtyping_packages"):
        # The compiler does not see through the wrappers that check shapes: pytest -m compile --jaxtyping-packages=
        config.hook.pytest_deselected(items=[item for item in items if item.get_closest_marker("compile")])
        items[:] = [item for item in items if not item.get_closest_marker("compile")]
    if "PYTEST_XDIST_WORKER" in os.environ:
        # A long test at the end would leave the other processes without work.
        items.sort(key=lambda item: item.get_closest_marker("slow") is None)
