"""SE as a module."""

from torch import Tensor, nn

from ulsam_cost.formulas.attention.mechanism import hidden_width


class SE(nn.Module):
    """Squeeze and excitation: a gate on each channel from the map's mean.

    Source: Hu et al., CVPR 2018, Eq. 2 to 4.

    Args:
        channels: m of the map [n, m, h, w].
        reduction: r of the bottleneck, at most m.
        bias: whether the linear layers have biases; the authors leave them out.

    Raises:
        SizeError: if r is larger than m.
    """

    def __init__(self, channels: int, reduction: int = 16, bias: bool = False) -> None:
        super().__init__()
        d = hidden_width(channels, reduction)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.down = nn.Linear(channels, d, bias=bias)
        self.relu = nn.ReLU()
        self.up = nn.Linear(d, channels, bias=bias)
        self.sigmoid = nn.Sigmoid()

    def extract(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m]."""
        return self.pool(x).flatten(1)  # type: ignore[no-any-return]

    def transform(self, vector: Tensor) -> Tensor:
        """[n, m] -> [n, m], the gate."""
        return self.sigmoid(self.up(self.relu(self.down(vector))))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        return x * self.transform(self.extract(x))[..., None, None]


MODULE = SE
