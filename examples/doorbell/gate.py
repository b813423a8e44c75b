"""A custom attention module: a gate computed from the contrast of each channel with its neighbourhood."""

from torch import Tensor, nn
from torch.nn import functional as F


class ContrastGate(nn.Module):
    """Compare each channel with its neighbourhood on a map of half the size, mix the channels, and gate with that."""

    def __init__(self, channels: int, reduction: int = 4) -> None:
        super().__init__()
        self.contrast = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.norm = nn.BatchNorm2d(channels)
        self.squeeze = nn.Conv2d(channels, channels // reduction, 1)
        self.excite = nn.Conv2d(channels // reduction, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> the same shape."""
        y = self.norm(self.contrast(F.avg_pool2d(x, 2, ceil_mode=True)))
        gate = self.excite(F.relu(self.squeeze(y)))
        return x * F.interpolate(gate, x.shape[-2:]).sigmoid()
