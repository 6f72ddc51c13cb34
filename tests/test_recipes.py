"""The recipes run from beginning to end on a few molecules, and go on where they were interrupted."""

import csv
import importlib
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import molspectra as ms

RECIPES = Path(__file__).parents[1] / "recipes"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a recipe with arguments, and return its output."""

    def call(name, *arguments):
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        importlib.import_module(name).main()
        return capsys.readouterr().out

    return call


@pytest.fixture(autouse=True)
def recipes(monkeypatch):
    """Make the recipes importable, as they are for each other when one is run."""
    monkeypatch.syspath_prepend(str(RECIPES))
    yield
    for name in [name for name, module in sys.modules.items() if str(RECIPES) in str(getattr(module, "__file__", ""))]:
        del sys.modules[name]


@pytest.fixture(scope="module")
def geometries(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus") / "geometries"
    ms.data.write_store(folder, list(ms.data.XTBVibrations("train", axes=None)[:80]))
    return folder


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """Write molecules in the layout of the benchmarks, with labels of GFN2-xTB in the units of QM9's files."""
    molecules = list(ms.data.XTBVibrations("validation", axes=None)[:40])
    hartree = ms.data.units.HARTREE
    labels = {
        **{name: [data[name].item() / hartree for data in molecules] for name in ("gap", "homo", "lumo", "zpve")},
        **{name: [data[name].item() for data in molecules] for name in ("mu", "alpha", "cv")},
        "r2": [data.pos.square().sum().item() for data in molecules],
        "u0": [data.energy.item() / hartree for data in molecules],
    }
    path = tmp_path_factory.mktemp("benchmark") / "benchmark.npz"
    np.savez(
        path,
        z=torch.cat([data.z for data in molecules]).numpy().astype("uint8"),
        pos=torch.cat([data.pos for data in molecules]).numpy(),
        atom_offset=np.cumsum([0, *(data.num_nodes for data in molecules)]).astype("int32"),
        smiles=np.array([data.smiles for data in molecules]),
        **{name: np.array(values) for name, values in labels.items()},
    )
    return path


@pytest.fixture
def small(monkeypatch):
    """Shrink the settings "mini" of a recipe, and its training to a few steps."""

    def shrink(name, schedule, **changes):
        module = importlib.import_module(name)
        mini = module.SETTINGS["mini"]
        changed = replace(mini, schedule=replace(mini.schedule, warmup=1, log_every=1, **schedule), **changes)
        monkeypatch.setitem(module.SETTINGS, "mini", changed)

    return shrink


@pytest.mark.slow
def test_a_corpus_leaves_out_what_is_measured(run, tmp_path):
    held_out = ms.data.XTBVibrations("test", axes=None)[0].smiles
    (tmp_path / "smiles.csv").write_text(f"smiles,benchmark\nCCO,0\n{held_out},0\nCCCCO,1\nCCCN,0\nC(C)(C)CC=O,0\n")
    (tmp_path / "excluded.csv").write_text("smiles\nNCCC\n")  # written in another way
    run("make_corpus", tmp_path / "smiles.csv", "--exclude", tmp_path / "excluded.csv", "--output", tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "corpus.json").read_text())
    made = ms.data.MoleculeStore(tmp_path / "out" / "conformers")
    found = {data.smiles for data in made}
    assert facts["smiles"] == len(made)
    assert "CCCCO" not in found
    assert held_out not in found
    assert "CCCN" not in found
    assert facts["geometries"] == len(made) + len(ms.data.XTBVibrations("train"))


def rows(folder):
    with (folder / "log.csv").open(newline="") as file:
        return [
            {name: float(value) for name, value in row.items() if name != "seconds"} for row in csv.DictReader(file)
        ]


