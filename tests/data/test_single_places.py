"""Things that the package does in one place: values of constants, private parts of PyG, archives."""

import re
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[2] / "molspectra"

# Hartree, kcal/mol, Bohr, h, c, e, k_B, N_A and what is derived of them, to four digits.
CONSTANTS = "27.211 0.04336 23.06 627.50 0.52917 1.8897 6.6260 2.9979 1.6021 1.3806 6.0221 8065.5 4.184 143.93"
PRIVATE = r"_slice_dict|_inc_dict|_store\._(num_nodes|mapping)|def _(download|process)\b"


@pytest.mark.parametrize(
    ("place", "pattern"),
    [
        ("data/units.py", "|".join(rf"\b{re.escape(number)}" for number in CONSTANTS.split()) + r"|\b4184\b"),
        ("data/_pyg.py", PRIVATE + r"|torch_geometric\.data\.(data|storage|separate|collate)\b"),
        ("data/io/archives.py", r"^(import|from) (zipfile|tarfile|gzip|bz2)\b"),
    ],
    ids=["constants", "PyG", "archives"],
)
def test_one_module_has_it(place, pattern):
    found = {
        str(path.relative_to(PACKAGE))
        for path in PACKAGE.rglob("*.py")
        if re.search(pattern, path.read_text(), flags=re.MULTILINE)
    }
    assert found == {place}
