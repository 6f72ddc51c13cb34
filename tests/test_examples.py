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


@pytest.mark.slow
def test_specformer_in_your_gnn(capsys):
    runpy.run_path(str(EXAMPLES / "02_specformer_in_your_gnn.py"))["main"](epochs=1)
    assert "test error of the gap" in capsys.readouterr().out
    code = (EXAMPLES / "02_specformer_in_your_gnn.py").read_text().splitlines()
    assert len(code) < 60  # short enough to read at a glance
