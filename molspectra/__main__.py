"""`python -m molspectra embed …` and `python -m molspectra info`."""

import argparse
import importlib.metadata
import platform
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

import molspectra as ms
from molspectra.embedding import Report, embed_each
from molspectra.pretrained import ReferenceCheckpoint
from molspectra.pretrained.card import cache_dir

_PACKAGES = ("torch", "torch-geometric", "e3nn", "numpy", "scipy", "safetensors", "rdkit", "ase", "huggingface-hub")
_POOLS = ("sum", "mean", "none", "head")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 if all went well, 1 if some molecules failed, 2 if nothing could be done."""
    parser = argparse.ArgumentParser(prog="python -m molspectra", description=ms.__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("info", help="versions, devices and the cache, for bug reports")
    embed = commands.add_parser("embed", help="features of the molecules of a file")
    embed.add_argument("molecules", type=Path, help=".sdf, .mol, .xyz, .extxyz or .smi")
    embed.add_argument("-o", "--output", type=Path, required=True, help="the .npz to write")
    embed.add_argument("--model", required=True, help="a name, a directory of pretrained.save, or a published file")
    embed.add_argument("--pool", choices=_POOLS, default="sum", help="head: as the model's energy head")
    embed.add_argument("--layers", type=int, nargs="+", help="layers to read, in place of the output")
    embed.add_argument("--batch-size", type=int, default=128)
    embed.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    embed.add_argument("--seed", type=int, default=0, help="of conformers")
    embed.add_argument("--quiet", action="store_true", help="no progress bar")
    given = parser.parse_args(arguments)
    if given.command == "info":
        print("\n".join(describe()))
        return 0
    try:
        return embed_file(given)
    except (AssertionError, ImportError, OSError, RuntimeError, TypeError, ValueError) as error:  # torch asserts CUDA
        print(f"error: {error}", file=sys.stderr)
        return 2


def describe() -> list[str]:
    """What a bug report should say of the machine."""
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
    """Write features, names and problems of the molecules of a file."""
    if not given.output.resolve().parent.is_dir():
        raise ValueError(f"--output must be in a folder that exists; got {given.output}. Make the folder first.")
    encoder, head_pool = load_encoder(given.model)
    if given.pool == "head" and head_pool is None:
        raise ValueError(f"--pool head needs a model with an energy head; {given.model} has none. Use sum or mean.")
    pool: Any = {"none": None, "head": head_pool}.get(given.pool, given.pool)
    if isinstance(pool, torch.nn.Module):
        pool.to(given.device)
    report = Report()
    rows = list(
        embed_each(
            encoder, given.molecules, pool, report, given.layers, given.batch_size, given.device, given.seed,
            progress=not given.quiet,
        )
    )  # fmt: skip
    known = [row for row in rows if row is not None]
    if not known:
        raise ValueError(f"No molecule could be embedded of {len(rows)} in {given.molecules}.\n  {report.summary()}")
    embedded: dict[str, Any] = {"names": np.array(report.names), "problems": np.array(report.all_problems())}
    if pool is None:
        nothing = known[0][:0]
        filled = [nothing if row is None else row for row in rows]
        embedded |= {
            "features": torch.cat(filled).numpy(),
            "atom_offset": np.cumsum([0, *(len(row) for row in filled)]),
        }
    else:
        missing = torch.full_like(known[0], torch.nan)
        embedded["features"] = torch.stack([missing if row is None else row for row in rows]).numpy()
    with given.output.open("wb") as stream:
        np.savez_compressed(stream, **embedded)
    print(f"{given.output}: features {embedded['features'].shape} of {len(known)} molecules", file=sys.stderr)
    if report.problems:
        print(f"{len(report.problems)} molecules failed:\n  {report.summary()}", file=sys.stderr)
    return 1 if report.problems else 0


def load_encoder(model: str) -> tuple[torch.nn.Module, torch.nn.Module | None]:
    """The encoder of a name, a directory or a published file, and how its energy head pools, if it has one."""
    path = Path(model)
    loaded = ms.pretrained.load_reference(path) if path.is_file() else ms.pretrained.load(model)
    if isinstance(loaded, ReferenceCheckpoint):
        return loaded.encoder, None if loaded.energy_head is None else loaded.energy_head.pool
    if not hasattr(loaded, "out_channels"):
        raise ValueError(
            f"--model must be an encoder; {model} holds a {type(loaded).__name__}. Save the encoder alone."
        )
    return loaded, None


if __name__ == "__main__":
    sys.exit(main())
