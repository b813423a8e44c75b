"""GC as a module."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ulsam_cost.formulas.attention.mechanism import hidden_width


class GC(nn.Module):
    """The global context block: one context vector, transformed and added to every position.

    Source: Cao et al., ICCV workshops 2019, Eq. 4.

    Args:
        channels: m of the map [n, m, h, w].
        reduction: r of the bottleneck.
        bias: whether the convolutions have biases, as in the authors' code.

    Raises:
        SizeError: if r is larger than m.
    """

    def __init__(self, channels: int, reduction: int = 16, bias: bool = False) -> None:
        super().__init__()
        d = hidden_width(channels, reduction)
        self.mask = nn.Conv2d(channels, 1, 1, bias=bias)
        self.down = nn.Conv2d(channels, d, 1, bias=bias)
        self.norm = nn.LayerNorm([d, 1, 1])
        self.relu = nn.ReLU()
        self.up = nn.Conv2d(d, channels, 1, bias=bias)

    def extract(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, 1, 1], the context."""
        attention = F.softmax(self.mask(x).flatten(2), dim=-1)  # [n, 1, p]
        return torch.matmul(x.flatten(2), attention.transpose(1, 2))[..., None]

    def transform(self, context: Tensor) -> Tensor:
        """[n, m, 1, 1] -> [n, m, 1, 1]."""
        return self.up(self.relu(self.norm(self.down(context))))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        return x + self.transform(self.extract(x))


MODULE = GC
