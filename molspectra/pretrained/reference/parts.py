"""Distribution of the tensors of a published checkpoint to modules, with a list of those that do not fit."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from molspectra.pretrained.reference.keymaps import Rules, rename
from molspectra.pretrained.strict_loading import misfits


class Parts:
    """State dict that is handed out part by part.

    Tensors that are missing, left over or of a wrong shape are collected, and refused together by `refuse_misfits`.

    Args:
        state: Tensors by their published names.
        source: Origin of the tensors, for messages.
    """

    def __init__(self, state: Mapping[str, Tensor], source: str) -> None:
        self.left = dict(state)
        self.source = source
        self.problems: list[str] = []

    def has(self, prefix: str) -> bool:
        """Return True if the file has tensors below a prefix."""
        return any(name.startswith(prefix) for name in self.left)

    def need(self, name: str) -> Tensor:
        """Remove and return one tensor that is indispensable.

        Raises:
            ValueError: the tensor is missing.
        """
        if name not in self.left:
            raise ValueError(f"The weights of {self.source} do not fit: missing: {name}")
        return self.left.pop(name)

    def shape(self, name: str) -> torch.Size:
        """Return the shape of a tensor and leave the tensor to `fill`.

        Raises:
            ValueError: the tensor is missing.
        """
        if name not in self.left:
            raise ValueError(f"The weights of {self.source} do not fit: missing: {name}")
        return self.left[name].shape

    def count(self, prefix: str) -> int:
        """Return the number of numbered parts below a prefix, such as layers."""
        return len({name.removeprefix(prefix).split(".")[0] for name in self.left if name.startswith(prefix)})

    def take(self, prefix: str, suffix: str = "") -> dict[str, Tensor]:
        """Remove and return the tensors below a prefix, by the rest of their names."""
        names = [name for name in self.left if name.startswith(prefix) and name.endswith(suffix)]
        return {name.removeprefix(prefix): self.left.pop(name) for name in names}

    def fill(self, module: nn.Module, prefix: str, rules: Rules, below: str = "") -> None:
        """Load everything below a prefix into a module, or note the tensors that do not fit."""
        state = rename({below + name: tensor for name, tensor in self.take(prefix + below).items()}, rules)
        problems = misfits(module, state)
        self.problems += [f"{prefix} {problem}" for problem in problems]
        if not problems:
            module.load_state_dict(state)
        module.eval()

    def refuse_misfits(self) -> None:
        """Refuse the file if it has had problems, or if tensors are left over.

        Raises:
            ValueError: lists all of them.
        """
        self.problems += [f"unexpected: {name} {tuple(tensor.shape)}" for name, tensor in self.left.items()]
        if self.problems:
            raise ValueError(
                f"The weights of {self.source} do not fit ({len(self.problems)} keys; after a prefix of the file our "
                "names follow):\n  " + "\n  ".join(self.problems)
            )
