"""SK as a module."""

from functools import reduce
from operator import add

from torch import Tensor, nn
from torch.nn import functional as F

from ulsam_cost.errors import require_divides, require_int
from ulsam_cost.formulas.attention.mechanism import at_least, hidden_width
from ulsam_cost.formulas.attention.sk import require_sk_sizes

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "relu6": nn.ReLU6}


class SK(nn.Module):
    """A selective-kernel unit m -> m in place of a k x k convolution with batch norm and activation.

    Source: Li et al., CVPR 2019, Eq. 1 to 6.

    Args:
        channels: m of the map [n, m, h, w].
        branches: 2 or more; branch i is dilated by i.
        kernel: k, odd.
        reduction: r of the weights' bottleneck.
        groups: of the branches' convolutions; m for depthwise ones.
        stride: of the branches' convolutions.
        activation: of the branches, `relu` or `relu6`.
        least: the width of the weights' bottleneck where m / r is less.
        bias: whether the 1 x 1 convolutions have biases; the authors leave them out.

    Raises:
        SizeError: if r is larger than m, k is even, there are fewer than two branches or the groups do not divide m.
        CostError: for another activation.
    """

    def __init__(
        self,
        channels: int,
        branches: int = 2,
        kernel: int = 3,
        reduction: int = 16,
        groups: int = 1,
        stride: int = 1,
        activation: str = "relu",
        bias: bool = False,
        least: int = 1,
    ) -> None:
        super().__init__()
        d = at_least(require_int("least", least), hidden_width(channels, reduction))
        require_sk_sizes(branches, kernel, stride, activation)
        require_divides("groups", require_int("groups", groups), "channels", channels)
        self.branches = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(
                    channels,
                    channels,
                    kernel,
                    stride,
                    padding=dilation * (kernel - 1) // 2,
                    dilation=dilation,
                    groups=groups,
                    bias=False,
                ),
                nn.BatchNorm2d(channels),
                ACTIVATIONS[activation](),
            )
            for dilation in range(1, branches + 1)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.down = nn.Conv2d(channels, d, 1, bias=bias)
        self.norm = nn.BatchNorm2d(d)
        self.up = nn.Conv2d(d, branches * channels, 1, bias=bias)

    def split(self, x: Tensor) -> list[Tensor]:
        """[n, m, h, w] -> [n, m, h', w'], one for each branch."""
        return [branch(x) for branch in self.branches]

    def extract(self, maps: list[Tensor]) -> list[Tensor]:
        """[n, m, h', w'], one for each branch -> [n, m, 1, 1], one for each branch."""
        return [self.pool(features) for features in maps]

    def transform(self, means: list[Tensor]) -> Tensor:
        """[n, m, 1, 1], one for each branch -> [n, branches, m, 1, 1], weights that add up to 1."""
        logits: Tensor = self.up(F.relu(self.norm(self.down(reduce(add, means)))))
        return F.softmax(logits.unflatten(1, (len(means), -1)), dim=1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h', w']."""
        maps = self.split(x)
        weights = self.transform(self.extract(maps)).unbind(1)
        return reduce(add, [features * weight for features, weight in zip(maps, weights, strict=True)])


MODULE = SK
