"""An energy of a molecule, from features of any encoder."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from molspectra._config import Configurable
from molspectra.features import AtomFeatures
from molspectra.heads.invariants import invariants


class MoleculePooling(Configurable, nn.Module):
    """g = Σ_i MLP(s_i + |v_i| + |t_i|): atom features of every degree → one feature vector a molecule.

    Lengths are taken channel by channel, smoothly; degrees that an encoder does not have are left out, so that the same
    weights go with any encoder.

    Args:
        channels: Width F of the atom features.
        as_released: Read the scalars alone, as 3D-EMGP (arXiv:2207.08824) does.
    """

    def __init__(self, channels: int, as_released: bool = False) -> None:
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, channels))
        self.as_released = as_released

    def forward(
        self, atoms: AtomFeatures, batch: Int[Tensor, " atoms"] | None = None, num_molecules: int | None = None
    ) -> Float[Tensor, "molecules channels"]:
        """Atom features and the molecule of each atom → (B, F)."""
        read = atoms.scalars if self.as_released else invariants(atoms)
        # Under autocast in half precision, which a sum of many has no digits in; as the weights are, then.
        contributions = self.mlp(read).to(self.mlp[-1].weight.dtype)
        return AtomFeatures(contributions).pool(batch, num_molecules=num_molecules)


class EnergyHead(Configurable, nn.Module):
    """E = MLP(g) with g from :class:`MoleculePooling`: the energy whose gradient 3D-EMGP (arXiv:2207.08824) trains.

    By default the last layer has no bias: an energy that is only ever differentiated has no use for a constant, whose
    gradient would never come. The published one is there `as_released`, and is not trained.

    Args:
        channels: Width F of the atom features.
        as_released: With the bias, from scalars alone.
    """

    def __init__(self, channels: int, as_released: bool = False) -> None:
        super().__init__()
        self.pool = MoleculePooling(channels, as_released)
        self.mlp = nn.Sequential(nn.Linear(channels, channels), nn.SiLU(), nn.Linear(channels, 1, bias=as_released))
        if as_released:
            self.mlp[-1].bias.requires_grad_(False)

    def forward(
        self, atoms: AtomFeatures, batch: Int[Tensor, " atoms"] | None = None, num_molecules: int | None = None
    ) -> Float[Tensor, " molecules"]:
        """Atom features and the molecule of each atom → energies (B,), in no particular unit."""
        pooled = self.pool(atoms, batch, num_molecules)
        # A row a molecule: what half precision would save is nothing, what it would cost is the energy's digits.
        with torch.autocast(pooled.device.type, enabled=False):
            return self.mlp(pooled).squeeze(1)


class GradientHead(Configurable, nn.Module):
    """One vector an atom as minus the gradient of an energy, for encoders with or without vectors.

    F_i = -∂E/∂x_i. Equivariant whatever the encoder, and sums to zero over a molecule. Training on it differentiates
    the encoder twice. Where a method has `prediction="gradient"`, this is the head it takes.

    Args:
        energy: Maps (atoms, batch, num_molecules) to energies; by default a new :class:`EnergyHead`.
        channels: Width F of the atom features, for the default.

    Raises:
        ValueError: neither is given.

    Example:
        >>> encoder = ms.encoders.EquivariantTransformer(32, num_layers=2, num_heads=4)
        >>> pos = torch.randn(3, 3, requires_grad=True)
        >>> atoms = encoder(torch.tensor([8, 1, 1]), pos)
        >>> ms.heads.GradientHead(channels=32)(atoms, pos).shape
        torch.Size([3, 3])
    """

    def __init__(self, energy: nn.Module | None = None, *, channels: int | None = None) -> None:
        super().__init__()
        if energy is None:
            if channels is None:
                raise ValueError("GradientHead needs energy= (a head) or channels= (to make one); got neither.")
            energy = EnergyHead(channels)
        self.energy = energy

    def forward(
        self,
        atoms: AtomFeatures,
        pos: Float[Tensor, "atoms 3"],
        batch: Int[Tensor, " atoms"] | None = None,
        num_molecules: int | None = None,
    ) -> Float[Tensor, "atoms 3"]:
        """Atom features and the positions they were computed from, with `requires_grad`, → (N, 3).

        Raises:
            ValueError: the features were not computed from `pos` with gradients.
        """
        return forces_of(self.energy(atoms, batch, num_molecules), pos)


def differentiable(pos: Float[Tensor, "atoms 3"]) -> Float[Tensor, "atoms 3"]:
    """The same positions, to encode and differentiate by.

    Raises:
        ValueError: no gradients can be had, in `torch.inference_mode()`.
    """
    if torch.is_inference_mode_enabled():
        raise ValueError(
            "Forces are a gradient of the energy, and torch.inference_mode() allows for none. Evaluate under "
            "torch.no_grad(), in which they are computed (lightning: Trainer(inference_mode=False))."
        )
    return pos.detach().requires_grad_()


def forces_of(
    energy: Float[Tensor, "*molecules"], pos: Float[Tensor, "atoms 3"], create_graph: bool = True
) -> Float[Tensor, "atoms 3"]:
    """-∂ΣE/∂x, (N, 3).

    Raises:
        ValueError: the energies were not computed from these positions.
        RuntimeError: they were, with `torch.compile`, and the gradient is to be trained on.
    """
    gradient = None
    if pos.requires_grad and energy.requires_grad:
        try:
            (gradient,) = torch.autograd.grad(energy.sum(), pos, create_graph=create_graph, allow_unused=True)
        except RuntimeError as error:
            if "donated buffer" not in str(error):  # what torch says of the same thing
                raise
            raise RuntimeError(
                "Training on a gradient differentiates the encoder twice, which torch.compile does not support. Leave "
                "encoder and energy head in eager mode; or predict vectors, not a gradient "
                '(prediction="vector", force_head=), or evaluate only (method.eval()).'
            ) from error
    if gradient is None:
        raise ValueError(
            "A gradient by the positions needs positions that require one, and features computed from these; these do "
            "not. Call pos.requires_grad_() ahead of the encoder, with gradients enabled, and neither detach positions "
            "in it nor wrap it in torch.no_grad()."
        )
    return -gradient
