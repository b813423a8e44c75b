"""GAM as a module."""

from torch import Tensor, nn

from ulsam_cost.errors import require_divides, require_int
from ulsam_cost.formulas.attention.mechanism import hidden_width


class GAM(nn.Module):
    """A gate on each element from the channels at its position, then one from its neighbourhood.

    Source: Liu et al., arXiv 2112.05561, 2021; public copies of the authors' class.

    Args:
        channels: m of the map [n, m, h, w].
        reduction: r of both gates.
        groups: g of the 7 x 7 convolutions; with several the second gate's channels are shuffled.

    Raises:
        SizeError: if r is larger than m, or g does not divide m and floor(m / r).
    """

    def __init__(self, channels: int, reduction: int = 4, groups: int = 1) -> None:
        super().__init__()
        d = hidden_width(channels, reduction)
        require_divides("groups", require_int("groups", groups), "channels", channels)
        require_divides("groups", groups, "hidden channels", d)
        self.groups = groups
        self.down = nn.Linear(channels, d)
        self.relu = nn.ReLU()
        self.up = nn.Linear(d, channels)
        self.spatial_down = nn.Conv2d(channels, d, 7, padding=3, groups=groups)
        self.spatial_down_norm = nn.BatchNorm2d(d)
        self.spatial_relu = nn.ReLU()
        self.spatial_up = nn.Conv2d(d, channels, 7, padding=3, groups=groups)
        self.spatial_up_norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        n, m, h, w = x.shape
        gate = self.up(self.relu(self.down(x.flatten(2).transpose(1, 2))))  # [n, p, m]
        x = x * gate.transpose(1, 2).reshape(n, m, h, w).sigmoid()
        hidden = self.spatial_relu(self.spatial_down_norm(self.spatial_down(x)))
        gate = self.spatial_up_norm(self.spatial_up(hidden)).sigmoid()
        if self.groups > 1:
            gate = gate.reshape(n, self.groups, m // self.groups, h, w).transpose(1, 2).reshape(n, m, h, w)
        return x * gate  # type: ignore[no-any-return]


MODULE = GAM
