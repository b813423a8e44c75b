"""ULSAM as a module: all subspaces in one depthwise and one grouped convolution."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import has_torch_function

from ulsam_cost.errors import require_divides, require_int
from ulsam_cost.formulas.attention.mechanism import require_one_of
from ulsam_cost.formulas.attention.ulsam import STYLES

RELEASE_MOMENTUM = 0.9


class ULSAM(nn.Module):
    """One softmax attention map for each of `groups` subspaces of the channels.

    Source: Saini et al., WACV 2020, Eq. 2 to 4; style `release`: the authors' published code.

    Args:
        channels: m of the map [n, m, h, w].
        groups: subspaces g, a divisor of m.
        style: `equation` (no biases, no norms) or `release` (biases; batch norm and ReLU after each convolution).

    Raises:
        SizeError: if g does not divide m.
        CostError: for another style.
    """

    def __init__(self, channels: int, groups: int = 4, style: str = "equation") -> None:
        super().__init__()
        require_one_of("style", style, STYLES)
        require_divides("g", require_int("g", groups), "m", channels)
        self.groups, self.style = groups, style
        release = style == "release"
        self.depthwise = nn.Conv2d(channels, channels, 1, groups=channels, bias=release)
        if release:
            self.depthwise_norm = nn.BatchNorm2d(channels, momentum=RELEASE_MOMENTUM)
            self.depthwise_relu = nn.ReLU()
        self.pool = nn.MaxPool2d(3, stride=1, padding=1)
        self.pointwise = nn.Conv2d(channels, groups, 1, groups=groups, bias=release)
        if release:
            self.pointwise_norm = nn.BatchNorm2d(groups, momentum=RELEASE_MOMENTUM)
            self.pointwise_relu = nn.ReLU()
        self.softmax = nn.Softmax(dim=-1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        n, m, h, w = x.shape
        # On a CPU, PyTorch's 1 x 1 depthwise convolution and max pool are vectorised in this layout alone;
        # compiled, they are slower in it. As in nn.MultiheadAttention, a mode that hears what is called is shown the
        # operations as they are defined.
        eager_on_cpu = x.device.type == "cpu" and not torch.compiler.is_compiling() and not has_torch_function((x,))
        laid_out = x.contiguous(memory_format=torch.channels_last) if eager_on_cpu else x
        features = self.depthwise(laid_out)
        if self.style == "release":
            features = self.depthwise_relu(self.depthwise_norm(features))
        maps = self.pointwise(self.pool(features))  # [n, g, h, w]
        if self.style == "release":
            maps = self.pointwise_relu(self.pointwise_norm(maps))
        attention = self.softmax(maps.flatten(2)).view(n, self.groups, 1, h, w)
        subspaces = x.view(n, self.groups, m // self.groups, h, w)
        refined: Tensor = attention * subspaces + subspaces
        return refined.flatten(1, 2)

    def extra_repr(self) -> str:
        """What print() shows beside the parts."""
        settings: dict[str, Any] = {"groups": self.groups, "style": self.style}
        return ", ".join(f"{key}={value}" for key, value in settings.items())


MODULE = ULSAM
