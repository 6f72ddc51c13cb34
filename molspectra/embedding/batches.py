"""Encoding of a batch of molecules, with retries where one molecule is broken or the batch is too large."""

import math
from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn
from torch.profiler import record_function
from torch_geometric.data import Batch, Data

from molspectra.embedding.faults import is_device_failure, is_of_molecule, is_out_of_memory
from molspectra.embedding.layers import Layers, LayersError, encode_layers
from molspectra.embedding.pooling import PoolError, Pooling


class BatchEncoder:
    """Rows of features for batches of molecules.

    Args:
        encoder: Maps (z, pos, batch) to atom features, in evaluation mode and on `device`.
        pooling: Maps features of atoms to rows of molecules.
        layers: Layers to read in place of the output (see :func:`molspectra.embed`).
        device: Device of the encoder.
    """

    def __init__(self, encoder: nn.Module, pooling: Pooling, layers: Layers, device: torch.device) -> None:
        self.encoder = encoder
        self.pooling = pooling
        self.layers = layers
        self.device = device
        self.most: float = math.inf
        """Largest batch that is worth a try: half of the smallest that did not fit into memory."""

    def rows(self, molecules: Mapping[int, Data]) -> tuple[dict[int, Tensor], dict[int, str]]:
        """Encode molecules with the same or different fields.

        Args:
            molecules: Place → molecule.

        Returns:
            Place → row of features on the CPU, and place → problem of each molecule that failed.

        Raises:
            torch.OutOfMemoryError: a molecule by itself does not fit into memory.
            RuntimeError: the device has failed.
        """
        rows: dict[int, Tensor] = {}
        problems: dict[int, str] = {}
        waiting = list(_alike(molecules))
        while waiting:
            group = waiting.pop()
            if len(group) > self.most:
                waiting += _halves(group)
                continue
            # Retries start outside of `except`, which would keep the tensors of the failed attempt alive.
            outcome = self._attempt(group)
            if not isinstance(outcome, Exception):
                rows |= outcome
            elif is_out_of_memory(outcome):
                self.most = len(group) // 2
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()  # blocks of the failed attempt's sizes may not fit the smaller batches
                waiting += _halves(group)
            elif len(group) > 1:
                # One molecule is broken: encoded one by one, only that one is lost.
                waiting += [{place: molecule} for place, molecule in group.items()]
            else:
                problems |= dict.fromkeys(group, str(outcome))
        return rows, problems

    def _attempt(self, group: Mapping[int, Data]) -> dict[int, Tensor] | Exception:
        """Return the rows of molecules, or the error if a retry with fewer of them is worthwhile.

        Raises:
            Exception: any other error.
        """
        try:
            return self._encode(group)
        except (LayersError, PoolError):
            raise
        except Exception as error:
            if is_out_of_memory(error):
                if len(group) > 1:
                    return error.with_traceback(None)
                atoms = sum(len(molecule.z) for molecule in group.values())
                raise torch.OutOfMemoryError(
                    f"A molecule of {atoms} atoms, alone in its batch, does not fit into the memory of {self.device}: "
                    f"{error}"
                ) from error
            if is_device_failure(error):
                raise RuntimeError(
                    f"{self.device} failed and cannot be used further by this process: {error}. Restart Python. To "
                    'find the molecule that causes it, run with device="cpu".'
                ) from error
            if is_of_molecule(error):
                return error.with_traceback(None)
            raise

    @torch.no_grad()
    def _encode(self, group: Mapping[int, Data]) -> dict[int, Tensor]:
        with record_function("molspectra::embed"):
            batch = Batch.from_data_list(list(group.values())).to(self.device)
            rows = self.pooling(encode_layers(self.encoder, batch, self.layers), batch)
        if self.layers is None:
            rows = [row.squeeze(-2) for row in rows]
        return dict(zip(group, rows, strict=True))


def _alike(molecules: Mapping[int, Data]) -> Iterable[dict[int, Data]]:
    """Group molecules by their fields, so that one without bonds does not keep them from the others."""
    groups: dict[frozenset[str], dict[int, Data]] = {}
    for place, molecule in molecules.items():
        groups.setdefault(frozenset(molecule.keys()), {})[place] = molecule
    return groups.values()


def _halves(group: Mapping[int, Data]) -> list[dict[int, Data]]:
    entries = list(group.items())
    middle = len(entries) // 2
    return [dict(entries[:middle]), dict(entries[middle:])]
