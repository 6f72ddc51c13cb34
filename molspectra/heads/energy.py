"""Energy of a molecule, and forces as its gradient, from features of any encoder."""

import copy

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch_geometric.data import Data

from molspectra._config import Configurable
from molspectra._transforms import is_functional
from molspectra.features import AtomFeatures, check_atoms
from molspectra.heads.pooling import MoleculePooling, check_data


class EnergyHead(Configurable, nn.Module):
    """Energy E = MLP(g), with g from :class:`MoleculePooling`, whose gradient 3D-EMGP (arXiv:2207.08824) trains.

    By default the last layer has no bias: differentiation removes a constant, so its gradient would never come. The
    published bias is present `as_released`, and is not trained.

    Args:
        channels: Width F of the atom features.
        as_released: Keep the bias, and read scalars alone.
    """

    def __init__(self, channels: int, as_released: bool = False) -> None:
        super().__init__()
        # The sum over atoms makes the features extensive. The MLP after it couples the atoms of a molecule.
        self.pool = MoleculePooling(channels, as_released)
        self.mlp = nn.Sequential(nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, 1, bias=as_released))
        if as_released:
            self.mlp[-1].bias.requires_grad_(False)

    def forward(self, atoms: AtomFeatures, data: Data | None = None) -> Float[Tensor, " molecules"]:
        """Predict energies (B,), in arbitrary units. `data` gives the molecule of each atom, if several."""
        pooled = self.pool(atoms, data)
        # One row per molecule: half precision would save nothing here and cost digits of the energy.
        with torch.autocast(pooled.device.type, enabled=False):
            return self.mlp(pooled).squeeze(1)


class GradientHead(Configurable, nn.Module):
    """Vector F_i = -∂E/∂x_i per atom, the negative gradient of an energy, for encoders with or without vectors.

    The vectors are equivariant for any encoder and sum to zero over a molecule. Training on them differentiates the
    encoder twice. Methods with `prediction="gradient"` use this head.

    Args:
        energy: Energy head, `energy(atoms, data) -> (B,)`. By default a new :class:`EnergyHead`.
        channels: Width F of the atom features, for the default.

    Raises:
        ValueError: Neither is given.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> data = Data(z=torch.tensor([8, 1, 1]), pos=torch.randn(3, 3, requires_grad=True))
        >>> atoms = encoder(data.z, data.pos)
        >>> ms.heads.GradientHead(channels=32)(atoms, data).shape
        torch.Size([3, 3])
    """

    def __init__(self, energy: nn.Module | None = None, *, channels: int | None = None) -> None:
        super().__init__()
        if energy is None:
            if channels is None:
                raise ValueError("GradientHead needs energy= (a head) or channels= (to make one); got neither.")
            energy = EnergyHead(channels)
        self.energy = energy

    def forward(self, atoms: AtomFeatures, data: Data) -> Float[Tensor, "atoms 3"]:
        """Compute -∂E/∂x, (N, 3).

        Args:
            atoms: Atom features.
            data: Molecules whose `pos` requires a gradient and was the encoder's input.

        Raises:
            ValueError: The features were not computed from `data.pos` with gradients.
        """
        check_atoms("GradientHead", atoms)
        check_data(data, "GradientHead", ("pos",))
        return forces_of(self.energy(atoms, data), data.pos)


def differentiable(data: Data) -> Data:
    """Return a shallow copy of molecules whose positions require a gradient.

    Raises:
        ValueError: Gradients are impossible, in `torch.inference_mode()` and in transforms of `torch.func`.
    """
    _refuse_transforms()
    if torch.is_inference_mode_enabled():
        raise ValueError(
            "Forces are a gradient of the energy, which torch.inference_mode() does not allow. Evaluate under "
            "torch.no_grad(), in which they are computed (lightning: Trainer(inference_mode=False))."
        )
    data = copy.copy(data)
    # Detached: the positions become a leaf, and the caller's tensor keeps its own gradient and graph.
    data.pos = data.pos.detach().requires_grad_()
    return data


def forces_of(
    energy: Float[Tensor, "*molecules"], pos: Float[Tensor, "atoms 3"], create_graph: bool = True
) -> Float[Tensor, "atoms 3"]:
    """Compute -∂ΣE/∂x, (N, 3).

    Raises:
        ValueError: The energies were not computed from these positions, or `torch.func` transforms the computation.
        RuntimeError: They were, with `torch.compile`, and training differentiates the gradient.
    """
    _refuse_transforms()
    gradient = None
    if pos.requires_grad and energy.requires_grad:
        try:
            # Molecules do not interact, so one backward pass of the summed energies gives the forces of all.
            (gradient,) = torch.autograd.grad(energy.sum(), pos, create_graph=create_graph, allow_unused=True)
        except RuntimeError as error:
            if "donated buffer" not in str(error):  # the text of this error in torch
                raise
            raise RuntimeError(
                "Training on a gradient differentiates the encoder twice, which torch.compile does not support. Leave "
                "encoder and energy head in eager mode, predict vectors instead of a gradient "
                '(prediction="vector", force_head=), or evaluate only (method.eval()).'
            ) from error
    if gradient is None:
        raise ValueError(
            "A gradient by the positions needs positions that require one, and features computed from these; got an "
            "energy without a path to data.pos. Call data.pos.requires_grad_() before the encoder, with gradients "
            "enabled, and neither detach positions in the encoder nor wrap it in torch.no_grad()."
        )
    return -gradient


def _refuse_transforms() -> None:
    """Refuse transforms of `torch.func`.

    Raises:
        ValueError: one is active.
    """
    if is_functional():
        raise ValueError(
            "Forces are a gradient by torch.autograd, which transforms of torch.func (grad, jacrev, vmap, ...) do not "
            "allow inside of them. Differentiate the energy by torch.func.grad yourself, predict vectors instead of a "
            'gradient (prediction="vector", force_head=), or take torch.autograd for the weights as well.'
        )