@pytest.mark.slow
def test_two_stages_and_their_measurement(run, small, geometries, benchmark, tmp_path):
    small("pretrain_encoder", {"save_every": 2}, channels=16, num_heads=2, num_layers=2, batch_size=8)
    run("pretrain_encoder", "--geometries", geometries, "--steps", 6, "--output", tmp_path / "coord")
    assert [row["step"] for row in rows(tmp_path / "coord")] == [1, 2, 3, 4, 5, 6]

    small("pretrain_molspectra", {"save_every": 2}, num_spectra=4, num_geometries=2)
    plateau = tmp_path / "coord" / "plateau"
    run(
        "pretrain_molspectra",
        "--start",
        plateau,
        "--geometries",
        geometries,
        "--steps",
        2,
        "--output",
        tmp_path / "both",
    )
    assert set(rows(tmp_path / "both")[0]) == {"step", "loss", "denoising", "contrastive", "reconstruction"}
    run("take_weights", tmp_path / "both" / "final", "--output", tmp_path / "weights")
    weights = tmp_path / "weights" / "encoder"
    specformer = ms.pretrained.load(tmp_path / "weights" / "specformer")
    assert specformer.kinds == ("ir", "raman")
    trainings = [tmp_path / name / "final" for name in ("coord", "both")]
    out = run("force_correlation", write_frames(tmp_path / "frames.npz"), "--trainings", *trainings)
    assert [line.split()[0] for line in out.splitlines()] == ["random", "coord", "both"]

    table = run(
        "probe", benchmark, "--models", weights, "--layers", "all", "--seeds", 2, "--output", tmp_path / "probe"
    )
    assert "element counts" in table
    assert "ratio to random weights" in table
    found = json.loads((tmp_path / "probe" / "probe.json").read_text())
    assert all(np.isfinite(found[name]["gap"]).all() for name in found)
    assert len(found[str(weights)]["u0"]) == 2


def test_an_interrupted_training_gives_the_losses_of_an_uninterrupted_one(
    run, small, geometries, tmp_path, monkeypatch
):
    small("pretrain_encoder", {"save_every": 2}, channels=16, num_heads=2, num_layers=2, batch_size=8)
    run("pretrain_encoder", "--geometries", geometries, "--steps", 6, "--output", tmp_path / "whole")
    training = importlib.import_module("training")
    save = training._save

    def killed(folder, step, *state):
        save(folder, step, *state)
        if step == 4:
            raise KeyboardInterrupt

    parts = ["--geometries", geometries, "--steps", 6, "--output", tmp_path / "parts"]
    with monkeypatch.context() as patch:
        patch.setattr(training, "_save", killed)
        with pytest.raises(KeyboardInterrupt):
            run("pretrain_encoder", *parts)
    with pytest.raises(ValueError, match=r"holds a training with .*Choose another output folder"):
        run("pretrain_encoder", *parts, "--seed", 1)
    run("pretrain_encoder", *parts)
    assert rows(tmp_path / "parts") == rows(tmp_path / "whole")


def test_finetuning_on_a_property(run, benchmark, tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.import_module("finetune_qm9"), "SIZES", {"validation": 8, "test": 8})
    arguments = ["--models", "coord-mini", "--labels", 16, "--steps", 2, "--seeds", 2, "--output", tmp_path]
    out = run("finetune_qm9", benchmark, "--label", "gap", *arguments)
    assert "gap, 16 labels, scratch: " in out
    assert "gap, 16 labels, coord-mini: " in out
    assert len(json.loads((tmp_path / "gap-validation.json").read_text())) == 4


def write_frames(path):
    """Write 60 frames with a harmonic energy and its forces, in the layout of MD17."""
    molecule = ms.data.XTBVibrations("test", axes=None)[0]
    noise = 0.05 * np.random.default_rng(0).standard_normal((60, molecule.num_nodes, 3))
    arrays = {"E": 50 * np.square(noise).sum(axis=(1, 2)), "F": -100 * noise}
    np.savez(path, z=molecule.z.numpy(), R=molecule.pos.numpy() + noise, **arrays)
    return path


def test_finetuning_on_forces(run, tmp_path):
    arguments = ["--models", "coord-mini", "--frames", 5, "--steps", 2, "--seeds", 1, "--by", "time"]
    out = run("finetune_md17", write_frames(tmp_path / "frames.npz"), *arguments, "--output", tmp_path / "out")
    assert "scratch" in out
    assert "coord-mini" in out
    assert np.isfinite(json.loads((tmp_path / "out" / "validation.json").read_text())["scratch-5-0"]).all()


@pytest.mark.slow
def test_retrieval(run, tmp_path):
    out = run("retrieve", "--limit", 20, "--output", tmp_path / "retrieval.json")
    found = json.loads((tmp_path / "retrieval.json").read_text())
    assert "XTBVibrations, validation, ir + raman, same formula" in out
    assert all(0 <= low <= value <= high <= 1 for row in found.values() for value, low, high in row.values())
