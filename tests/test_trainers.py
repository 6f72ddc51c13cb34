"""The examples of Lightning, Fabric and Accelerate train an encoder, which can be loaded and embeds molecules."""

import runpy
from pathlib import Path

import pytest

import molspectra as ms

EXAMPLES = Path(__file__).parents[1] / "examples"
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
TRAINERS = {
    "14_lightning": {"accelerator": "cpu", "devices": 1, **QUIET},
    "15_fabric": {"accelerator": "cpu", "devices": 1},
    "16_accelerate": {"cpu": True},
}


@pytest.mark.slow  # importing Lightning takes seconds
@pytest.mark.filterwarnings("ignore")  # of the trainers
@pytest.mark.parametrize("name", TRAINERS)
def test_trainers(name, tmp_path, monkeypatch):
    molecules = ms.data.MiniSpectra()[:32]
    monkeypatch.setattr(ms.data, "MiniSpectra", lambda: molecules)
    monkeypatch.chdir(tmp_path)
    example = EXAMPLES / f"{name}.py"
    assert len(example.read_text().splitlines()) <= 40
    main = runpy.run_path(str(example))["main"]
    losses = [main(epochs=epochs, **TRAINERS[name]) for epochs in (1, 12)]
    assert losses[1] < losses[0]
    assert ms.embed(ms.pretrained.load(tmp_path / f"{name[3:]}-encoder"), ["CCO"]).shape == (1, 64)
