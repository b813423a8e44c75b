"""GE as a module."""

from torch import Tensor, nn
from torch.nn import functional as F

from ulsam_cost.errors import SizeError, require_int
from ulsam_cost.formulas.attention.ge import GLOBAL, STYLES, halvings, require_extent
from ulsam_cost.formulas.attention.mechanism import hidden_width, require_one_of
from ulsam_cost.formulas.layers import as_pair


class GE(nn.Module):
    """Gather-excite: a gate from each channel's neighbourhood.

    Source: Hu et al., NeurIPS 2018, Sections 3 and 4.

    Args:
        channels: m of the map [n, m, h, w].
        style: `theta-minus` (average pool), `theta` (depthwise convolutions), `theta-plus` (theta, then an MLP).
        extent: a power of two; 0 gathers the whole map.
        map_size: h, or (h, w), of the maps to come; theta and theta-plus of the whole map need it.
        reduction: r of theta-plus.
        bias: whether the 1 x 1 convolutions of theta-plus have biases.

    Raises:
        SizeError: for an extent that is not a power of two, no map size where one is needed, or r larger than m;
            from `forward`, for a map that cannot hold the extent.
        CostError: for another style.
    """

    def __init__(
        self,
        channels: int,
        style: str = "theta",
        extent: int = 8,
        map_size: int | tuple[int, int] | None = None,
        reduction: int = 16,
        bias: bool = False,
    ) -> None:
        super().__init__()
        require_one_of("style", style, STYLES)
        self.style, self.extent = style, require_extent(extent)
        if style == "theta-minus":
            self.gather = _average(extent)
        else:
            self.convs = nn.ModuleList(_depthwise(channels, extent, map_size))
            self.norms = nn.ModuleList(nn.BatchNorm2d(channels) for _ in self.convs)
        if style == "theta-plus":
            d = hidden_width(channels, reduction)
            self.down = nn.Conv2d(channels, d, 1, bias=bias)
            self.relu = nn.ReLU()
            self.up = nn.Conv2d(d, channels, 1, bias=bias)
        self.sigmoid = nn.Sigmoid()

    def extract(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h', w'], gathered."""
        if self.style == "theta-minus":
            return self.gather(x)  # type: ignore[no-any-return]
        for step, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = norm(conv(F.relu(x) if step else x))
        return x

    def transform(self, gathered: Tensor) -> Tensor:
        """[n, m, h', w'] -> [n, m, h', w']."""
        return self.up(self.relu(self.down(gathered))) if self.style == "theta-plus" else gathered

    def gate(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w], or [n, m, 1, 1] of the whole map."""
        require_extent(self.extent, *x.shape[2:])
        gathered = self.transform(self.extract(x))
        if self.extent != GLOBAL:
            gathered = F.interpolate(gathered, size=x.shape[2:], mode="nearest")
        return self.sigmoid(gathered)  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        return x * self.gate(x)

    def extra_repr(self) -> str:
        """What print() shows beside the parts."""
        return f"style={self.style}, extent={self.extent or 'global'}"


def _average(extent: int) -> nn.Module:
    if extent == GLOBAL:
        return nn.AdaptiveAvgPool2d(1)
    kernel = 2 * extent - 1
    return nn.AvgPool2d((kernel, kernel), stride=extent, padding=extent - 1, count_include_pad=False)


def _depthwise(channels: int, extent: int, map_size: int | tuple[int, int] | None) -> list[nn.Module]:
    if extent != GLOBAL:
        return [
            nn.Conv2d(channels, channels, 3, stride=2, padding=1, groups=channels, bias=False)
            for _ in range(halvings(extent))
        ]
    if map_size is None:
        raise SizeError(
            "map_size = None: the map's height, or (height, width), is needed to gather the whole map with weights"
        )
    height, width = (require_int("map_size", size) for size in as_pair(map_size))
    return [nn.Conv2d(channels, channels, (height, width), groups=channels, bias=False)]


MODULE = GE
