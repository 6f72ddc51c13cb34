"""Command line: `molspectra embed`, `molspectra list` and `molspectra info`, also as `python -m molspectra …`."""

import argparse
import importlib.metadata
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch

import molspectra as ms
from molspectra.embedding import embed_molecules
from molspectra.embedding.writing import SUFFIXES, check_suffix
from molspectra.pretrained.card import cache_dir

_PACKAGES = ("torch", "torch-geometric", "e3nn", "numpy", "scipy", "safetensors", "rdkit", "ase", "huggingface-hub")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command, and return 0 if it succeeded, 1 if some molecules failed, 2 if nothing could be done."""
    parser = argparse.ArgumentParser(prog="molspectra", description=ms.__doc__.splitlines()[0])
    parser.add_argument("--version", action="version", version=f"molspectra {ms.__version__}")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("info", help="versions, devices and the cache, for bug reports")
    commands.add_parser("list", help="models of the package and published checkpoints, and how to get each")
    embed = commands.add_parser("embed", help="features of the molecules of a file")
    embed.add_argument(
        "molecules", type=Path, help=".csv, .sdf, .mol, .xyz, .extxyz or .smi, or - for SMILES from stdin"
    )
    embed.add_argument("-o", "--output", type=Path, required=True, help=f"file to write: {', '.join(SUFFIXES)}")
    embed.add_argument("--model", required=True, help="a name, a directory of pretrained.save, or a published file")
    embed.add_argument("--smiles", metavar="COLUMN", help="column of a .csv that holds SMILES")
    embed.add_argument(
        "--pool",
        default="recommended",
        help='sum, mean, max, several as "mean+sum", none (atoms), or head (as the energy head); by default what the '
        "card of the model recommends",
    )
    embed.add_argument("--no-hydrogens", action="store_true", help="pool over heavy atoms only")
    embed.add_argument("--layers", nargs="+", help="layers to read, by number or all; by default those of the card")
    embed.add_argument("--batch-size", type=int, default=128)
    embed.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    embed.add_argument("--workers", type=int, default=0, help="processes that make conformers")
    embed.add_argument("--seed", type=int, default=0, help="of conformers")
    embed.add_argument("--quiet", action="store_true", help="no progress bar")
    given = parser.parse_args(arguments)
    if given.command == "info":
        print("\n".join(machine_info()))
        return 0
    if given.command == "list":
        for checkpoint in map(ms.pretrained.checkpoint_info, ms.pretrained.list_checkpoints()):
            print(f"{checkpoint.name:18}{checkpoint.method:12}{checkpoint.status:16}{checkpoint.source}")
        return 0
    try:
        return embed_file(given)
    except (AssertionError, ImportError, OSError, RuntimeError, ValueError) as error:  # torch asserts CUDA
        print(f"error: {error}", file=sys.stderr)
        return 2


def machine_info() -> list[str]:
    """Return the lines that a bug report should contain."""
    lines = [f"molspectra {ms.__version__}", f"Python {platform.python_version()} on {platform.platform()}"]
    for package in _PACKAGES:
        try:
            lines.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            lines.append(f"{package}: not installed")
    devices = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    lines.append(f"CUDA devices: {', '.join(devices) or 'none'}; {torch.get_num_threads()} CPU threads")
    lines.append(f"cache: {cache_dir()}")
    return lines


def embed_file(given: argparse.Namespace) -> int:
    """Write features, names and problems of the molecules of a file, and return the exit status."""
    if not given.output.resolve().parent.is_dir():
        raise ValueError(f"--output must be in a folder that exists; got {given.output}. Make the folder first.")
    check_suffix(given.output)
    if given.output.is_dir():
        raise ValueError(f"--output must be a file; {given.output} is a folder. Name a file in it.")
    if given.output.resolve() == given.molecules.resolve():
        raise ValueError(f"--output must be another file than the molecules; got {given.output} for both. Rename it.")
    result = embed_molecules(
        given.model,
        _smiles_of_stdin() if given.molecules == Path("-") else given.molecules,
        None if given.pool == "none" else given.pool,
        smiles=given.smiles,
        hydrogens=not given.no_hydrogens,
        layers=_layers(given.layers),
        batch_size=given.batch_size,
        device=given.device,
        seed=given.seed,
        num_workers=given.workers,
        progress=not given.quiet,
    )
    result.save(given.output)
    num_embedded = len(result.names) - len(result.problems)
    print(f"{given.output}: features of {num_embedded} molecules", file=sys.stderr)
    if result.problems:
        print(f"{len(result.problems)} molecules failed:\n  {result.summary()}", file=sys.stderr)
    return 1 if result.problems else 0


def _smiles_of_stdin() -> list[str]:
    """Read one SMILES from each line of the standard input. Names may follow them."""
    return [line.split()[0] for line in sys.stdin if line.strip()]


def _layers(given: Sequence[str] | None) -> Sequence[int] | Literal["all", "recommended"]:
    if given is None:
        return "recommended"
    if given == ["all"]:
        return "all"
    try:
        return [int(layer) for layer in given]
    except ValueError:
        raise ValueError(f"--layers must be numbers, or all; got {' '.join(given)}.") from None


if __name__ == "__main__":
    sys.exit(main())
