"""ECA as a module."""

from torch import Tensor, nn

from ulsam_cost.formulas.attention.eca import chosen_kernel


class ECA(nn.Module):
    """Efficient channel attention: a gate on each channel from the means of its neighbours.

    Source: Wang et al., CVPR 2020, Eq. 9 to 12.

    Args:
        channels: m of the map [n, m, h, w].
        kernel: k, odd; 0 chooses it from the channels, as the paper does.

    Raises:
        SizeError: for an even k.
    """

    def __init__(self, channels: int, kernel: int = 3) -> None:
        super().__init__()
        k = chosen_kernel(kernel, channels)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.conv = nn.Conv1d(1, 1, k, padding=k // 2, bias=False)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        means = self.pool(x).flatten(2).transpose(1, 2)  # [n, 1, m]
        return x * self.sigmoid(self.conv(means)).transpose(1, 2)[..., None]  # type: ignore[no-any-return]


MODULE = ECA
