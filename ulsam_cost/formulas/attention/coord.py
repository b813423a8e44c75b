"""Coordinate attention: a weight for each row and each column of each channel."""

from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.errors import require_size
from ulsam_cost.formulas.attention.mechanism import Mechanism, Places, at_least
from ulsam_cost.formulas.layers import (
    activation_cost,
    adaptive_avg_pool2d_cost,
    add_cost,
    batch_norm_cost,
    concatenate_cost,
    conv2d_cost,
    multiply_cost,
    sigmoid_cost,
)

FEWEST = 8
NOT_EXPANDED = 2  # the stride of MobileNetV2's first block, the only one that does not expand


def coord_cost(*, channels: Any, height: Any, width: Any, batch: Any = 1, reduction: Any = 32) -> Cost:
    """Coordinate attention on a map [n, m, h, w].

    Source: Hou et al., CVPR 2021, Eq. 4 to 9, and the authors' code, which has biases and an h-swish.
    Closed form: with q = max(8, floor(m / r)), parameters 3 m q + 3 q + 2 m, MACs 2 n m q (h + w).
    Counted: both pools, the joining of what they give, the three convolutions and their biases, batch norm, h-swish as
    four operations, both sigmoids, both scalings of the map.
    Not counted: turned and cut views.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        reduction: r.
    """
    n, m, h, w = x = (batch, channels, height, width)
    q = shared_width(m, reduction)
    rows, columns, hidden = (n, m, h, 1), (n, m, 1, w), (n, q, h + w, 1)
    cost = adaptive_avg_pool2d_cost("row_pool", x, (h, 1))  # [n, m, h, 1] = mean over w of [n, m, h, w]
    cost += adaptive_avg_pool2d_cost("column_pool", x, (1, w))  # [n, m, 1, w] = mean over h of [n, m, h, w]
    cost += concatenate_cost("", (n, m, h + w, 1))
    # [n, q, h + w, 1] = [n, m, h + w, 1] * [q, m, 1, 1]
    cost += conv2d_cost("shared", (n, m, h + w, 1), q, kernel=1, bias=True)
    cost += batch_norm_cost("norm", hidden)
    cost += add_cost("", hidden, hidden) + activation_cost("", hidden, "relu6")
    cost += multiply_cost("", hidden, hidden, operator="div") + multiply_cost("", hidden, hidden, hidden)
    cost += conv2d_cost("columns", (n, q, 1, w), m, kernel=1, bias=True)  # [n, m, 1, w] = [n, q, 1, w] * [m, q, 1, 1]
    cost += sigmoid_cost("", columns, module="") + multiply_cost("", x, x, columns)
    cost += conv2d_cost("rows", (n, q, h, 1), m, kernel=1, bias=True)  # [n, m, h, 1] = [n, q, h, 1] * [m, q, 1, 1]
    return cost + sigmoid_cost("", rows, module="") + multiply_cost("", x, x, rows)


def shared_width(channels: Any, reduction: Any) -> Any:
    """The width q = max(8, floor(m / r)) that both directions share."""
    return at_least(FEWEST, channels // require_size("reduction", reduction))


MECHANISM = Mechanism(
    name="coord",
    title="Coordinate attention",
    source="Hou et al., CVPR 2021",
    group="both",
    cost=coord_cost,
    places=Places(
        where="last",
        blocks=lambda *, network, stride, **_: not (network == "mv2" and stride == NOT_EXPANDED),
        source="houqb/CoordAttention: on MobileNetV2's expanded channels, before the projection",
    ),
)
