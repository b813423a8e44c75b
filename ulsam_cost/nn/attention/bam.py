"""BAM as a module."""

from torch import Tensor, nn
from torch.nn import functional as F

from ulsam_cost.errors import require_int
from ulsam_cost.formulas.attention.bam import STYLES
from ulsam_cost.formulas.attention.mechanism import hidden_width, require_one_of


class BAM(nn.Module):
    """A channel branch and a dilated spatial branch, joined into one gate: F * M + F.

    Source: Park et al., BMVC 2018, Eq. 1 to 4; the authors' code, style `release`, multiplies the branches where
    the equations add them, leaves out the last norm of each and has biases.

    Args:
        channels: m of the map [n, m, h, w].
        reduction: r of both branches.
        dilation: of the two 3 x 3 convolutions.
        bias: whether convolutions and linear layers have biases; `release` always has them.
        style: `equation` or `release`.

    Raises:
        SizeError: if r is larger than m.
        CostError: for another style.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        dilation: int = 4,
        bias: bool = False,
        style: str = "equation",
    ) -> None:
        super().__init__()
        require_one_of("style", style, STYLES)
        self.multiplies = style == "release"
        bias = bias or self.multiplies
        d = hidden_width(channels, reduction)
        require_int("dilation", dilation)
        self.pool = None if self.multiplies else nn.AdaptiveAvgPool2d(1)
        self.channel_down = nn.Linear(channels, d, bias=bias)
        self.channel_down_norm = nn.BatchNorm1d(d)
        self.channel_relu = nn.ReLU()
        self.channel_up = nn.Linear(d, channels, bias=bias)
        self.channel_up_norm = None if self.multiplies else nn.BatchNorm1d(channels)
        self.spatial_down = nn.Conv2d(channels, d, 1, bias=bias)
        self.spatial_down_norm = nn.BatchNorm2d(d)
        self.spatial_down_relu = nn.ReLU()
        self.spatial_1 = nn.Conv2d(d, d, 3, padding=dilation, dilation=dilation, bias=bias)
        self.spatial_1_norm = nn.BatchNorm2d(d)
        self.spatial_1_relu = nn.ReLU()
        self.spatial_2 = nn.Conv2d(d, d, 3, padding=dilation, dilation=dilation, bias=bias)
        self.spatial_2_norm = nn.BatchNorm2d(d)
        self.spatial_2_relu = nn.ReLU()
        self.spatial_up = nn.Conv2d(d, 1, 1, bias=bias)
        self.spatial_up_norm = None if self.multiplies else nn.BatchNorm2d(1)
        self.sigmoid = nn.Sigmoid()

    def channel_branch(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, 1, 1]."""
        pooled = F.avg_pool2d(x, x.shape[2:]) if self.pool is None else self.pool(x)
        hidden = self.channel_relu(self.channel_down_norm(self.channel_down(pooled.flatten(1))))
        gate = self.channel_up(hidden)
        return (gate if self.channel_up_norm is None else self.channel_up_norm(gate))[..., None, None]  # type: ignore[no-any-return]

    def spatial_branch(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, 1, h, w]."""
        x = self.spatial_down_relu(self.spatial_down_norm(self.spatial_down(x)))
        x = self.spatial_1_relu(self.spatial_1_norm(self.spatial_1(x)))
        x = self.spatial_2_relu(self.spatial_2_norm(self.spatial_2(x)))
        gate = self.spatial_up(x)
        return gate if self.spatial_up_norm is None else self.spatial_up_norm(gate)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        channel, spatial = self.channel_branch(x), self.spatial_branch(x)
        if self.multiplies:
            return (1 + self.sigmoid(channel * spatial)) * x  # type: ignore[no-any-return]
        return x * self.sigmoid(channel + spatial) + x  # type: ignore[no-any-return]


MODULE = BAM
