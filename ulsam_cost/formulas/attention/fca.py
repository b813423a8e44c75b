"""FcaNet: SE whose pooling is a cosine transform of several frequencies."""

import re
from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.errors import CostError, SizeError, holds, require_divides, require_int
from ulsam_cost.formulas.attention.mechanism import Mechanism, Places, hidden_width
from ulsam_cost.formulas.layers import (
    adaptive_avg_pool2d_cost,
    as_pair,
    linear_cost,
    multiply_cost,
    reduce_cost,
    relu_cost,
    sigmoid_cost,
)

GRID = 7
# the authors' lists of frequencies (u, v) on a grid of 7 x 7: the best, the lowest, the worst
_LISTS = {
    "top": "00 01 60 05 02 10 12 40 50 16 30 04 06 03 35 22 46 63 33 53 55 21 61 52 54 32 31 41 23 20 65 13",
    "low": "00 01 10 11 02 20 21 12 22 03 30 40 04 13 31 05 14 23 32 41 50 06 15 24 33 42 51 60 16 25 34 43",
    "bot": "66 14 34 36 26 43 11 24 44 45 56 15 42 62 25 51 64 13 65 20 23 41 31 32 54 52 61 21 55 53 33 63",
}
COUNTS = (1, 2, 4, 8, 16, 32)


def fca_cost(
    *,
    channels: Any,
    height: Any,
    width: Any,
    batch: Any = 1,
    reduction: Any = 16,
    frequencies: str = "top16",
    size: int | tuple[int, int] = 7,
) -> Cost:
    """Multi-spectral channel attention on a map [n, m, h, w].

    Source: Qin et al., ICCV 2021, Eq. 8 to 14, and the authors' code.
    Closed form: with d = floor(m / r), parameters 2 m d, MACs 2 n m d.
    Counted: the pool, where the map has another size than the transform; the products with the transform and their
    sums, which are no MACs because they run element by element; both linear layers, ReLU, sigmoid, the scaling of the
    map. The transform itself is fixed: no parameters.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        reduction: r of the bottleneck.
        frequencies: how many, a divisor of m, and of which of the authors' lists: `top16`, `low8`, `bot32`.
        size: of the transform, one number or (height, width).

    Raises:
        SizeError: if r is larger than m, or the frequencies do not divide m.
        CostError: for another list.
    """
    n, m, *_ = x = (batch, channels, height, width)
    require_divides("frequencies", len(frequencies_of(frequencies)), "channels", m)
    d, (dh, dw) = hidden_width(m, reduction), transform_size(size)
    pooled = (n, m, dh, dw)
    cost = adaptive_avg_pool2d_cost("", x, (dh, dw), module="") if _is_pooled(height, width, dh, dw) else Cost()
    cost += multiply_cost("", pooled, pooled, (m, dh, dw)) + reduce_cost("", pooled, (n, m))
    cost += linear_cost("down", (n, m), d, bias=False) + relu_cost("relu", (n, d))  # [n, d] = [n, m] @ [m, d]
    cost += linear_cost("up", (n, d), m, bias=False) + sigmoid_cost("sigmoid", (n, m))  # [n, m] = [n, d] @ [d, m]
    return cost + multiply_cost("", x, x, (n, m))


def transform_size(size: int | tuple[int, int]) -> tuple[int, int]:
    """Height and width of the transform.

    Raises:
        SizeError: for anything but positive whole numbers.
    """
    height, width = as_pair(size)
    return require_int("size", height), require_int("size", width)


def _is_pooled(height: Any, width: Any, dh: int, dw: int) -> bool:
    if holds(height == dh) and holds(width == dw):
        return False
    if not holds((height != dh) | (width != dw)):
        raise SizeError(f"size = {dh} x {dw} equals the size of some of the maps: that of all or of none is accepted")
    return True


def frequencies_of(name: str) -> list[tuple[int, int]]:
    """The frequencies (u, v) of one of the authors' lists, as `top16`.

    Raises:
        CostError: for another name.
    """
    match = re.fullmatch(r"(top|low|bot)([0-9]{1,2})", str(name), re.ASCII)
    if match is None or int(match[2]) not in COUNTS:
        raise CostError(
            f"frequencies = {name!r}: top, low or bot and one of {', '.join(map(str, COUNTS))}, as top16, is accepted"
        )
    return [(int(pair[0]), int(pair[1])) for pair in _LISTS[match[1]].split()[: int(match[2])]]


MECHANISM = Mechanism(
    name="fca",
    title="FcaNet",
    source="Qin et al., ICCV 2021",
    group="channel",
    cost=fca_cost,
    multiple=16,
    places=Places(
        at=lambda *, stride, **_: {"size": max(1, 224 // stride)},
        source="cfzd/FcaNet: after each block's last norm, before the shortcut; transforms of 56, 28, 14 and 7",
    ),
    from_table1=lambda *, r, **_: {"reduction": r},
)
