"""Coordinate attention as a module."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ulsam_cost.formulas.attention.coord import shared_width


class CoordinateAttention(nn.Module):
    """A gate on each row and one on each column, from the means along the other direction.

    Source: Hou et al., CVPR 2021, Eq. 4 to 9, and the authors' code.

    Args:
        channels: m of the map [n, m, h, w].
        reduction: r, so that the directions share max(8, floor(m / r)) channels.
    """

    def __init__(self, channels: int, reduction: int = 32) -> None:
        super().__init__()
        q = shared_width(channels, reduction)
        self.row_pool = nn.AdaptiveAvgPool2d((None, 1))
        self.column_pool = nn.AdaptiveAvgPool2d((1, None))
        self.shared = nn.Conv2d(channels, q, 1)
        self.norm = nn.BatchNorm2d(q)
        self.rows = nn.Conv2d(q, channels, 1)
        self.columns = nn.Conv2d(q, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        h, w = x.shape[2:]
        rows, columns = self.row_pool(x), self.column_pool(x).transpose(2, 3)  # [n, m, h, 1], [n, m, w, 1]
        hidden = self.norm(self.shared(torch.cat((rows, columns), dim=2)))
        rows, columns = (hidden * (F.relu6(hidden + 3) / 6)).split((h, w), dim=2)
        return x * self.columns(columns.transpose(2, 3)).sigmoid() * self.rows(rows).sigmoid()  # type: ignore[no-any-return]


MODULE = CoordinateAttention
