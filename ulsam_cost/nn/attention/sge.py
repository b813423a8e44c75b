"""SGE as a module."""

import torch
from torch import Tensor, nn

from ulsam_cost.errors import require_divides, require_int
from ulsam_cost.formulas.attention.mechanism import require_several_positions


class SGE(nn.Module):
    """A gate on each position of each group of channels, from its likeness to the group's mean.

    Source: Li et al., arXiv 1905.09646, 2019, Eq. 1 to 5, and the authors' code.

    Args:
        channels: m of the map [n, m, h, w].
        groups: g, a divisor of m.

    Raises:
        SizeError: if g does not divide m; from `forward`, for a map of one position.
    """

    def __init__(self, channels: int, groups: int = 64) -> None:
        super().__init__()
        require_divides("groups", require_int("groups", groups), "channels", channels)
        self.groups = groups
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.weight = nn.Parameter(torch.zeros(1, groups, 1, 1))
        self.bias = nn.Parameter(torch.ones(1, groups, 1, 1))
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        n, _, h, w = x.shape
        require_several_positions(h, w)
        grouped = x.reshape(n * self.groups, -1, h, w)
        likeness = (grouped * self.pool(grouped)).sum(1).flatten(1)  # [n g, p]
        likeness = likeness - likeness.mean(1, keepdim=True)
        likeness = likeness / (likeness.std(1, keepdim=True) + 1e-5)
        gate = self.sigmoid(likeness.reshape(n, self.groups, h, w) * self.weight + self.bias)
        return (grouped * gate.reshape(n * self.groups, 1, h, w)).reshape(x.shape)  # type: ignore[no-any-return]


MODULE = SGE
