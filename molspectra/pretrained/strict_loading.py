"""Loading of weights that refuses whatever does not fit, and lists all of it."""

from collections.abc import Mapping

from torch import Tensor, nn

from molspectra._validation import checked


@checked
def load_strictly(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load weights, or refuse with the list of every key that does not fit.

    Args:
        module: Receives the weights.
        state: Weights by name.
        source: Origin of the weights, for the message.

    Raises:
        ValueError: keys are missing, unexpected or of another shape. Nothing has been loaded then.
    """
    if problems := misfits(module, state):
        raise ValueError(
            f"The weights of {source} do not fit {type(module).__name__} ({len(problems)} keys):\n  "
            + "\n  ".join(problems)
        )
    module.load_state_dict(dict(state))


def misfits(module: nn.Module, state: Mapping[str, Tensor]) -> list[str]:
    """Return a line for every key that is missing from `state`, unexpected in it, or of another shape there."""
    own = module.state_dict()
    missing = [f"missing: {name} {tuple(own[name].shape)}" for name in own if name not in state]
    unexpected = [f"unexpected: {name} {tuple(state[name].shape)}" for name in state if name not in own]
    misshaped = [
        f"mis-shaped: {name} is {tuple(state[name].shape)}, expected {tuple(own[name].shape)}"
        for name in own
        if name in state and own[name].shape != state[name].shape
    ]
    return missing + unexpected + misshaped
