"""Mean and spread of a property of atoms, of each element."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra._validation import values_are_free
from molspectra.features import AtomFeatures
from molspectra.heads.pooling import check_data


class ElementScale(Configurable, nn.Module):
    """Mean of a property of atoms of each element, and its standard deviation.

    Shieldings, charges and energies of atoms differ far more between elements than within one. An
    :class:`~molspectra.heads.AtomHead` with this scale learns the difference to the mean of the element. As a head, the
    scale predicts that mean, the baseline to compare with.

    Args:
        elements: Atomic numbers.
        means: Mean of each element, in units of the property.
        stds: Standard deviation of each element, in units of the property, above 0.

    Raises:
        ValueError: An element is given twice or does not exist, a number is not finite, a standard deviation is not
            positive, or the lengths differ.

    Example:
        >>> scale = ElementScale([1, 6], [5.0, 80.0], [2.0, 50.0])
        >>> scale(None, Data(z=torch.tensor([6, 1, 8]))).squeeze(1)
        tensor([80.,  5., nan])
    """

    mean: Tensor
    std: Tensor

    def __init__(self, elements: Sequence[int], means: Sequence[float], stds: Sequence[float]) -> None:
        super().__init__()
        if not len(elements) == len(means) == len(stds) or len(set(elements)) != len(elements):
            raise ValueError(
                f"elements must be different, with a mean and a std each; got {list(elements)}, {len(means)} means and "
                f"{len(stds)} stds."
            )
        if not all(1 <= z <= 118 for z in elements):
            raise ValueError(f"elements must lie in 1..118; got {list(elements)}.")
        if not all(math.isfinite(mean) and 0 < std < math.inf for mean, std in zip(means, stds, strict=True)):
            raise ValueError(f"means must be finite and stds positive and finite; got {list(means)} and {list(stds)}.")
        # Elements without labels get no number: their mean is NaN. Their std of 1 keeps gradients finite.
        index = torch.tensor(list(elements), dtype=torch.int64)
        mean = torch.full((119,), torch.nan, dtype=torch.get_default_dtype())
        std = torch.ones(119, dtype=torch.get_default_dtype())
        mean[index] = torch.tensor(list(means), dtype=mean.dtype)
        std[index] = torch.tensor(list(stds), dtype=std.dtype)
        self.register_buffer("mean", mean, persistent=False)
        self.register_buffer("std", std, persistent=False)

    @classmethod
    def fit(
        cls, z: Int[Tensor, " atoms"], values: Float[Tensor, "atoms *one"], *, by_element: bool = True
    ) -> "ElementScale":
        """Fit mean and standard deviation to the labels of training molecules.

        Args:
            z: Atomic numbers (N,).
            values: Labels (N,) or (N, 1). NaN is an atom without one.
            by_element: False gives all elements that have labels the mean and the standard deviation of all labels.

        Returns:
            Scale of the elements that have labels. Equal labels of an element, or a single one, get a standard
            deviation of 1.

        Raises:
            ValueError: The numbers of atoms and labels differ, no atom has a label, or a label is infinite.
        """
        values = values.detach().double().cpu().reshape(-1)
        if len(values) != len(z) or bool(values.isinf().any()) or bool(values.isnan().all()):
            raise ValueError(
                f"values must be one label for each of {len(z)} atoms, NaN where unknown; got {len(values)}, "
                f"{int(values.isinf().sum())} of them infinite and {int((~values.isnan()).sum())} known."
            )
        known = ~values.isnan()
        z, values = z.cpu()[known], values[known]
        elements = z.unique().tolist()
        groups = [values[z == element] if by_element else values for element in elements]
        return cls(elements, [group.mean().item() for group in groups], [_spread(group) for group in groups])

    def forward(self, atoms: AtomFeatures | None, data: Data | None) -> Float[Tensor, "atoms 1"]:
        """Return the mean of the element of each atom, (N, 1), NaN for elements without labels.

        Args:
            atoms: Ignored. All heads share one call form.
            data: Molecules with `z`.

        Raises:
            TypeError: `data` is no `Data`.
            ValueError: `data` has no `z`.
        """
        return self.mean_and_std(data)[0]

    def mean_and_std(self, data: Data | None) -> tuple[Float[Tensor, "atoms 1"], Float[Tensor, "atoms 1"]]:
        """Return mean and standard deviation of the element of each atom, (N, 1) each.

        Raises:
            TypeError: `data` is no `Data`.
            ValueError: `data` has no `z`.
        """
        check_data(data, "ElementScale", ("z",))
        assert data is not None
        return self.mean.index_select(0, data.z).unsqueeze(1), self.std.index_select(0, data.z).unsqueeze(1)

    def check(self, z: Int[Tensor, " atoms"], known: Bool[Tensor, " atoms"]) -> None:
        """Check that the scale has the elements of all atoms with a label, unless that would wait for a device.

        Raises:
            ValueError: It lacks one.
        """
        if not values_are_free(z):
            return
        lacking = known & self.mean.index_select(0, z).isnan()
        if bool(lacking.any()):
            raise ValueError(
                f"Atoms with a label must be of the elements of the scale, {self.config['elements']}; got "
                f"{z[lacking].unique().tolist()} as well. Fit the scale to labels of these elements too."
            )


def _spread(values: Tensor) -> float:
    """Return the standard deviation, 1 where all values are equal up to rounding."""
    std = values.std(correction=0).item()
    return std if std > 1e-12 * max(1.0, values.abs().max().item()) else 1.0
