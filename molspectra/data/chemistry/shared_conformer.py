"""Conformers of SMILES that come in runs, as the spectra of a molecule do in a file."""

from torch_geometric.data import Data

from molspectra.data.chemistry.smiles import from_smiles


class SharedConformer:
    """Maker of conformers by :func:`molspectra.data.from_smiles`, which equal SMILES that follow each other share.

    Args:
        seed: Seed of the conformers.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._last: tuple[str, Data | ValueError] | None = None

    def __call__(self, smiles: str) -> Data:
        """Return a molecule of its own with the conformer.

        Raises:
            ValueError: the SMILES has none.
        """
        if self._last is None or self._last[0] != smiles:
            try:
                self._last = smiles, from_smiles(smiles, seed=self.seed)
            except ValueError as error:
                self._last = smiles, error
        made = self._last[1]
        if isinstance(made, ValueError):
            raise made
        return made.clone()
