"""SA-Net's shuffle attention as a module."""

import torch
from torch import Tensor, nn

from ulsam_cost.formulas.attention.shuffle import half_width


class ShuffleAttention(nn.Module):
    """In each group one half of the channels has a gate a channel, the other one a position; then they are shuffled.

    Source: Zhang and Yang, ICASSP 2021, Eq. 1 to 4, and the authors' code.

    Args:
        channels: m of the map [n, m, h, w].
        groups: g; 2 g divides m.

    Raises:
        SizeError: if 2 g does not divide m.
    """

    def __init__(self, channels: int, groups: int = 64) -> None:
        super().__init__()
        half = half_width(channels, groups)
        self.groups = groups
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.channel_weight = nn.Parameter(torch.zeros(1, half, 1, 1))
        self.channel_bias = nn.Parameter(torch.ones(1, half, 1, 1))
        self.position_weight = nn.Parameter(torch.zeros(1, half, 1, 1))
        self.position_bias = nn.Parameter(torch.ones(1, half, 1, 1))
        self.norm = nn.GroupNorm(half, half)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        n, m, h, w = x.shape
        first, second = x.reshape(n * self.groups, -1, h, w).chunk(2, dim=1)
        first = first * self.sigmoid(self.pool(first) * self.channel_weight + self.channel_bias)
        second = second * self.sigmoid(self.norm(second) * self.position_weight + self.position_bias)
        joined = torch.cat((first, second), dim=1).reshape(n, 2, m // 2, h, w)
        return joined.transpose(1, 2).reshape(n, m, h, w)


MODULE = ShuffleAttention
