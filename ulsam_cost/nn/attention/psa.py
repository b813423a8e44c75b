"""EPSANet's pyramid squeeze attention as a module."""

import torch
from torch import Tensor, nn

from ulsam_cost.formulas.attention.psa import branch_widths


class PyramidSqueezeAttention(nn.Module):
    """Convolutions of several reaches side by side, each channel weighed against its like in the other branches.

    Source: Zhang et al., ACCV 2022, Eq. 1 to 10, and the authors' code, which joins the branches in reverse.

    Args:
        channels: m of the map [n, m, h, w].
        kernels: of the branches, odd.
        groups: of the branches' convolutions.
        reduction: r of the weights' bottleneck.
        stride: of the branches' convolutions.

    Raises:
        SizeError: if the branches do not divide m, their groups its parts, or r leaves nothing of a part.
    """

    def __init__(
        self,
        channels: int,
        kernels: tuple[int, ...] = (3, 5, 7, 9),
        groups: tuple[int, ...] = (1, 4, 8, 16),
        reduction: int = 16,
        stride: int = 1,
    ) -> None:
        super().__init__()
        q, e = branch_widths(channels, kernels, groups, reduction, stride)
        self.branches = nn.ModuleList(
            nn.Conv2d(channels, q, k, stride, k // 2, groups=g, bias=False)
            for k, g in zip(kernels, groups, strict=True)
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.down = nn.Conv2d(q, e, 1)
        self.relu = nn.ReLU()
        self.up = nn.Conv2d(e, q, 1)
        self.sigmoid = nn.Sigmoid()
        self.softmax = nn.Softmax(1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h', w']."""
        maps = [branch(x) for branch in self.branches]
        gates = [self.sigmoid(self.up(self.relu(self.down(self.pool(y))))) for y in maps]
        weights = self.softmax(torch.stack(gates, dim=1)).unbind(1)  # [n, q, 1, 1] a branch
        attended = [y * weight for y, weight in zip(maps, weights, strict=True)]
        return torch.cat(attended[::-1], dim=1)


MODULE = PyramidSqueezeAttention
