"""Non-local as a module."""

import torch
from torch import Tensor, nn

from ulsam_cost.formulas.attention.mechanism import hidden_width


class NonLocal(nn.Module):
    """The embedded Gaussian non-local block: every position attends to every other, through m / r channels.

    Source: Wang et al., CVPR 2018, Eq. 1, 4 and 6.

    Args:
        channels: m of the map [n, m, h, w].
        reduction: r of the bottleneck.
        bias: whether the convolutions have biases.

    Raises:
        SizeError: if r is larger than m.
    """

    def __init__(self, channels: int, reduction: int = 2, bias: bool = False) -> None:
        super().__init__()
        d = hidden_width(channels, reduction)
        self.theta = nn.Conv2d(channels, d, 1, bias=bias)
        self.phi = nn.Conv2d(channels, d, 1, bias=bias)
        self.value = nn.Conv2d(channels, d, 1, bias=bias)
        self.softmax = nn.Softmax(dim=-1)
        self.out = nn.Conv2d(d, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        n, _, h, w = x.shape
        theta, phi, value = (project(x).flatten(2) for project in (self.theta, self.phi, self.value))  # [n, d, p]
        attention = self.softmax(torch.matmul(theta.transpose(1, 2), phi))  # [n, p, p]
        attended = torch.matmul(attention, value.transpose(1, 2))  # [n, p, d]
        return x + self.out(attended.transpose(1, 2).view(n, -1, h, w))  # type: ignore[no-any-return]


MODULE = NonLocal
