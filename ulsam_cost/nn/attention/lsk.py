"""LSKNet's spatial selection as a module."""

import torch
from torch import Tensor, nn

from ulsam_cost.formulas.attention.mechanism import hidden_width


class LSK(nn.Module):
    """Two reaches of one map, weighed position by position, as a gate on the map.

    Source: Li et al., ICCV 2023, Eq. 1 to 8, and the authors' code.

    Args:
        channels: m of the map [n, m, h, w], 2 or more.

    Raises:
        SizeError: for one channel.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        e = hidden_width(channels, 2)
        self.near = nn.Conv2d(channels, channels, 5, padding=2, groups=channels)
        self.far = nn.Conv2d(channels, channels, 7, padding=9, dilation=3, groups=channels)
        self.near_down = nn.Conv2d(channels, e, 1)
        self.far_down = nn.Conv2d(channels, e, 1)
        self.select = nn.Conv2d(2, 2, 7, padding=3)
        self.up = nn.Conv2d(e, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        near = self.near(x)
        far = self.far_down(self.far(near))
        near = self.near_down(near)
        both = torch.cat((near, far), dim=1)
        pooled = torch.cat((both.mean(1, keepdim=True), both.amax(1, keepdim=True)), dim=1)
        weights = self.select(pooled).sigmoid()
        return x * self.up(near * weights[:, :1] + far * weights[:, 1:])  # type: ignore[no-any-return]


MODULE = LSK
