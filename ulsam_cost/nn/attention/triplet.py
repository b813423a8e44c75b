"""Triplet attention as a module."""

import torch
from torch import Tensor, nn

from ulsam_cost.formulas.attention.mechanism import require_odd_kernel

NORM_MOMENTUM = 0.01


class Gate(nn.Module):
    """A gate on each position of the last two axes, from the maximum and the mean over the first."""

    def __init__(self, kernel: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(1, momentum=NORM_MOMENTUM)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """[n, a, b, c] -> [n, a, b, c]."""
        pooled = torch.cat((x.amax(1, keepdim=True), x.mean(1, keepdim=True)), dim=1)
        return x * self.sigmoid(self.norm(self.conv(pooled)))  # type: ignore[no-any-return]


class TripletAttention(nn.Module):
    """The mean of three gates, each of which pools over another axis of the map.

    Source: Misra et al., WACV 2021, Eq. 1 and 2, and the authors' code.

    Args:
        channels: m of the map [n, m, h, w]; the parameters do not depend on it.
        kernel: k of the gates' convolutions, odd.
        spatial_gate: whether the gate that pools over the channels is one of them.

    Raises:
        SizeError: for an even k.
    """

    def __init__(self, channels: int, kernel: int = 7, spatial_gate: bool = True) -> None:
        super().__init__()
        require_odd_kernel(kernel)
        self.rows = Gate(kernel)
        self.columns = Gate(kernel)
        self.plane = Gate(kernel) if spatial_gate else None

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        rows = _exchanged(self.rows(_exchanged(x, 2)), 2)
        columns = _exchanged(self.columns(_exchanged(x, 3)), 3)
        if self.plane is None:
            return (rows + columns) / 2
        return (self.plane(x) + rows + columns) / 3  # type: ignore[no-any-return]


def _exchanged(x: Tensor, axis: int) -> Tensor:
    """The map with its channels and another axis exchanged, laid out anew."""
    return x.transpose(1, axis).clone(memory_format=torch.contiguous_format)


MODULE = TripletAttention
