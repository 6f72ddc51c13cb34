"""Geometries for stage 1: a conformer of every SMILES of a file, and the structures of `XTBVibrations`.

    python recipes/make_corpus.py qm9_labels.csv.gz --exclude benchmark.csv --workers 16 --output runs/corpus

Molecules whose results are to be measured stay out: those of the files of `--exclude`, those of MiniSpectra, and the
validation and test molecules of `XTBVibrations`. They are compared by the first block of their InChIKey, which leaves
stereochemistry out. Repeat the command to go on after an interruption. Frad and SliDe read angles, torsions and force
constants, which `--topology` adds.
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import pandas
from rdkit import Chem, RDLogger
from torch_geometric.data import Data
from torch_geometric.transforms import Compose

import molspectra as ms

TOPOLOGY = Compose([ms.data.transforms.AddTopology(), ms.data.transforms.ForceConstants.generic()])


def read_smiles(path: Path) -> list[str]:
    """Read the column `smiles` of a table. Rows with a column `benchmark` of 1 are left out."""
    table = pandas.read_csv(path)
    if "benchmark" in table:
        table = table[table["benchmark"] == 0]
    return table["smiles"].tolist()


def connectivity(smiles: str) -> str | None:
    """Return the first block of the InChIKey, or None for a SMILES that RDKit cannot read."""
    molecule = Chem.MolFromSmiles(smiles)
    return None if molecule is None else Chem.MolToInchiKey(molecule)[:14]


def held_out(files: list[Path]) -> set[str | None]:
    """Return the connectivity of all molecules that no pre-training may see."""
    smiles = [text for path in files for text in read_smiles(path)]
    smiles += [data.smiles for data in ms.data.MiniSpectra("all")]
    for split in ("validation", "test"):
        smiles += [data.smiles for data in ms.data.XTBVibrations(split, axes=None)]
    return {connectivity(text) for text in smiles}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("smiles", type=Path, help="table with a column smiles")
    parser.add_argument("--exclude", type=Path, nargs="*", default=[], help="tables of molecules to leave out")
    parser.add_argument("--limit", type=int, help="number of SMILES")
    parser.add_argument("--workers", type=int, default=0, help="processes that make conformers")
    parser.add_argument("--topology", action="store_true", help="add the fields of Frad and SliDe")
    parser.add_argument("--output", type=Path, required=True)
    arguments = parser.parse_args()

    RDLogger.DisableLog("rdApp.*")
    excluded = held_out(arguments.exclude)
    listed = read_smiles(arguments.smiles)
    allowed = [text for text in listed if connectivity(text) not in excluded]
    smiles = allowed[: arguments.limit]
    made = ms.data.conformers(smiles, arguments.output / "conformers", num_workers=arguments.workers)
    wanted = ("z", "pos", "bond_index", "bond_order")

    def molecules() -> Iterator[Data]:
        for source in (made.store, ms.data.XTBVibrations("train", axes=None)):
            for data in source:
                kept = Data(**{field: data[field] for field in wanted}, smiles=data.smiles)
                yield TOPOLOGY(kept) if arguments.topology else kept

    number = ms.data.write_store(arguments.output / "geometries", molecules())
    facts = {
        "held out": len(listed) - len(allowed),
        "smiles": len(smiles),
        "failed": len(made.failed),
        "geometries": number,
    }
    (arguments.output / "corpus.json").write_text(json.dumps(facts, indent=1))
    print(facts)


if __name__ == "__main__":
    main()
