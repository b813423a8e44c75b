"""Strip pooling as a module."""

from torch import Tensor, nn
from torch.nn import functional as F


class StripPooling(nn.Module):
    """A gate on each element from the means of its row and its column.

    Source: Hou et al., CVPR 2020, Eq. 1 to 5, and the authors' code: the gate of the backbone.

    Args:
        channels: m of the map [n, m, h, w].
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.row_pool = nn.AdaptiveAvgPool2d((None, 1))
        self.column_pool = nn.AdaptiveAvgPool2d((1, None))
        self.rows = nn.Conv2d(channels, channels, (3, 1), padding=(1, 0), bias=False)
        self.rows_norm = nn.BatchNorm2d(channels)
        self.columns = nn.Conv2d(channels, channels, (1, 3), padding=(0, 1), bias=False)
        self.columns_norm = nn.BatchNorm2d(channels)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        rows = self.rows_norm(self.rows(self.row_pool(x)))
        columns = self.columns_norm(self.columns(self.column_pool(x)))
        return x * self.mix(F.relu(rows + columns)).sigmoid()  # type: ignore[no-any-return]


MODULE = StripPooling
