"""FcaNet's multi-spectral attention as a module."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ulsam_cost.errors import require_divides
from ulsam_cost.formulas.attention.fca import GRID, frequencies_of, transform_size
from ulsam_cost.formulas.attention.mechanism import hidden_width


class FCA(nn.Module):
    """Squeeze and excitation from several frequencies of each map where SE takes the mean alone.

    Source: Qin et al., ICCV 2021, Eq. 8 to 14, and the authors' code.

    Args:
        channels: m of the map [n, m, h, w].
        reduction: r of the bottleneck.
        frequencies: how many, and of which of the authors' lists: `top16`, `low8`, `bot32`.
        size: h, or (h, w), to which other maps are pooled before the transform.

    Raises:
        SizeError: if r is larger than m, or the frequencies do not divide m.
        CostError: for another list.
    """

    waves: Tensor

    def __init__(
        self, channels: int, reduction: int = 16, frequencies: str = "top16", size: int | tuple[int, int] = 7
    ) -> None:
        super().__init__()
        chosen = frequencies_of(frequencies)
        require_divides("frequencies", len(chosen), "channels", channels)
        d = hidden_width(channels, reduction)
        self.frequencies, self.size = frequencies, transform_size(size)
        each = channels // len(chosen)
        waves = [_wave(u, self.size[0])[:, None] * _wave(v, self.size[1]) for u, v in chosen]
        whole = torch.stack(waves).repeat_interleave(each, dim=0)
        self.register_buffer("waves", whole.to(torch.get_default_dtype()), persistent=False)
        self.down = nn.Linear(channels, d, bias=False)
        self.relu = nn.ReLU()
        self.up = nn.Linear(d, channels, bias=False)
        self.sigmoid = nn.Sigmoid()

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        pooled = x if tuple(x.shape[2:]) == self.size else F.adaptive_avg_pool2d(x, self.size)
        transformed = (pooled * self.waves).sum((2, 3))
        return x * self.sigmoid(self.up(self.relu(self.down(transformed))))[..., None, None]  # type: ignore[no-any-return]


def _wave(frequency: int, size: int) -> Tensor:
    """One row of the cosine transform of that size; the frequency is one of a grid of 7."""
    scaled = frequency * (size // GRID)
    norm = math.sqrt((2 if scaled else 1) / size)
    return norm * torch.cos(math.pi * scaled * (torch.arange(size, dtype=torch.float64) + 0.5) / size)


MODULE = FCA
