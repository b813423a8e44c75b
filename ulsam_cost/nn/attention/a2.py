"""A2 as a module."""

import torch
from torch import Tensor, nn

from ulsam_cost.errors import require_size
from ulsam_cost.formulas.attention.mechanism import hidden_width


class DoubleAttention(nn.Module):
    """Gather the map into t vectors of c channels, distribute them over the positions again.

    Source: Chen et al., NeurIPS 2018, Eq. 2 to 5.

    Args:
        channels: m of the map [n, m, h, w].
        reduction: r, so that the gathered vectors have c = floor(m / r) channels.
        maps: attention maps t; as many as c by default.
        bias: whether the convolutions have biases.

    Raises:
        SizeError: if r is larger than m, or t is not a positive whole number.
    """

    def __init__(self, channels: int, reduction: int = 4, maps: int | None = None, bias: bool = False) -> None:
        super().__init__()
        c = hidden_width(channels, reduction)
        t = c if maps is None else require_size("maps t", maps)
        self.features = nn.Conv2d(channels, c, 1, bias=bias)
        self.gather = nn.Conv2d(channels, t, 1, bias=bias)
        self.gather_softmax = nn.Softmax(dim=-1)
        self.distribute = nn.Conv2d(channels, t, 1, bias=bias)
        self.distribute_softmax = nn.Softmax(dim=1)
        self.out = nn.Conv2d(c, channels, 1, bias=bias)

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        n, _, h, w = x.shape
        features = self.features(x).flatten(2)  # [n, c, p]
        gathering = self.gather_softmax(self.gather(x).flatten(2))  # [n, t, p]
        vectors = torch.matmul(features, gathering.transpose(1, 2))  # [n, c, t]
        distribution = self.distribute_softmax(self.distribute(x).flatten(2))  # [n, t, p]
        attended = torch.matmul(vectors, distribution).view(n, -1, h, w)  # [n, c, h, w]
        return x + self.out(attended)  # type: ignore[no-any-return]


MODULE = DoubleAttention
