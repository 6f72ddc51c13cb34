"""Features of molecules from a pretrained encoder, in one call."""

import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch_geometric.data import Batch, Data

from molspectra.data.chemistry.bonds import perceive_bonds
from molspectra.data.io.molecules import ReadMolecule, read_molecules
from molspectra.features import AtomFeatures
from molspectra.layers.hook_point import HookPoint
from molspectra.methods.encoding import encode

Pool = Literal["sum", "mean"] | Callable[..., Tensor] | None
_NAMED_PROBLEMS = 20  # in a warning; all are in the result of the command


def embed(
    encoder: nn.Module | Callable[..., AtomFeatures],
    molecules: Any,
    pool: Pool = "sum",
    *,
    layers: Sequence[int] | None = None,
    batch_size: int = 128,
    device: torch.device | str | None = None,
    seed: int = 0,
    output: Literal["numpy", "torch"] = "numpy",
    progress: bool = False,
    on_error: Literal["warn", "raise"] = "warn",
) -> Any:
    """Features of molecules, in the order in which they come.

    The encoder runs in evaluation mode and without gradients, and is left as it was found. A molecule that cannot be
    read or encoded takes nothing from the others: its row is NaN, and a warning names it.

    Args:
        encoder: Any encoder, `encoder(z, pos, batch) -> AtomFeatures`. To one that needs bonds they are given; where a
            molecule has none, they are guessed from its positions, with a warning.
        molecules: SMILES, RDKit molecules, ASE `Atoms`, `Data`, the path of a file, or an iterable of these; see
            :func:`molspectra.data.read_molecules`. For SMILES a conformer is made.
        pool: "sum" or "mean" over the atoms of a molecule; a callable `(atoms, batch, num_molecules) -> (M, F)`, such
            as :class:`~molspectra.heads.MoleculePooling`; or None, for features of each atom.
        layers: Layers of which the scalars are taken, from 0, or from the end by negative numbers, in place of the
            encoder's output, which has gone through a last normalisation.
        batch_size: Molecules in a batch. Results do not depend on it, but for rounding.
        device: Where to encode; by default where the encoder is. It is moved back afterwards.
        seed: Seed of conformers.
        output: "numpy" or "torch" (on the CPU).
        progress: Show a progress bar (tqdm).
        on_error: "warn", or "raise" at the first molecule that fails.

    Returns:
        (M, F), or (M, layers, F); with `pool=None` a list of M arrays (atoms, F) or (atoms, layers, F). What failed is
        NaN, or has no atoms.

    Raises:
        ValueError: an argument is out of its range; or a molecule fails, and `on_error="raise"`.
        TypeError: something is no molecule at all.

    Warns:
        UserWarning: molecules have failed, or bonds were guessed; once a call.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> ms.embed(encoder, ["CCO", "c1ccccc1"]).shape
        (2, 32)
    """
    if output not in ("numpy", "torch"):
        raise ValueError(f'output must be "numpy" or "torch"; got {output!r}.')
    report = Report()
    rows = list(embed_each(encoder, molecules, pool, report, layers, batch_size, device, seed, progress, on_error))
    known = next((row for row in rows if row is not None), None)
    if known is None:
        raise ValueError(f"No molecule could be embedded of {len(rows)}; {report.summary() or 'there are none'}.")
    report.warn()
    nothing = known[:0] if pool is None else torch.full_like(known, torch.nan)
    filled = [nothing if row is None else row for row in rows]
    if pool is None:
        return [row.numpy() for row in filled] if output == "numpy" else filled
    stacked = torch.stack(filled)
    return stacked.numpy() if output == "numpy" else stacked


