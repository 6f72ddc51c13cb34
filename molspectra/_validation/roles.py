"""Parts of a training by their role, which the names of their first arguments tell.

Any callable can play any part, and is asked for no class. A part of another role in its place is a mistake, usually of
the order of arguments.
"""

from typing import Any, NamedTuple

from torch_geometric.data import Data

from molspectra._signature import attribute_of, parameters_of


class Role(NamedTuple):
    """A role and the form of its calls."""

    name: str
    """Name with its article."""
    call: tuple[str, ...]
    """Names of its first arguments."""
    method: str | None = None
    """Name of a method that is called besides."""


_ENCODER = Role("an encoder", ("z", "pos"))
_HEAD = Role("a head", ("atoms", "data"))
_METHOD = Role("a method", ("encoder", "batch"))
_TASK = Role("a pretext task", ("encoder", "batch"), "run")
_REGRESSION = Role("a regression", ("encoder", "batch"), "predict")
_SPECTRUM_ENCODER = Role("a spectrum encoder", ("spectra",))
_OBJECTIVE = Role("an objective", ("predicted", "target"))
_CONTRAST = Role("a contrastive loss", ("z_a", "z_b"))
_NOISE = Role("a noise", ("data", "generator"))
_TRAINING = Role("a training module", ("batch", "generator"))
_ROLES = (_ENCODER, _HEAD, _METHOD, _SPECTRUM_ENCODER, _OBJECTIVE, _CONTRAST, _NOISE, _TRAINING)

# Arguments of the library and the role of what is given for them.
_BY_ARGUMENT = {
    "encoder": _ENCODER,
    "head": _HEAD,
    "force_head": _HEAD,
    "energy": _HEAD,
    "method": _METHOD,
    "regression": _REGRESSION,
    "task": _TASK,
    "spectrum_encoder": _SPECTRUM_ENCODER,
    "objective": _OBJECTIVE,
    "contrast": _CONTRAST,
    "noise": _NOISE,
}


def check_role(name: str, value: Any, user: str) -> None:
    """Refuse an object in the place of another, such as a head for an encoder, or a class for an object.

    Args:
        name: Name of the argument.
        value: The object given.
        user: Name of what was called, for the message.

    Raises:
        TypeError: it cannot be called, is a class, or plays another role.
    """
    role = _BY_ARGUMENT.get(name)
    if role is None:
        return
    form = f"{name} of {user} must be {role.name}, called as {name}({', '.join(role.call)}, …)"
    if isinstance(value, type):
        raise TypeError(f"{form}; got the class {value.__name__}. Pass an object: {value.__name__}(…).")
    got = "None" if value is None else f"a {type(value).__name__}"
    is_called = callable(value) and not isinstance(value, Data)  # molecules have a call, which gives their fields
    found = role_of(value) if is_called else None
    if found is not None and found.call != role.call:
        got += f", {found.name}, called with ({', '.join(found.call)}, …)"
    elif is_called and (role.method is None or attribute_of(value, role.method) is not None):
        return
    raise TypeError(f"{form}; got {got}. Check the order of the arguments.")


def role_of(value: Any) -> Role | None:
    """Return the role of a callable by the names of its first arguments, or None if they tell none."""
    names = parameters_of(value).names
    return next((role for role in _ROLES if names[: len(role.call)] == role.call), None)
