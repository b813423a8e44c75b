"""SGE: a weight for each position of each group of channels."""

from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.errors import require_divides, require_size
from ulsam_cost.formulas.attention.mechanism import Mechanism, Places, require_several_positions
from ulsam_cost.formulas.layers import (
    add_cost,
    global_avg_pool_cost,
    mean_cost,
    multiply_cost,
    reduce_cost,
    sigmoid_cost,
)


def sge_cost(*, channels: Any, height: Any, width: Any, batch: Any = 1, groups: Any = 64) -> Cost:
    """Spatial group-wise enhancement on a map [n, m, h, w], p = h w.

    Source: Li et al., arXiv 1905.09646, 2019, Eq. 1 to 5, and the authors' code, which has 64 groups everywhere.
    Closed form: parameters 2 g, MACs 0.
    Counted: the pool, the products with it and their sums, mean and deviation of these, the difference and the
    division, weight and bias of each group, the sigmoid, the scaling of the map.
    Not counted: the division into groups, which is a view.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        groups: g, a divisor of m.

    Raises:
        SizeError: if g does not divide m, and for a map of one position, which has no deviation.
    """
    groups = require_size("groups", groups)
    require_divides("groups", groups, "channels", channels)
    p, rows = require_several_positions(height, width), batch * groups
    x, likeness, one = (rows, channels // groups, height, width), (rows, p), (rows, 1)
    maps = (batch, groups, height, width)
    cost = global_avg_pool_cost("pool", x)
    cost += multiply_cost("", x, x, cost.output)
    cost += reduce_cost("", x, (rows, height, width))  # [n g, h, w] = sum over m / g of [n g, m / g, h, w]
    cost += mean_cost("", likeness, one) + add_cost("", likeness, likeness, one, operator="sub")
    cost += reduce_cost("", likeness, one, "std") + add_cost("", one, one)
    cost += multiply_cost("", likeness, likeness, one, operator="div")
    cost += multiply_cost("", maps, maps, (groups,), params=groups) + add_cost("", maps, maps, (groups,), params=groups)
    cost += sigmoid_cost("sigmoid", maps)
    return cost + multiply_cost("", x, x, maps)


MECHANISM = Mechanism(
    name="sge",
    title="SGE",
    source="Li et al., arXiv 1905.09646, 2019",
    group="spatial",
    cost=sge_cost,
    multiple=64,
    places=Places(source="implus/PytorchInsight: after each block's last norm, before the shortcut"),
)
