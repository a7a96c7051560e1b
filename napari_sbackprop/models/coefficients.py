"""Coefficient head: the latent-dependent weights s(z) of the structural basis (eq. 3 of Kimanius et al. 2022)."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, pad

_EXTRA_SCALE = (
    0.05  # of the coefficients that do not start at the identity: enough for their volumes to see a gradient
)


class CoefficientHead(nn.Module):
    """Three-layer perceptron with residual connections, z (B, Z) to s (B, K).

    Parameters
    ----------
    latent_size : Z.
    basis_size : K.
    linear_start : begin as the identity on the first Z coefficients, so that a linear model can be continued; the
        perceptron then only adds what the data ask for.
    """

    def __init__(self, latent_size: int, basis_size: int, *, linear_start: bool) -> None:
        super().__init__()
        hidden = 2 * basis_size
        self.linear_start = linear_start
        self.enter = nn.Linear(latent_size, hidden)
        self.middle = nn.Linear(hidden, hidden)
        self.leave = nn.Linear(hidden, basis_size)
        if linear_start:
            nn.init.zeros_(self.leave.bias)
            nn.init.zeros_(self.leave.weight)
            nn.init.normal_(self.leave.weight[latent_size:], std=_EXTRA_SCALE)

    def forward(self, latent: Tensor) -> Tensor:
        hidden = gelu(self.enter(latent))
        hidden = gelu(self.middle(hidden) + hidden)
        coefficients: Tensor = self.leave(hidden)
        if self.linear_start:
            coefficients = coefficients + pad(latent, (0, coefficients.shape[-1] - latent.shape[-1]))
        return coefficients

    def jacobian(self, latent: Tensor) -> Tensor:
        """Derivatives ds/dz (B, K, Z)."""
        with torch.enable_grad():
            return torch.func.vmap(torch.func.jacfwd(self.forward))(latent)


def stored_head(
    tensors: Mapping[str, Tensor], latent_size: int, basis_size: int, *, linear_start: bool
) -> CoefficientHead | None:
    """The head among the tensors of an epoch, by their names `head.*`; None where it is linear, s(z) = z."""
    state = {name.removeprefix("head."): value for name, value in tensors.items() if name.startswith("head.")}
    if not state:
        return None
    head = CoefficientHead(latent_size, basis_size, linear_start=linear_start)
    head.load_state_dict(state)
    return head.eval()
