"""GE: gather each channel's neighbourhood, excite the map with it."""

from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.errors import SizeError, holds, require_int
from ulsam_cost.formulas.attention.mechanism import (
    Mechanism,
    Places,
    hidden_width,
    require_one_of,
)
from ulsam_cost.formulas.layers import (
    as_pair,
    avg_pool2d_cost,
    batch_norm_cost,
    conv2d_cost,
    global_avg_pool_cost,
    interpolate_cost,
    multiply_cost,
    relu_cost,
    sigmoid_cost,
)
from ulsam_cost.operations import Shape

STYLES = ("theta-minus", "theta", "theta-plus")
GLOBAL = 0


def ge_cost(
    *,
    channels: Any,
    height: Any,
    width: Any,
    batch: Any = 1,
    style: str = "theta",
    extent: int = 8,
    map_size: int | tuple[int, int] | None = None,
    reduction: Any = 16,
    bias: bool = False,
) -> Cost:
    """Gather-excite on a map [n, m, h, w].

    Source: Hu et al., NeurIPS 2018, Sections 3 and 4: GE-theta-minus, GE-theta, GE-theta-plus.
    Closed form: with s = log2(extent), g_k = ceil(h / 2^k) ceil(w / 2^k) and d = floor(m / r),
    parameters: theta-minus 0; theta 11 s m, of the whole map m h w + 2 m; theta-plus 2 m d more (with biases
    + d + m). MACs: theta-minus 0; theta 9 n m (g_1 + ... + g_s), of the whole map n m h w; theta-plus
    2 n m d g_s more, of the whole map 2 n m d.
    Counted: the gathering pool or depthwise convolutions with batch norms and ReLUs, the 1 x 1 convolutions of
    theta-plus with their biases and ReLU, the interpolation, the sigmoid, the scaling of the map.
    Not counted: the broadcasting of what the whole map gives, which is a view.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        style: `theta-minus` (average pool), `theta` (depthwise convolutions), `theta-plus` (theta, then an MLP).
        extent: a power of two, whose last halving still makes the map smaller; 0 gathers the whole map.
        map_size: h, or (h, w), of the maps that the module is built for: theta and theta-plus of the whole map
            have a kernel of that size. The formula takes the map's own.
        reduction: r of theta-plus.
        bias: whether the 1 x 1 convolutions of theta-plus have biases; nothing else has.

    Raises:
        SizeError: for an extent that the map cannot hold, another map size, or r larger than m.
        CostError: for another style.
    """
    require_one_of("style", style, STYLES)
    x = (batch, channels, height, width)
    built_for = (height, width) if map_size is None else as_pair(map_size)
    if not (holds(built_for[0] == height) and holds(built_for[1] == width)):
        raise SizeError(f"map_size = {map_size}: the map's own {height} x {width} is accepted")
    cost = _gather_cost(x, style, require_extent(extent, height, width))
    gathered = cost.output
    if style == "theta-plus":
        d = hidden_width(channels, reduction)
        # [n, d, h', w'] = [n, m, h', w'] * [d, m, 1, 1]
        cost += conv2d_cost("down", gathered, d, kernel=1, bias=bias)
        cost += relu_cost("relu", cost.output)
        # [n, m, h', w'] = [n, d, h', w'] * [m, d, 1, 1]
        cost += conv2d_cost("up", cost.output, channels, kernel=1, bias=bias)
    if extent != GLOBAL:
        cost += interpolate_cost("", gathered, x)  # [n, m, h, w] = nearest of [n, m, h', w']
    cost += sigmoid_cost("sigmoid", cost.output)
    return cost + multiply_cost("", x, x, cost.output)


def _gather_cost(x: Shape, style: str, extent: int) -> Cost:
    _, m, *size = x
    if style == "theta-minus":
        if extent == GLOBAL:
            return global_avg_pool_cost("gather", x)  # [n, m, 1, 1] = mean over p of [n, m, p]
        # [n, m, h', w'] = mean over 2 e - 1 positions each way, every e-th
        return avg_pool2d_cost("gather", x, kernel=2 * extent - 1, stride=extent, padding=extent - 1)
    if extent == GLOBAL:
        # [n, m, 1, 1] = [n, m, h, w] * [m, 1, h, w], a channel at a time
        cost = conv2d_cost("convs.0", x, m, kernel=(size[0], size[1]), groups=m)
        return cost + batch_norm_cost("norms.0", cost.output)
    cost, steps = Cost(), halvings(extent)
    for i in range(steps):
        # [n, m, h', w'] = [n, m, h, w] * [m, 1, 3, 3], a channel at a time
        cost += conv2d_cost(f"convs.{i}", x, m, kernel=3, stride=2, padding=1, groups=m)
        x = cost.output
        cost += batch_norm_cost(f"norms.{i}", x)
        if i < steps - 1:
            cost += relu_cost("", x, module="")
    return cost


def halvings(extent: int) -> int:
    """log2 of an extent."""
    return extent.bit_length() - 1


def require_extent(extent: int, height: Any = None, width: Any = None) -> int:
    """Return an extent that is a power of two, or 0 for the whole map, and that the map can hold.

    Its last halving must still make the map smaller on both sides. Symbols are taken on trust.

    Raises:
        SizeError: with the extents that are accepted.
    """
    if extent == GLOBAL and not isinstance(extent, bool):
        return extent
    if require_int("extent", extent) < 2 or extent & (extent - 1):
        raise SizeError(f"extent = {extent}: a power of two from 2 on is accepted, or 0 for the whole map")
    for size in (height, width):
        if size is not None and not holds(2 * size > extent):
            raise SizeError(
                f"extent = {extent} on a map of {height} x {width}: less than twice its shorter side is accepted, "
                f"or 0 for the whole map"
            )
    return extent


MECHANISM = Mechanism(
    name="ge",
    title="GE",
    source="Hu et al., NeurIPS 2018",
    group="both",
    cost=ge_cost,
    places=Places(source="hujie-frank/GENet: in all blocks, after the last norm, before the shortcut"),
    built_for=lambda size, /, *, extent=None, **_: {"map_size": size} if extent == GLOBAL else {},
    from_table1=lambda *, r, **_: {"reduction": r},
)
