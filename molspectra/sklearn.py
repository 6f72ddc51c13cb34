"""Embedding of molecules as a transformer of scikit-learn."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from molspectra.data.io.tables import column_names
from molspectra.embedding.layers import Layers
from molspectra.embedding.models import Model
from molspectra.embedding.molecules import embed
from molspectra.embedding.pooling import Pool

try:
    from sklearn.base import BaseEstimator, TransformerMixin
    from sklearn.utils.validation import check_is_fitted
except ImportError as error:
    raise ImportError("molspectra.sklearn needs scikit-learn: `pip install molspectra[sklearn]`.") from error

__all__ = ["Embedding"]


class Embedding(TransformerMixin, BaseEstimator):
    """Transformer from molecules to features, for pipelines and searches of scikit-learn.

    It trains nothing: `fit` remembers the number of features. Arguments are those of :func:`molspectra.embed`, and
    `GridSearchCV` can vary them. Molecules are a list, an array or a series of SMILES or of other molecules.

    Args:
        model: Encoder, or its name, directory or file.
        pool: Pooling over atoms, by default what the card of the model recommends.
        hydrogens: False pools over heavy atoms only.
        layers: Layers to read, side by side, by default those of the card. None for the output.
        batch_size: Molecules in a batch.
        device: Device that encodes, by default that of the encoder.
        seed: Seed of conformers.
        on_error: "raise", or "warn" for rows of NaN, which an imputer or a gradient-boosted regressor must take.

    Example:
        >>> from sklearn.linear_model import Ridge
        >>> from sklearn.pipeline import make_pipeline
        >>> encoder = ms.encoders.PaiNN(16, 2)
        >>> boiling = make_pipeline(ms.sklearn.Embedding(encoder), Ridge()).fit(["C", "CC", "CCC"], [-162, -89, -42])
        >>> boiling.predict(["CCCC"]).shape
        (1,)
    """

    def __init__(
        self,
        model: Model,
        *,
        pool: Pool = "recommended",
        hydrogens: bool = True,
        layers: Layers | Literal["recommended"] = "recommended",
        batch_size: int = 128,
        device: str | None = None,
        seed: int = 0,
        on_error: str = "raise",
    ) -> None:
        # scikit-learn clones an estimator from its parameters, which therefore stay as they were passed.
        self.model = model
        self.pool = pool
        self.hydrogens = hydrogens
        self.layers = layers
        self.batch_size = batch_size
        self.device = device
        self.seed = seed
        self.on_error = on_error

    def fit(self, X: Any, y: Any = None) -> "Embedding":
        """Find the number of features by embedding the first molecule, or with `on_error="warn"` the first sound one.

        Args:
            X: Molecules.
            y: Ignored.
        """
        molecules = _as_list(X)
        for place in range(len(molecules) if self.on_error == "warn" else 0):
            with contextlib.suppress(ValueError):  # this molecule fails, and the next one may not
                self.n_features_out_ = self._embed(molecules[place : place + 1]).shape[1]
                return self
        self.n_features_out_ = self._embed(molecules[:1]).shape[1]
        return self

    def fit_transform(self, X: Any, y: Any = None, **fit_params: Any) -> np.ndarray:
        """Embed molecules once. Arguments and result are those of :meth:`transform`."""
        features = self._embed(_as_list(X))
        self.n_features_out_ = features.shape[1]
        return features

    def transform(self, X: Any) -> np.ndarray:
        """Embed molecules.

        Args:
            X: Molecules, (M).

        Returns:
            Features (M, F), or (M, layers · F).

        Raises:
            ValueError: a molecule fails, unless `on_error="warn"`, or every molecule fails.
        """
        check_is_fitted(self)
        return self._embed(_as_list(X))

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """Return the names of the features: embedding0 to embedding{F - 1}."""
        check_is_fitted(self)
        return np.array([f"embedding{index}" for index in range(self.n_features_out_)], dtype=object)

    def _embed(self, molecules: Sequence[Any]) -> np.ndarray:
        if self.pool is None:
            raise ValueError('pool must give one row for each molecule; got None. Pass "sum", "mean" or "max".')
        features = embed(
            self.model,
            molecules,
            self.pool,
            hydrogens=self.hydrogens,
            layers=self.layers,
            batch_size=self.batch_size,
            device=self.device,
            seed=self.seed,
            on_error=self.on_error,  # type: ignore[arg-type]
        )
        return features.reshape(len(features), -1)


def _as_list(molecules: Any) -> list[Any]:
    """Return molecules as a list. A column of a table (M, 1) is taken as M molecules."""
    if isinstance(molecules, str):
        raise ValueError(f"X must be a list of molecules; got the string {molecules!r}. Write [{molecules!r}].")
    names = column_names(molecules)
    if names is not None and (isinstance(molecules, Mapping) or len(names) != 1):
        raise ValueError(
            f"X must have one column of molecules; got {len(names)} columns, {names}. Select one: X[{names[0]!r}]."
        )
    values = molecules.to_numpy() if hasattr(molecules, "to_numpy") else molecules
    if isinstance(values, np.ndarray) and values.ndim == 2:
        if values.shape[1] != 1:
            raise ValueError(f"X must have one column of molecules; got {values.shape[1]} columns. Select one.")
        values = values[:, 0]
    return list(values)


def __dir__() -> list[str]:
    return __all__
