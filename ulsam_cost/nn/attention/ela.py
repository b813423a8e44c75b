"""ELA as a module."""

from torch import Tensor, nn

from ulsam_cost.formulas.attention.mechanism import require_odd_kernel


class ELA(nn.Module):
    """A gate on each row and one on each column, from the means along the other direction, without a bottleneck.

    Source: Xu and Wan, arXiv 2403.01123, 2024; timm's layer, since no code of the authors was found.

    Args:
        channels: m of the map [n, m, h, w].
        kernel: k of the convolutions along the rows and the columns, odd.

    Raises:
        SizeError: for an even k.
    """

    def __init__(self, channels: int, kernel: int = 7) -> None:
        super().__init__()
        k = require_odd_kernel(kernel)
        self.rows = nn.Conv2d(channels, channels, (k, 1), padding=(k // 2, 0), groups=channels, bias=False)
        self.rows_norm = nn.GroupNorm(1, channels)
        self.columns = nn.Conv2d(channels, channels, (1, k), padding=(0, k // 2), groups=channels, bias=False)
        self.columns_norm = nn.GroupNorm(1, channels)
        self.silu = nn.SiLU()

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        rows = self.silu(self.rows_norm(self.rows(x.mean(3, keepdim=True)))).sigmoid()
        columns = self.silu(self.columns_norm(self.columns(x.mean(2, keepdim=True)))).sigmoid()
        return x * rows * columns  # type: ignore[no-any-return]


MODULE = ELA
