"""BoTNet's self-attention: every position attends to every other, in place of a convolution."""

from math import prod
from typing import Any

from ulsam_cost.cost import Cost, OpCost, OpKind
from ulsam_cost.errors import SizeError, holds, require_divides, require_int, require_size
from ulsam_cost.formulas.attention.mechanism import Mechanism, Places, convolution_cost
from ulsam_cost.formulas.layers import (
    add_cost,
    as_pair,
    avg_pool2d_cost,
    conv2d_cost,
    matmul_cost,
    multiply_cost,
    softmax_cost,
)
from ulsam_cost.operations import Shape


def mhsa_cost(
    *,
    channels: Any,
    height: Any,
    width: Any,
    batch: Any = 1,
    heads: Any = 4,
    map_size: int | tuple[int, int] | None = None,
    relative: bool = True,
    stride: int = 1,
) -> Cost:
    """Multi-head self-attention m -> m on a map [n, m, h, w], p = h w; it stands in place of a 3 x 3 convolution.

    Source: Srinivas et al., CVPR 2021, Figure 4, as timm has it; the authors' code is not at hand.
    Closed form: with H heads, parameters 3 m^2 + (2 h + 2 w - 2) m / H, MACs
    n (3 m^2 p + 2 m p^2 + m p (2 h + 2 w - 2)); without relative positions 3 m^2 and n (3 m^2 p + 2 m p^2).
    Counted: the projection, both products, the scaling, the products with the tables of offsets, which are read off by
    index, their sums, the softmax; where the stride is above 1 the average pool of as much that has it.
    Not counted: turned views.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        heads: H, a divisor of m.
        map_size: h, or (h, w), of the maps that the module is built for. The formula takes the map's own.
        relative: whether positions attend by where they are, beside what they hold.
        stride: of an average pool that follows.

    Raises:
        SizeError: if H does not divide m, and for another map size.
    """
    heads = require_size("heads", heads)
    require_divides("heads", heads, "channels", channels)
    require_int("stride", stride)
    built_for = (height, width) if map_size is None else require_map_size(map_size)
    if relative and not (holds(built_for[0] == height) and holds(built_for[1] == width)):
        raise SizeError(f"map_size = {map_size}: the map's own {height} x {width} is accepted")
    n, m, h, w = x = (batch, channels, height, width)
    p, depth = h * w, m // heads
    query, logits = (n, heads, p, depth), (n, heads, p, p)
    cost = conv2d_cost("project", x, 3 * m, kernel=1)  # [n, 3 m, p] = [3 m, m] @ [n, m, p]
    cost += matmul_cost("", query, (n, heads, depth, p))  # [n, H, p, p] = [n, H, p, m / H] @ [n, H, m / H, p]
    cost += multiply_cost("", logits, logits)
    if relative:
        cost += _positions_cost(query, h, w) + add_cost("", logits, logits, logits)
    cost += softmax_cost("softmax", logits)
    # [n, H, m / H, p] = [n, H, m / H, p] @ [n, H, p, p]
    cost += matmul_cost("", (n, heads, depth, p), logits)
    return cost + avg_pool2d_cost("pool", x, kernel=stride, stride=stride, ceil=True) if stride > 1 else cost


def _positions_cost(query: Shape, h: Any, w: Any) -> Cost:
    n, heads, p, _ = query
    cost = _offsets_cost(query, w, (n, heads, h, w, w)) + _offsets_cost(query, h, (n, heads, h, w, h))
    # [n, H, h, w, h, w] = [n, H, h, w, h, 1] + [n, H, h, w, 1, w]
    return cost + add_cost("", (n, heads, h, w, h, w), (n, heads, p, h), (n, heads, p, w))


def _offsets_cost(query: Shape, size: Any, offsets: Shape) -> Cost:
    *rows, depth = query
    table = (2 * size - 1) * depth
    # [n, H, p, 2 s - 1] = [n, H, p, m / H] @ [m / H, 2 s - 1]
    (product,) = matmul_cost("", query, (depth, 2 * size - 1))
    read = OpCost(
        path="",
        kind=OpKind.MOVEMENT,
        operator="gather",
        output=offsets,
        reads=prod(rows) * (2 * size - 1) + prod(offsets),
        writes=prod(offsets),
    )
    return Cost((product._replace(kind=OpKind.LINEAR, params=table), read))


def require_map_size(map_size: int | tuple[int, int] | None) -> tuple[int, int]:
    """The height and width that a module is built for.

    Raises:
        SizeError: for None and for anything but one or two positive whole numbers.
    """
    height, width = (None, None) if map_size is None else as_pair(map_size)
    for size in (height, width):
        if not isinstance(size, int) or isinstance(size, bool) or size < 1:
            raise SizeError(f"map_size = {map_size}: h, or (h, w), of the maps is accepted")
    return height, width  # type: ignore[return-value]


MECHANISM = Mechanism(
    name="mhsa",
    title="BoTNet",
    source="Srinivas et al., CVPR 2021",
    group="dot-product",
    cost=mhsa_cost,
    replaces=convolution_cost,
    multiple=4,
    places=Places(
        where="instead",
        blocks=lambda *, last, **_: last,
        source="Srinivas et al., Table 1, and timm's botnet: in place of the 3 x 3 in the last stage, c5",
    ),
    built_for=lambda size, /, *, relative=True, **_: {"map_size": size} if relative else {},
)
