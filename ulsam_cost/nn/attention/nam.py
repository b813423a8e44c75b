"""NAM as a module."""

from torch import Tensor, nn


class NAM(nn.Module):
    """A gate on each element from its batch norm, weighed by the share of its channel in the norm's weights.

    Source: Liu et al., NeurIPS workshops 2021, Eq. 1 and 2, and the authors' code, which takes the share without a
    gradient.

    Args:
        channels: m of the map [n, m, h, w].
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        weight = self.norm.weight.detach()
        share = weight.abs() / weight.abs().sum()
        return x * (self.norm(x) * share[:, None, None]).sigmoid()  # type: ignore[no-any-return]


MODULE = NAM
