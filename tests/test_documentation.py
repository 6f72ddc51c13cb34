"""The pages and the README: what they quote exists, and their form is that of a page which is read on any screen."""

import re
from pathlib import Path

import pytest
import torch

import molspectra as ms
from tools import architecture, zoo

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
PAGES = [page for page in PAGES if "_build" not in page.parts]
COLUMNS = 88

PAINN = ms.encoders.PaiNN(16, 1)
WATER = ms.data.from_smiles("O")
SPECFORMER = ms.spectra.SpecFormer({"ir": 60}, 10, 5, 8, num_layers=1, num_heads=2)
ERRORS = {
    "needs molecules as a torch_geometric Data or Batch; got a list": lambda: ms.methods.Coord(16)(PAINN, [WATER]),
    "needs the fields ['rotatable_index'": lambda: ms.noise.FradNoise()(WATER),
    "z must lie in 1..100 (atomic numbers)": lambda: PAINN(torch.tensor([0]), torch.zeros(1, 3)),
    "pos must be finite": lambda: PAINN(WATER.z, WATER.pos * float("nan")),
    "batch must be sorted and start at 0 or above": lambda: PAINN(WATER.z, WATER.pos, torch.tensor([1, 0, 0])),
    "smiles must be a valid SMILES string": lambda: ms.data.from_smiles("C1CC"),
    "Bring it onto that axis with molspectra.data.resample": lambda: SPECFORMER({"ir": torch.zeros(2, 50)}),
    "Unknown kind of spectrum": lambda: SPECFORMER({"nmr": torch.zeros(2, 60)}),
    "For one spectrum pass spectrum.unsqueeze(0)": lambda: SPECFORMER({"ir": torch.zeros(60)}),
    "mixes NaN or infinite values with finite ones": lambda: SPECFORMER({"ir": torch.eye(2, 60) / 0}),
    "This head needs atom vectors (N, 3, F); the encoder gave None": lambda: ms.heads.VectorHead(4)(
        ms.encoders.AtomFeatures(torch.zeros(3, 4)), WATER
    ),
    "pos must be torch.bfloat16, as the weights are": lambda: ms.encoders.PaiNN(16, 1).bfloat16()(WATER.z, WATER.pos),
    "generator must be a torch.Generator or None": lambda: ms.noise.CoordNoise()(WATER, 0),
    "missing a required argument: 'channels'": lambda: ms.methods.Coord(),
    "name must be one of": lambda: ms.pretrained.load("coord"),
    "cannot be fetched automatically": lambda: ms.pretrained.load("frad-qm9"),
    "forbids to fetch it": lambda: ms.pretrained.load("3d-emgp"),
}


@pytest.mark.usefixtures("no_shape_checks")
@pytest.mark.parametrize("text", ERRORS)
def test_troubleshooting_quotes_errors(text, monkeypatch, tmp_path):
    monkeypatch.setenv("MOLSPECTRA_CACHE", str(tmp_path))
    monkeypatch.setenv("MOLSPECTRA_OFFLINE", "1")
    assert f"`{text}`" in (ROOT / "docs" / "troubleshooting.md").read_text()
    with pytest.raises((ValueError, TypeError, FileNotFoundError, ConnectionError), match=re.escape(text)):
        ERRORS[text]()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_code_of_pages_fits_the_screen(page):
    fenced, wide = False, []
    for number, line in enumerate(page.read_text().splitlines(), 1):
        fence = line.lstrip().startswith("```")
        fenced ^= fence
        if fenced and not fence and len(line) > COLUMNS:
            wide.append(f"{page.relative_to(ROOT)}:{number}: {len(line)} columns of code, more than {COLUMNS}")
    assert not wide, "\n" + "\n".join(wide)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_pictures_of_pages_exist_and_have_a_text(page):
    for text, target in re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text()):
        assert len(text) > 15, f"{page}: {target} needs a text for readers who do not see it"
        assert (page.parent / target).is_file(), f"{page}: {target} is missing"


def test_the_readme_is_one_screen_and_links_to_pages():
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= 90
    for target in re.findall(r"\]\((docs/[^)#]+)", text):
        assert (ROOT / target).is_file(), f"README.md: {target} is missing"


def test_the_architecture_is_drawn_as_committed():
    assert architecture.FIGURE.read_text() == architecture.draw(), "run python -m tools.architecture"
    names = {name for module in (ms, ms.spectra, ms.objectives) for name in dir(module)}
    assert {"noise", "encoders", "heads", "objectives", "methods", "PatchMask", "SpecFormer", "PatchDecoder"} <= names


def test_the_zoo_lists_every_checkpoint():
    tables = zoo.tables()
    assert all(f"| `{name}` |" in tables for name in ms.pretrained.list_checkpoints())


def test_the_zoo_shows_cards_of_shipped_weights(tmp_path):
    folder = tmp_path / "tiny"
    folder.mkdir()
    card = "---\nlicense: mit\n---\n# tiny\n\nText.\n\n## Use\n\n```python\n# a comment\n```\n"
    (folder / "README.md").write_text(card)
    assert zoo.shipped(tmp_path) == {"tiny": folder / "README.md"}
    section = zoo.card("tiny", folder / "README.md")
    assert section == "## `tiny`\n\nText.\n\n### Use\n\n```python\n# a comment\n```\n"
    assert zoo.shipped(tmp_path / "none") == {}


def test_every_public_name_has_a_page():
    """The reference lists modules and a few names. Those of each module are taken from its `__all__`."""
    listed = set(re.findall(r"^   (molspectra[\w.]*)$", (ROOT / "docs" / "api.md").read_text(), re.MULTILINE))
    for name in ms.__all__:
        assert f"molspectra.{name}" in listed, f"docs/api.md lacks molspectra.{name}"