class Report:
    """What went wrong while molecules were embedded."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.problems: dict[int, str] = {}
        """Place of a molecule in the source → why it failed."""
        self.guessed_bonds = 0

    def fail(self, index: int, problem: str, on_error: str) -> None:
        """Take note of a molecule that failed, or raise."""
        if on_error == "raise":
            raise ValueError(f"{self.names[index]}: {problem}")
        self.problems[index] = problem

    def summary(self) -> str:
        """A line for each of the first molecules that failed; empty if none did."""
        lines = [f"{self.names[index]}: {problem}" for index, problem in self.problems.items()]
        rest = [f"and {len(lines) - _NAMED_PROBLEMS} more"] if len(lines) > _NAMED_PROBLEMS else []
        return "\n  ".join(lines[:_NAMED_PROBLEMS] + rest)

    def all_problems(self) -> list[str]:
        """Why each molecule failed, in order; empty for those that did not."""
        return [self.problems.get(index, "") for index in range(len(self.names))]

    def warn(self) -> None:
        """Say once what there is to say."""
        if self.problems:
            warnings.warn(
                f"{len(self.problems)} of {len(self.names)} molecules failed; their rows are NaN:\n  {self.summary()}",
                stacklevel=3,
            )
        if self.guessed_bonds:
            warnings.warn(
                f"The bonds of {self.guessed_bonds} molecules, which the encoder needs, were guessed from positions. "
                "Give molecules with bonds (SMILES, .sdf) where they are known.",
                stacklevel=3,
            )


def embed_each(
    encoder: nn.Module | Callable[..., AtomFeatures],
    molecules: Any,
    pool: Pool,
    report: Report,
    layers: Sequence[int] | None = None,
    batch_size: int = 128,
    device: torch.device | str | None = None,
    seed: int = 0,
    progress: bool = False,
    on_error: Literal["warn", "raise"] = "warn",
) -> Iterator[Tensor | None]:
    """A tensor on the CPU for each molecule, None for one that failed, as they are read: for any number of molecules.

    The arguments are those of :func:`embed`; `report` is filled.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1; got {batch_size}.")
    if not (pool in ("sum", "mean", None) or callable(pool)):
        raise ValueError(f'pool must be "sum", "mean", None or a callable (atoms, batch, num_molecules); got {pool!r}.')
    if on_error not in ("warn", "raise"):
        raise ValueError(f'on_error must be "warn" or "raise"; got {on_error!r}.')
    if layers is not None and len(layers) == 0:
        raise ValueError("layers must name at least one layer; got none. Leave it out for the encoder's output.")
    reads: Iterable[ReadMolecule] = read_molecules(molecules, seed=seed)
    if progress:
        from tqdm import tqdm

        reads = tqdm(reads, "molecules", unit="")
    encoder = encoder if isinstance(encoder, nn.Module) else _Function(encoder)
    home = next((parameter.device for parameter in encoder.parameters()), torch.device("cpu"))
    device = torch.device(device or home)
    modes = {module: module.training for module in encoder.modules()}
    encoder.eval().to(device)
    try:
        stream = iter(reads)
        while chunk := list(islice(stream, batch_size)):
            first = len(report.names)
            prepared = [_prepare(read, encoder, report, on_error) for read in chunk]
            rows: dict[int, Tensor] = {}
            for group in _alike(prepared):
                try:
                    rows |= _embed_group(encoder, group, pool, layers, device)
                except (IndexError, RuntimeError, ValueError):
                    # One of them will be the reason, and the others are not to go with it.
                    for place, molecule in group.items():
                        try:
                            rows |= _embed_group(encoder, {place: molecule}, pool, layers, device)
                        except (IndexError, RuntimeError, ValueError) as error:
                            report.fail(first + place, str(error), on_error)
            yield from map(rows.get, range(len(chunk)))
    finally:
        for module, mode in modes.items():
            module.training = mode
        encoder.to(home)


def _prepare(read: ReadMolecule, encoder: nn.Module, report: Report, on_error: str) -> Data | None:
    """What the encoder reads of a molecule, in its dtype; None for one that failed."""
    index = len(report.names)
    report.names.append(read.name)
    problem = read.problem
    if problem is None:
        assert read.molecule is not None
        try:
            return _fields(read.molecule, encoder, report)
        except ValueError as error:
            problem = str(error)
    report.fail(index, problem, on_error)
    return None


