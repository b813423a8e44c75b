"""BoTNet's self-attention as a module."""

import torch
from torch import Tensor, nn

from ulsam_cost.errors import SizeError, require_divides, require_int
from ulsam_cost.formulas.attention.mhsa import require_map_size


class MHSA(nn.Module):
    """Every position attends to every other, by content and by relative position, in place of a convolution.

    Source: Srinivas et al., CVPR 2021, Figure 4; timm's layer, which was written after the authors' code.

    Args:
        channels: m of the map [n, m, h, w].
        heads: a divisor of m.
        map_size: h, or (h, w), of the maps to come; relative positions need it.
        relative: whether positions attend by where they are, beside what they hold.
        stride: of an average pool that follows.

    Raises:
        SizeError: if the heads do not divide m, and for no map size where one is needed; from `forward`, for a map of
            another size.
    """

    height: Tensor
    width: Tensor
    height_index: Tensor
    width_index: Tensor

    def __init__(
        self,
        channels: int,
        heads: int = 4,
        map_size: int | tuple[int, int] | None = None,
        relative: bool = True,
        stride: int = 1,
    ) -> None:
        super().__init__()
        require_divides("heads", require_int("heads", heads), "channels", channels)
        require_int("stride", stride)
        self.heads, self.scale, self.relative = heads, (channels // heads) ** -0.5, relative
        self.project = nn.Conv2d(channels, 3 * channels, 1, bias=False)
        if relative:
            self.map_size = require_map_size(map_size)
            for name, size in zip(("height", "width"), self.map_size, strict=True):
                table = nn.Parameter(torch.empty(2 * size - 1, channels // heads))
                nn.init.normal_(table, std=self.scale)
                self.register_parameter(name, table)
                self.register_buffer(f"{name}_index", _offsets(size), persistent=False)
        self.softmax = nn.Softmax(-1)
        self.pool = nn.AvgPool2d(stride, stride, ceil_mode=True) if stride > 1 else None

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h', w']."""
        n, m, h, w = x.shape
        query, key, value = self.project(x).reshape(n, 3, self.heads, m // self.heads, h * w).unbind(1)
        query = query.transpose(2, 3)  # [n, H, p, m / H]
        logits = torch.matmul(query, key) * self.scale
        if self.relative:
            logits = logits + self.positions(query, h, w)
        # [n, H, m / H, p] = [n, H, m / H, p] @ [n, H, p, p]
        result = torch.matmul(value, self.softmax(logits).transpose(2, 3)).reshape(n, m, h, w)
        return result if self.pool is None else self.pool(result)

    def positions(self, query: Tensor, h: int, w: int) -> Tensor:
        """[n, H, p, m / H] -> [n, H, p, p]: each query times the table of offsets, the row's and the column's."""
        if (h, w) != self.map_size:
            raise SizeError(f"a map of {h} x {w}: {self.map_size[0]} x {self.map_size[1]}, its map_size, is accepted")
        shape = (*query.shape[:2], h, w)
        columns = torch.matmul(query, self.width.transpose(0, 1)).reshape(*shape, 2 * w - 1)
        columns = columns.gather(4, self.width_index.expand(*shape, w))  # [n, H, h, w, w]
        rows = torch.matmul(query, self.height.transpose(0, 1)).reshape(*shape, 2 * h - 1)
        rows = rows.gather(4, self.height_index[:, None].expand(*shape, h))  # [n, H, h, w, h]
        return (rows[..., None] + columns[..., None, :]).reshape(*query.shape[:3], h * w)


def _offsets(size: int) -> Tensor:
    """[size, size]: where in the table the offset from one place to another stands."""
    places = torch.arange(size)
    return places[None] - places[:, None] + size - 1


MODULE = MHSA
