"""Molecules of any source → features, in one call."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._evaluation import evaluating
from molspectra._function_module import modules_inside
from molspectra._validation import check_choice, check_sizes
from molspectra.data.io.molecules import read_molecules
from molspectra.data.io.smiles_entries import ReadMolecule
from molspectra.embedding.batches import BatchEncoder
from molspectra.embedding.layers import Layers
from molspectra.embedding.models import Model, load_encoder
from molspectra.embedding.pooling import Pool, Pooling
from molspectra.embedding.preparation import prepare_molecule
from molspectra.embedding.progress import show_progress
from molspectra.embedding.result import EmbeddingResult
from molspectra.pretrained.reading import Reading, recommended_reading


def embed(
    encoder_or_name: Model,
    molecules: Any,
    pool: Pool = "recommended",
    *,
    smiles: str | None = None,
    hydrogens: bool = True,
    layers: Layers | Literal["recommended"] = "recommended",
    batch_size: int = 128,
    device: torch.device | str | None = None,
    seed: int = 0,
    num_workers: int = 0,
    output: Literal["numpy", "torch"] = "numpy",
    progress: bool = False,
    on_error: Literal["warn", "raise"] = "warn",
) -> Any:
    """Compute features of molecules, in the order in which they come.

    The encoder runs in evaluation mode and without gradients, and keeps its mode and its device. A molecule that cannot
    be read or encoded costs the others nothing: its row is NaN, and a warning names it. A batch that does not fit into
    memory is halved until it does.

    Args:
        encoder_or_name: Any encoder, `encoder(z, pos, batch) -> AtomFeatures`, or a name or directory for
            :func:`molspectra.pretrained.load`, or a file for :func:`molspectra.pretrained.load_reference`, or what
            these return. An encoder that needs bonds gets those of the molecule. If a molecule has none, they are
            perceived from its positions, with a warning.
        molecules: SMILES, RDKit molecules, ASE `Atoms`, `Data`, the path of a file, a table, or an iterable of these
            (see :func:`molspectra.data.read_molecules`). SMILES get a conformer.
        pool: "sum", "mean" or "max" over the atoms of a molecule, several of them side by side ("mean+sum"), a head
            `pool(atoms, data) -> (M, F)` such as :class:`~molspectra.heads.MoleculePooling`, "head" for the pooling of
            the model's own energy head, or None for features of each atom. "recommended" is the pooling that the card
            of a model of the package recommends (:class:`molspectra.pretrained.Reading`), and "sum" for any other.
        smiles: Column with the SMILES, if `molecules` is a table: a data frame, a dictionary, a .csv file.
        hydrogens: False pools over heavy atoms only. The encoder still sees the hydrogen atoms.
        layers: Layers whose scalars are taken, from 0, or from the end by negative numbers, or "all". They replace the
            encoder's output, which has passed a last normalization. "recommended" are those of the card, side by side
            in one row, and the output of any other model. None for the output.
        batch_size: Molecules in a batch. Results do not depend on it, up to rounding.
        device: Device that encodes, by default that of the encoder, which is moved back afterwards.
        seed: Seed of conformers.
        num_workers: Processes that make conformers of SMILES while the encoder runs. 0 for this process alone.
        output: "numpy" or "torch" (on the CPU).
        progress: Show a progress bar (tqdm), with the number of molecules where it can be counted.
        on_error: "warn", or "raise" at the first molecule that fails.

    Returns:
        (M, F), or (M, layers, F) with `layers`. With `pool=None` a list of M arrays (atoms, F) or (atoms, layers, F). A
        molecule that failed is NaN, or has no atoms.

    Raises:
        ValueError: an argument is out of its range, every molecule fails, or one fails with `on_error="raise"`.
        TypeError: an entry of `molecules` is no molecule at all.
        torch.OutOfMemoryError: a molecule by itself does not fit into memory.
        RuntimeError: the device has failed.

    Warns:
        UserWarning: molecules have failed, or bonds were perceived, once per call.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> ms.embed(encoder, ["CCO", "c1ccccc1"]).shape
        (2, 32)
        >>> ms.embed("molspectra-mini", ["CCO", "c1ccccc1"]).shape
        (2, 768)
    """
    check_choice("output", output, ("numpy", "torch"))
    result = embed_molecules(
        encoder_or_name,
        molecules,
        pool,
        smiles=smiles,
        hydrogens=hydrogens,
        layers=layers,
        batch_size=batch_size,
        device=device,
        seed=seed,
        num_workers=num_workers,
        progress=progress,
        on_error=on_error,
    )
    result.warn(stacklevel=2)
    if output == "torch":
        return result.values
    return result.values.numpy() if isinstance(result.values, Tensor) else [atoms.numpy() for atoms in result.values]


def embed_molecules(
    encoder_or_name: Model,
    molecules: Any,
    pool: Pool = "recommended",
    *,
    smiles: str | None = None,
    hydrogens: bool = True,
    layers: Layers | Literal["recommended"] = "recommended",
    batch_size: int = 128,
    device: torch.device | str | None = None,
    seed: int = 0,
    num_workers: int = 0,
    progress: bool = False,
    on_error: Literal["warn", "raise"] = "warn",
) -> EmbeddingResult:
    """Compute features of molecules, with their names and the problems of those that failed.

    Arguments and errors are those of :func:`molspectra.embed`, which warns of the problems instead of returning them.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> result = ms.embedding.embed_molecules(encoder, ["CCO", "[Og]"])
        >>> result.names, result.problems
        (['CCO', '[Og]'], {1: 'the encoder knows elements up to max_z=100; got [118].'})
    """
    check_sizes(batch_size=batch_size)
    check_choice("on_error", on_error, ("warn", "raise"))
    if layers is not None and len(layers) == 0:
        raise ValueError("layers must name at least one layer; got none. Leave it out for the encoder's output.")
    encoder, head = load_encoder(encoder_or_name)
    reading = recommended_reading(encoder) or Reading(layers=None, pool="sum")
    side_by_side = layers == "recommended" and reading.layers is not None
    pool = reading.pool if pool == "recommended" else pool
    layers = reading.layers if layers == "recommended" else layers
    if pool == "head":
        if head is None:
            raise ValueError('pool="head" needs a model with an energy head; this one has none. Use "sum" or "mean".')
        pool = head
    pooling = Pooling(pool, hydrogens)
    reads: Iterable[ReadMolecule] = read_molecules(
        molecules, smiles=smiles, labels=(), seed=seed, num_workers=num_workers
    )
    if progress:
        reads = show_progress(reads, molecules, smiles)
    rows: list[Tensor | None] = []
    names: list[str] = []
    problems: dict[int, str] = {}
    guessed_bonds = 0

    def fail(row: int, problem: str) -> None:
        if on_error == "raise":
            raise ValueError(f"{names[row]}: {problem}")
        problems[row] = problem

    modules = [encoder, *modules_inside(pool)]
    with evaluating(*modules), _on_device(modules, device) as used:
        batches = BatchEncoder(encoder, pooling, layers, used)
        stream = iter(reads)
        while chunk := list(islice(stream, batch_size)):
            prepared: dict[int, Data] = {}
            for row, read in enumerate(chunk, start=len(names)):
                names.append(read.name)
                if read.molecule is None:
                    fail(row, read.problem or "")
                    continue
                if not hydrogens and bool((read.molecule.z == 1).all()):
                    fail(row, "hydrogens=False leaves no atom of it.")
                    continue
                try:
                    prepared[row], guessed = prepare_molecule(read.molecule, encoder)
                    guessed_bonds += guessed
                except ValueError as error:
                    fail(row, str(error))
            found, failed = batches.rows(prepared)
            for row, problem in sorted(failed.items()):
                fail(row, problem)
            rows += [found.get(row) for row in range(len(rows), len(names))]
    problems = dict(sorted(problems.items()))
    if side_by_side:  # (layers, F) of each molecule, or (atoms, layers, F)
        rows = [row if row is None else row.flatten(-2) for row in rows]
    return EmbeddingResult.from_rows(rows, names, problems, guessed_bonds, per_atom=pool is None)


@contextmanager
def _on_device(modules: Sequence[nn.Module], device: torch.device | str | None) -> Iterator[torch.device]:
    """Put modules on a device, by default that of the first, and all back afterwards."""
    homes = [next((p.device for p in module.parameters()), torch.device("cpu")) for module in modules]
    used = torch.device(device or homes[0])
    for module in modules:
        module.to(used)
    try:
        yield used
    finally:
        for module, home in zip(modules, homes, strict=True):
            module.to(home)
