"""CBAM as a module."""

import torch
from torch import Tensor, nn

from ulsam_cost.formulas.attention.mechanism import hidden_width, require_odd_kernel

NORM_MOMENTUM = 0.01


class CBAM(nn.Module):
    """A gate on each channel from the map's mean and maximum, then a gate on each position.

    Source: Woo et al., ECCV 2018, Eq. 1 to 3.

    Args:
        channels: m of the map [n, m, h, w].
        reduction: r of the shared MLP.
        kernel: k of the spatial gate's convolution, odd.
        max_pooling: whether the channel gate looks at the maximum beside the average.
        spatial_gate: whether the spatial gate follows the channel gate.
        bias: whether the MLP has biases, as in the authors' code; the convolution never has.

    Raises:
        SizeError: if r is larger than m or k is even.
    """

    def __init__(
        self,
        channels: int,
        reduction: int = 16,
        kernel: int = 7,
        max_pooling: bool = True,
        spatial_gate: bool = True,
        bias: bool = False,
    ) -> None:
        super().__init__()
        d = hidden_width(channels, reduction)
        require_odd_kernel(kernel)
        self.max_pooling, self.spatial_gate = max_pooling, spatial_gate
        self.avg_pool = nn.AdaptiveAvgPool2d(1)
        if max_pooling:
            self.max_pool = nn.AdaptiveMaxPool2d(1)
        self.down = nn.Linear(channels, d, bias=bias)
        self.relu = nn.ReLU()
        self.up = nn.Linear(d, channels, bias=bias)
        self.channel_sigmoid = nn.Sigmoid()
        if spatial_gate:
            self.conv = nn.Conv2d(2, 1, kernel, padding=kernel // 2, bias=False)
            self.norm = nn.BatchNorm2d(1, momentum=NORM_MOMENTUM)
            self.spatial_sigmoid = nn.Sigmoid()

    def mlp(self, vector: Tensor) -> Tensor:
        """[n, m] -> [n, m]."""
        return self.up(self.relu(self.down(vector)))  # type: ignore[no-any-return]

    def attend_channels(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        gate = self.mlp(self.avg_pool(x).flatten(1))
        if self.max_pooling:
            gate = gate + self.mlp(self.max_pool(x).flatten(1))
        return x * self.channel_sigmoid(gate)[..., None, None]  # type: ignore[no-any-return]

    def extremes(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, 2, h, w]: maximum and mean over the channels."""
        return torch.cat((x.amax(1, keepdim=True), x.mean(1, keepdim=True)), dim=1)

    def attend_positions(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        return x * self.spatial_sigmoid(self.norm(self.conv(self.extremes(x))))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        attended = self.attend_channels(x)
        return self.attend_positions(attended) if self.spatial_gate else attended


MODULE = CBAM
