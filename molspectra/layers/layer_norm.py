"""Layer normalization with derivatives of every order in forward mode."""

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from molspectra._transforms import is_transformed


class LayerNorm(nn.LayerNorm):
    """Layer normalization of the channels, as `nn.LayerNorm`, whose state it shares.

    PyTorch's forward-mode rule (2.13) takes mean and variance for constants when it is differentiated once more, and
    `jacfwd(jacfwd(f))` and `jacrev(jacfwd(f))` are wrong without an error. Within transforms the norm is therefore that
    of the root mean square of centered channels, which is the same function and has no such rule.

    Example:
        >>> energy = lambda x: LayerNorm(4)(x).pow(3).sum()
        >>> point = torch.tensor([0.1, 0.5, -0.3, 1.0])
        >>> torch.allclose(torch.func.jacfwd(torch.func.jacfwd(energy))(point), torch.func.hessian(energy)(point))
        True
    """

    def forward(self, input: Float[Tensor, "*batch channels"]) -> Float[Tensor, "*batch channels"]:
        """Normalize the last axis."""
        if not is_transformed():
            return super().forward(input)
        values = input.to(self.weight.dtype)  # of wider precision under autocast, as PyTorch's operator
        centered = values - values.mean(dim=-1, keepdim=True)
        return F.rms_norm(centered, self.normalized_shape, self.weight, self.eps) + self.bias
