"""Handing out the tensors of a published checkpoint to modules, with an account of all that does not fit."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from molspectra.pretrained.checkpoint import misfits
from molspectra.pretrained.keymaps import Rules, rename


class Parts:
    """A state dict handed out part by part. What is missing, left over or of a wrong shape is refused in one go."""

    def __init__(self, state: Mapping[str, Tensor], source: str) -> None:
        self.left = dict(state)
        self.source = source
        self.problems: list[str] = []

    def has(self, prefix: str) -> bool:
        """Whether there are tensors below a prefix."""
        return any(name.startswith(prefix) for name in self.left)

    def need(self, name: str) -> Tensor:
        """Take one tensor, without which nothing can be built."""
        if name not in self.left:
            raise ValueError(f"The weights of {self.source} do not fit: missing: {name}")
        return self.left.pop(name)

    def shape(self, name: str) -> torch.Size:
        """The shape of a tensor that stays for `fill`."""
        if name not in self.left:
            raise ValueError(f"The weights of {self.source} do not fit: missing: {name}")
        return self.left[name].shape

    def count(self, prefix: str) -> int:
        """How many numbered parts there are below a prefix."""
        return len({name.removeprefix(prefix).split(".")[0] for name in self.left if name.startswith(prefix)})

    def take(self, prefix: str, suffix: str = "") -> dict[str, Tensor]:
        """Remove and return the tensors below a prefix, by their names behind it."""
        names = [name for name in self.left if name.startswith(prefix) and name.endswith(suffix)]
        return {name.removeprefix(prefix): self.left.pop(name) for name in names}

    def fill(self, module: nn.Module, prefix: str, rules: Rules, below: str = "") -> None:
        """Load everything below a prefix into a module, or note what does not fit."""
        state = rename({below + name: tensor for name, tensor in self.take(prefix + below).items()}, rules)
        problems = misfits(module, state)
        self.problems += [f"{prefix} {problem}" for problem in problems]
        if not problems:
            module.load_state_dict(state)
        module.eval()

    def refuse_misfits(self) -> None:
        """Raise a ValueError that lists all problems so far and all tensors that nobody took, if there are any."""
        self.problems += [f"unexpected: {name} {tuple(tensor.shape)}" for name, tensor in self.left.items()]
        if self.problems:
            raise ValueError(
                f"The weights of {self.source} do not fit ({len(self.problems)} keys; behind a prefix of the file "
                "stand our names):\n  " + "\n  ".join(self.problems)
            )
