"""GCT as a module."""

import torch
from torch import Tensor, nn

from ulsam_cost.formulas.attention.gct import STYLES
from ulsam_cost.formulas.attention.mechanism import require_one_of

EPSILON = 1e-5


class GCT(nn.Module):
    """A gate on each channel from how strong it is among the others.

    Source: Yang et al., CVPR 2020, Eq. 2 to 6, and the authors' code.

    Args:
        channels: m of the map [n, m, h, w].
        style: `l2` or `l1`, the norm that says how strong a channel is.
        after_relu: whether the map is known to be at least 0, so that l1 takes no absolute values.

    Raises:
        CostError: for another style.
    """

    def __init__(self, channels: int, style: str = "l2", after_relu: bool = False) -> None:
        super().__init__()
        require_one_of("style", style, STYLES)
        self.style, self.after_relu = style, after_relu
        self.alpha = nn.Parameter(torch.ones(1, channels, 1, 1))
        self.gamma = nn.Parameter(torch.zeros(1, channels, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, channels, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        if self.style == "l2":
            embedding = (x.pow(2).sum((2, 3), keepdim=True) + EPSILON).pow(0.5) * self.alpha
            norm = self.gamma / (embedding.pow(2).mean(1, keepdim=True) + EPSILON).pow(0.5)
        else:
            embedding = (x if self.after_relu else x.abs()).sum((2, 3), keepdim=True) * self.alpha
            norm = self.gamma / (embedding.abs().mean(1, keepdim=True) + EPSILON)
        return x * (1 + torch.tanh(embedding * norm + self.beta))


MODULE = GCT
