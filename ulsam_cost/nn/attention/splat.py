"""ResNeSt's split attention as a module."""

from torch import Tensor, nn
from torch.nn import functional as F

from ulsam_cost.formulas.attention.splat import require_splat_sizes, weights_width
from ulsam_cost.nn.attention.sk import ACTIVATIONS


class SplitAttention(nn.Module):
    """A convolution of several splits in place of one, each channel weighed against its like in the other splits.

    Source: Zhang et al., arXiv 2004.08955, 2020, Eq. 1 and 2, and the authors' code.

    Args:
        channels: m of the map [n, m, h, w].
        radix: R, the splits.
        groups: K, the cardinality.
        kernel: k of the convolution, odd.
        reduction: r of the weights' bottleneck.
        stride: where it is above 1, an average pool of 3 x 3 has it, after the convolution.
        activation: of the splits, `relu` or `relu6`.

    Raises:
        SizeError: if K does not divide m or the bottleneck.
    """

    def __init__(
        self,
        channels: int,
        radix: int = 2,
        groups: int = 1,
        kernel: int = 3,
        reduction: int = 4,
        stride: int = 1,
        activation: str = "relu",
    ) -> None:
        super().__init__()
        require_splat_sizes(channels, radix, groups, kernel, stride, activation)
        e = weights_width(channels, radix, groups, reduction)
        self.radix, self.cardinality = radix, groups
        wide = radix * channels
        self.conv = nn.Conv2d(channels, wide, kernel, padding=kernel // 2, groups=groups * radix, bias=False)
        self.norm = nn.BatchNorm2d(wide)
        self.activation = ACTIVATIONS[activation]()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.down = nn.Conv2d(channels, e, 1, groups=groups)
        self.down_norm = nn.BatchNorm2d(e)
        self.up = nn.Conv2d(e, wide, 1, groups=groups)
        self.average = nn.AvgPool2d(3, stride, 1) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h', w']."""
        n, m = x.shape[:2]
        splits = self.activation(self.norm(self.conv(x))).split(m, dim=1)
        total = sum(splits) if self.radix > 1 else splits[0]
        logits = self.up(F.relu(self.down_norm(self.down(self.pool(total)))))
        weights = _over_splits(logits, n, self.cardinality, self.radix).reshape(n, self.radix, m, 1, 1).unbind(1)
        parts = [split * weight for split, weight in zip(splits, weights, strict=True)]
        attended = sum(parts) if self.radix > 1 else parts[0]
        return attended if self.average is None else self.average(attended)  # type: ignore[no-any-return]


def _over_splits(logits: Tensor, n: int, cardinality: int, radix: int) -> Tensor:
    """[n, R m, 1, 1] -> [n, R, m]: a softmax over the splits; of one split a sigmoid."""
    if radix == 1:
        return logits.sigmoid()
    return F.softmax(logits.reshape(n, cardinality, radix, -1).transpose(1, 2), dim=1)


MODULE = SplitAttention
