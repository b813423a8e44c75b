"""SimAM as a module."""

from torch import Tensor, nn

from ulsam_cost.formulas.attention.mechanism import require_several_positions
from ulsam_cost.formulas.attention.simam import require_regularizer


class SimAM(nn.Module):
    """A gate on each element from how far it is from its channel's mean; there is nothing to learn.

    Source: Yang et al., ICML 2021, Eq. 5 and 6, and the authors' code.

    Args:
        channels: m of the map [n, m, h, w]; nothing depends on it.
        regularizer: lambda, above 0.

    Raises:
        SizeError: from `forward`, for a map of one position.
    """

    def __init__(self, channels: int, regularizer: float = 1e-4) -> None:
        super().__init__()
        self.regularizer = require_regularizer(regularizer)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        p = require_several_positions(x.shape[2], x.shape[3])
        distance = (x - x.mean((2, 3), keepdim=True)).pow(2)
        variance = distance.sum((2, 3), keepdim=True) / (p - 1)
        return x * self.sigmoid(distance / (4 * (variance + self.regularizer)) + 0.5)  # type: ignore[no-any-return]


MODULE = SimAM