def _fields(molecule: Data, encoder: nn.Module, report: Report) -> Data:
    unknown = sorted({z for z in molecule.z.tolist() if z > getattr(encoder, "max_z", 118)})
    if unknown:
        raise ValueError(f"the encoder knows elements up to max_z={encoder.max_z}; got {unknown}.")
    weight = next(encoder.parameters(), molecule.pos)
    fields = Data(z=molecule.z, pos=molecule.pos.to(weight.dtype))
    if not bool(fields.pos.isfinite().all()):
        raise ValueError(f"the positions do not fit into {weight.dtype}, the encoder's dtype.")
    if "bond_index" in molecule:
        fields.bond_index = molecule.bond_index
        if "bond_order" in molecule:
            fields.bond_order = molecule.bond_order.to(weight.dtype)
    elif getattr(encoder, "needs_bonds", False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said once for all molecules
            fields.bond_index, order = perceive_bonds(molecule.z, molecule.pos)
        fields.bond_order = order.to(weight.dtype)
        report.guessed_bonds += 1
    return fields


@torch.no_grad()
def _embed_group(
    encoder: nn.Module, molecules: dict[int, Data], pool: Pool, layers: Sequence[int] | None, device: torch.device
) -> dict[int, Tensor]:
    """The row of each of some molecules with the same fields."""
    batch = Batch.from_data_list(list(molecules.values())).to(device)
    outputs = _outputs(encoder, batch, layers)
    if pool is None:
        rows = torch.stack([atoms.scalars for atoms in outputs], dim=1).cpu()
        split: Sequence[Tensor] = rows.split([len(molecule.z) for molecule in molecules.values()])
    else:
        split = torch.stack([_pooled(atoms, pool, batch) for atoms in outputs], dim=1).cpu().unbind()
    return {place: row.squeeze(-2) if layers is None else row for place, row in zip(molecules, split, strict=True)}


def _alike(molecules: list[Data | None]) -> Iterable[dict[int, Data]]:
    """Molecules with the same fields, by place: what one lacks, bonds, is not kept from the others."""
    groups: dict[frozenset[str], dict[int, Data]] = {}
    for place, molecule in enumerate(molecules):
        if molecule is not None:
            groups.setdefault(frozenset(molecule.keys()), {})[place] = molecule
    return groups.values()


class _Function(nn.Module):
    """An encoder that is no module."""

    def __init__(self, call: Callable[..., AtomFeatures]) -> None:
        super().__init__()
        self.forward = call
        for name in ("max_z", "needs_bonds"):
            if hasattr(call, name):
                setattr(self, name, getattr(call, name))


def _pooled(atoms: AtomFeatures, pool: Any, batch: Batch) -> Tensor:
    if callable(pool):
        return pool(atoms, batch.batch, batch.num_graphs)
    return atoms.pool(batch.batch, pool, batch.num_graphs)


def _outputs(encoder: nn.Module, batch: Batch, layers: Sequence[int] | None) -> list[AtomFeatures]:
    """The encoder's output, or that of some of its layers."""
    if layers is None:
        return [encode(encoder, batch)]
    places = [module for module in encoder.modules() if isinstance(module, HookPoint)]
    seen: list[Tensor] = []
    hooks = [place.register_forward_hook(lambda module, inputs, scalars: seen.append(scalars)) for place in places]
    try:
        encode(encoder, batch)
    finally:
        for hook in hooks:
            hook.remove()
    if not seen:
        raise ValueError(
            f"layers={list(layers)} asks for features within {type(encoder).__name__}, which shows none. Call a "
            "molspectra.layers.HookPoint on the scalars after each of its layers, or leave layers out."
        )
    if not all(-len(seen) <= layer < len(seen) for layer in layers):
        raise ValueError(f"layers must lie in {-len(seen)}..{len(seen) - 1}; got {list(layers)}.")
    return [AtomFeatures(seen[layer]) for layer in layers]
