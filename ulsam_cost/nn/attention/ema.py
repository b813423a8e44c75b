"""EMA as a module."""

import torch
from torch import Tensor, nn

from ulsam_cost.errors import require_divides, require_int


class EMA(nn.Module):
    """A gate on each position of each group of channels, from two branches that attend to one another.

    Source: Ouyang et al., ICASSP 2023, and the authors' code.

    Args:
        channels: m of the map [n, m, h, w].
        groups: g, a divisor of m.

    Raises:
        SizeError: if g does not divide m.
    """

    def __init__(self, channels: int, groups: int = 32) -> None:
        super().__init__()
        require_divides("groups", require_int("groups", groups), "channels", channels)
        self.groups, q = groups, channels // groups
        self.row_pool = nn.AdaptiveAvgPool2d((None, 1))
        self.column_pool = nn.AdaptiveAvgPool2d((1, None))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.directions = nn.Conv2d(q, q, 1)
        self.norm = nn.GroupNorm(q, q)
        self.local = nn.Conv2d(q, q, 3, padding=1)
        self.softmax = nn.Softmax(-1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        n, _, h, w = x.shape
        y = x.reshape(n * self.groups, -1, h, w)
        rows, columns = self.row_pool(y), self.column_pool(y).transpose(2, 3)
        rows, columns = self.directions(torch.cat((rows, columns), dim=2)).split((h, w), dim=2)
        first = self.norm(y * rows.sigmoid() * columns.transpose(2, 3).sigmoid())
        second = self.local(y)
        gate = self.attend(first, second) + self.attend(second, first)
        return (y * gate.reshape(n * self.groups, 1, h, w).sigmoid()).reshape(x.shape)

    def attend(self, one: Tensor, other: Tensor) -> Tensor:
        """[n g, q, h, w] twice -> [n g, 1, p]: the other's channels weighed by the softmax of the one's means."""
        weights = self.softmax(self.pool(one).flatten(1)[:, None])  # [n g, 1, q]
        return torch.matmul(weights, other.flatten(2))


MODULE = EMA
