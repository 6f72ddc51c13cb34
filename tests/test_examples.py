"""The examples run from beginning to end, for a few steps and with few molecules, within the process of the tests."""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.data import Batch

import molspectra as ms
from molspectra.testing import random_orthogonal

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture
def few_molecules(request, monkeypatch):
    """Limit every split of MiniSpectra to its first molecules, which are small: 40, or as many as a test asks for."""
    count = getattr(request, "param", 40)
    whole = ms.data.MiniSpectra

    def first(*args, **kwargs):
        return whole(*args, **kwargs)[:count]

    first.axes = whole.axes
    monkeypatch.setattr(ms.data, "MiniSpectra", first)
    monkeypatch.syspath_prepend(EXAMPLES)
    yield
    sys.modules.pop("evaluation", None)  # it remembers molecules


@pytest.mark.slow
@pytest.mark.usefixtures("few_molecules")
@pytest.mark.parametrize("method", ["coord", "frad", "slide"])
def test_two_stage_pretraining(method, tmp_path, monkeypatch, capsys):
    arguments = ["--method", method, "--epochs", "1", "1", "--output", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", ["01", *arguments])
    runpy.run_path(str(EXAMPLES / "01_two_stage_pretraining.py"), run_name="__main__")
    out = capsys.readouterr().out
    for line in (
        "gap: random encoder",
        "gap, 10 folds: after stage 2",
        "gap, 10 folds: molspectra-mini",
        "IR + Raman → molecule, molspectra-mini, top 1",
        "spectrum → molecule, top 1",
        "reconstruction, raman",
        "denoising",
    ):
        assert line in out
    written = tmp_path / "seed0"
    pictures = {"losses.png", "reconstruction.png", "attention.png", "embeddings.png"}
    assert pictures <= {path.name for path in written.iterdir()}
    assert isinstance(ms.pretrained.load(written / "encoder"), ms.encoders.EquivariantTransformer)
    loaded = ms.pretrained.load(written / "method")
    assert isinstance(loaded, ms.methods.MolSpectra)
    assert type(loaded.task).__name__.lower() == method


@pytest.mark.slow
@pytest.mark.usefixtures("few_molecules")
def test_swap_the_objective(tmp_path, monkeypatch, capsys):
    # Six steps of each objective: by gradient ascent, the errors of denoising would exceed 1.
    monkeypatch.setattr(sys, "argv", ["03", "--epochs", "6", "--output", str(tmp_path)])
    main = runpy.run_path(str(EXAMPLES / "03_swap_the_objective.py"))["main"]
    main.__globals__["PICTURED"] = "Oc1ccccc1"  # one of the first molecules: a ring beside a bond that turns
    main()
    rows = {line[:24].strip(): line[24:].split() for line in capsys.readouterr().out.splitlines()}
    assert len(rows["random weights"]) == 4
    for method in ("Coord", "Frad, torsions", "Frad, vibrations", "SliDe", "3D-EMGP"):
        denoising, gap = map(float, rows[method][:2])
        assert 0 < denoising < 1
        assert 0 < gap < 3
    assert 0 < float(rows["EMPP"][0]) < 3
    assert (tmp_path / "noises.png").stat().st_size > 0


@pytest.mark.slow
@pytest.mark.usefixtures("few_molecules")
def test_empp_auxiliary(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["04", "--epochs", "1"])
    runpy.run_path(str(EXAMPLES / "04_empp_auxiliary.py"))["main"]()
    rows = {line[:44].strip(): line[44:].split() for line in capsys.readouterr().out.splitlines()}
    assert 0 < float(rows["predicted"][0]) < 5
    assert 1 < float(rows["at the mean bond length, in any direction"][0]) < 3


@pytest.mark.slow
@pytest.mark.usefixtures("few_molecules")
def test_grid(monkeypatch, capsys):
    """Every cell is tested in tests/test_grid.py; here the script's own loop and table are."""
    monkeypatch.setattr(sys, "argv", ["05", "--steps", "1"])
    main = runpy.run_path(str(EXAMPLES / "05_grid.py"))["main"]
    for name in ("EGNN", "GET", "IrrepsTransformer"):
        del main.__globals__["ENCODERS"][name]
    main()
    rows = {line.split()[0]: line for line in capsys.readouterr().out.splitlines() if line}
    assert rows["PaiNN"].count("→") == 7
    assert rows["Adapter(SchNet)"].count("→") == 6
    assert "refused" in rows["Adapter(SchNet)"]
    assert "Directions need atom vectors" in rows["EMPP"]


@pytest.mark.slow
@pytest.mark.usefixtures("few_molecules")
def test_probe_a_checkpoint(reference, monkeypatch, capsys):
    checkpoint = reference / "emgp" / "checkpoint-3dmgp.safetensors"
    monkeypatch.setattr(sys, "argv", ["10", str(checkpoint), "--seeds", "1"])
    runpy.run_path(str(EXAMPLES / "10_probe_a_checkpoint.py"))["main"]()
    rows = {line[:26].strip(): line[26:].split() for line in capsys.readouterr().out.splitlines()}
    assert 0 < float(rows["the checkpoint"][0]) < float(rows["the mean as the guess"][0])


@pytest.mark.slow
@pytest.mark.usefixtures("few_molecules")
def test_specformer_in_your_gnn(capsys):
    runpy.run_path(str(EXAMPLES / "02_specformer_in_your_gnn.py"))["main"](epochs=1)
    assert "test error of the gap" in capsys.readouterr().out
    code = (EXAMPLES / "02_specformer_in_your_gnn.py").read_text().splitlines()
    assert len(code) < 60  # short enough to read at a glance


@pytest.mark.slow
@pytest.mark.usefixtures("few_molecules")
def test_identify_a_spectrum(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(sys, "argv", ["08", "--steps", "2", "--library", str(tmp_path), "--kinds", "ir"])
    runpy.run_path(str(EXAMPLES / "08_identify_a_spectrum.py"))["main"]()
    out = capsys.readouterr().out
    assert sum(line.startswith("uv_vis, ir, raman") for line in out.splitlines()) == 2
    assert "5. " in out
    assert "the ir of" in out
    assert len(ms.retrieval.Index.load(tmp_path)) > 100


@pytest.mark.slow
@pytest.mark.usefixtures("few_molecules")
def test_predict_a_spectrum(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["11", "--epochs", "1"])
    runpy.run_path(str(EXAMPLES / "11_predict_a_spectrum.py"))["main"]()
    rows = {line[:36].strip(): line[36:].split() for line in capsys.readouterr().out.splitlines()}
    assert all(0 < float(cell) < 2 for cell in rows["predicted"])


@pytest.fixture
def pretrained(tmp_path):
    """What example 01 leaves behind, of encoders that have learnt nothing."""
    for name in ("encoder_stage1", "encoder"):
        ms.pretrained.save(ms.encoders.EquivariantTransformer(16, 1, 2, 8), tmp_path / "seed0" / name)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize("few_molecules", [100], indirect=True)  # from fewer, energies of some elements do not follow
@pytest.mark.usefixtures("few_molecules")
def test_finetune_a_property(pretrained, monkeypatch, capsys):
    labels = ["gap", "u0", "mu", "pbe0_r2", "cv"]
    monkeypatch.setattr(sys, "argv", ["06", "--pretrained", str(pretrained), "--steps", "6", "--label", *labels])
    runpy.run_path(str(EXAMPLES / "06_finetune_property.py"))["main"]()
    rows = [line.split() for line in capsys.readouterr().out.splitlines()]
    for label in labels:
        errors = [float(row[-1]) for row in rows if row[0] == label]
        assert len(errors) == 3
        assert all(0 < error < 500 for error in errors)


@pytest.mark.slow
@pytest.mark.usefixtures("few_molecules")
def test_finetune_forces(pretrained, monkeypatch, capsys, sample_files):
    trajectory = str(sample_files / "md17" / "ethanol_gfn2_md.npz")
    arguments = ["--trajectory", trajectory, "--pretrained", str(pretrained), "--steps", "4", "--picoseconds", "0.02"]
    monkeypatch.setattr(sys, "argv", ["07", *arguments])
    runpy.run_path(str(EXAMPLES / "07_finetune_forces.py"))["main"]()
    out = capsys.readouterr().out
    assert "40 frames" in out  # the last fifth of 200
    assert "kinetic energy" in out
    assert all(name in out for name in ("from scratch", "denoising", "denoising + spectra"))


@pytest.mark.slow
@pytest.mark.usefixtures("few_molecules")
def test_structure_and_spectra(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["12", "--epochs", "1"])
    runpy.run_path(str(EXAMPLES / "12_structure_and_spectra.py"))["main"]()
    rows = {line[:24].strip(): line[24:] for line in capsys.readouterr().out.splitlines()}
    assert all(float(rows[name]) > 0 for name in ("the mean gap", "structure", "UV-Vis", "structure + all three"))


@pytest.fixture
def shifts(tmp_path):
    """A file as of CASCADE, with charges as shifts."""
    molecules = list(ms.data.MiniSpectra())[:60]
    charges = torch.cat([molecule.mulliken_charge for molecule in molecules])
    sizes = [molecule.num_nodes for molecule in molecules]
    np.savez(
        tmp_path / "shifts.npz",
        z=torch.cat([molecule.z for molecule in molecules]).numpy().astype("uint8"),
        pos=torch.cat([molecule.pos for molecule in molecules]),
        shift_dft=charges,
        shift_measured=charges.masked_fill(torch.arange(len(charges)) % 3 == 0, torch.nan),
        atom_offset=np.cumsum([0, *sizes]),
        smiles=np.array([molecule.smiles for molecule in molecules]),
    )
    return str(tmp_path / "shifts.npz")


@pytest.mark.slow
def test_shifts_of_atoms(shifts, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["17", shifts, "--epochs", "2", "1"])
    runpy.run_path(str(EXAMPLES / "17_atom_level_nmr.py"))["main"]()
    out = capsys.readouterr().out
    rows = {line[:10].strip(): line[10:].split() for line in out.splitlines()}
    assert all(0 < float(rows[label][0]) < 2 for label in ("dft", "measured"))


@pytest.mark.slow
@pytest.mark.usefixtures("few_molecules")
def test_positions_from_a_spectrum(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["18", "--epochs", "1"])
    example = EXAMPLES / "18_positions_from_a_spectrum.py"
    runpy.run_path(str(example))["main"]()
    rows = {line[:30].strip(): line[30:].split() for line in capsys.readouterr().out.splitlines()}
    names = ("spectra: its own", "spectra: of another molecule", "spectra: none")
    assert all(0 < float(cell) < 5 for name in names for cell in rows[name])
    assert len(example.read_text().splitlines()) <= 150


@pytest.mark.slow
@pytest.mark.usefixtures("few_molecules")
def test_the_denoiser_is_equivariant():
    parts = runpy.run_path(str(EXAMPLES / "18_positions_from_a_spectrum.py"))
    batch = Batch.from_data_list(list(ms.data.MiniSpectra()[10:13])).apply(
        lambda tensor: tensor.double() if tensor.is_floating_point() else tensor
    )
    model = parts["Denoiser"]().double().eval()
    level = torch.full((batch.num_nodes,), 0.7, dtype=torch.float64)
    context = model.context(batch, parts["spectra_of"](batch))
    pos, rotation = parts["centered"](batch.pos, batch), random_orthogonal(torch.float64)
    turned = model(batch, context, pos @ rotation.T, level)
    torch.testing.assert_close(turned, model(batch, context, pos, level) @ rotation.T)


@pytest.mark.slow
@pytest.mark.parametrize("few_molecules", [70], indirect=True)  # more than a batch
@pytest.mark.usefixtures("few_molecules")
def test_computed_to_measured(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["19", "--steps", "2", "--seeds", "2"])
    runpy.run_path(str(EXAMPLES / "19_computed_to_measured.py"))["main"]()
    lines = capsys.readouterr().out.splitlines()
    assert "among the 70 molecules of the test split" in lines[0]
    rows = [line for line in lines if line.startswith(("as in training", "shifted by 2 %", "baseline", "all, lines"))]
    assert len(rows) == 5
    assert all("±" in row and float(row.split()[-1]) >= 0 for row in rows)


@pytest.mark.slow
@pytest.mark.usefixtures("few_molecules")
def test_ablations(monkeypatch, capsys, tmp_path):
    ms.pretrained.save(ms.encoders.EquivariantTransformer(128, 1, 2, 8), tmp_path / "seed0" / "encoder_stage1")
    names = ["without reconstruction", "without IR", "whole patches hidden"]
    monkeypatch.setattr(sys, "argv", ["13", "--pretrained", str(tmp_path), "--epochs", "1", "--only", *names])
    runpy.run_path(str(EXAMPLES / "13_ablations.py"))["main"]()
    out = capsys.readouterr().out
    assert all(any(line.startswith(name) for line in out.splitlines()) for name in names)


@pytest.mark.slow
@pytest.mark.usefixtures("few_molecules")
def test_another_instrument(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["20", "--epochs", "1", "--seeds", "2", "--training", "random ranges"])
    runpy.run_path(str(EXAMPLES / "20_another_instrument.py"))["main"]()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith(("learned", "axis"))]
    assert len(rows) == 2
    assert all("instrument, top 1 0." in row and "±" in row for row in rows)
