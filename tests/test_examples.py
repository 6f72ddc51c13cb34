"""The examples run from beginning to end, for an epoch each."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

import molspectra as ms

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.slow
def test_two_stage_pretraining(tmp_path):
    command = [sys.executable, EXAMPLES / "01_two_stage_pretraining.py", "--epochs", "1", "1", "--output", tmp_path]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    for line in (
        "gap: random encoder",
        "gap, 10 folds: after stage 2",
        "spectrum → molecule, top 1",
        "reconstruction, raman",
        "denoising",
    ):
        assert line in out
    written = tmp_path / "seed0"
    pictures = {"losses.png", "reconstruction.png", "attention.png", "embeddings.png"}
    assert pictures <= {path.name for path in written.iterdir()}
    assert isinstance(ms.pretrained.load(written / "encoder"), ms.encoders.EquivariantTransformer)
    assert isinstance(ms.pretrained.load(written / "method"), ms.methods.MolSpectra)


@pytest.fixture
def few_molecules(monkeypatch):
    """The first molecules of MiniSpectra, which are small, for examples that are run in this process."""
    whole = ms.data.MiniSpectra

    def first_hundred(*args, **kwargs):
        return whole(*args, **kwargs)[:100]

    first_hundred.axes = whole.axes
    monkeypatch.setattr(ms.data, "MiniSpectra", first_hundred)
    monkeypatch.syspath_prepend(EXAMPLES)
    yield
    for module in ("evaluation", "pictures"):
        sys.modules.pop(module, None)  # they remember molecules


@pytest.mark.slow
@pytest.mark.usefixtures("few_molecules")
@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy keyword")  # matplotlib of tensors
@pytest.mark.parametrize("method", ["frad", "slide"])
def test_two_stage_pretraining_with_another_method(method, tmp_path, monkeypatch, capsys):
    arguments = ["--method", method, "--epochs", "1", "1", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["01", *arguments])
    runpy.run_path(str(EXAMPLES / "01_two_stage_pretraining.py"))["main"]()
    assert "denoising" in capsys.readouterr().out
    written = ms.pretrained.load(tmp_path / "seed0" / "method")
    assert type(written.denoise).__name__.lower() == method


@pytest.mark.slow
def test_swap_the_objective(tmp_path):
    command = [sys.executable, EXAMPLES / "03_swap_the_objective.py", "--epochs", "1", "--output", tmp_path]
    out = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    rows = {line[:24].strip(): line[24:].split() for line in out.splitlines()}
    assert len(rows["random weights"]) == 4
    for method in ("Coord", "Frad, torsions", "Frad, vibrations", "SliDe"):
        denoising, gap = map(float, rows[method][:2])
        assert 0 < denoising < 1.5
        assert 0 < gap < 3
    assert (tmp_path / "noises.png").stat().st_size > 0


@pytest.mark.slow
def test_specformer_in_your_gnn(capsys):
    runpy.run_path(str(EXAMPLES / "02_specformer_in_your_gnn.py"))["main"](epochs=1)
    assert "test error of the gap" in capsys.readouterr().out
    code = (EXAMPLES / "02_specformer_in_your_gnn.py").read_text().splitlines()
    assert len(code) < 60  # short enough to read at a glance
