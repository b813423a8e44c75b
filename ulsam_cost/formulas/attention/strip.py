"""Strip pooling: a weight for each element from the means of its row and its column."""

from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.formulas.attention.mechanism import Mechanism, Places
from ulsam_cost.formulas.layers import (
    adaptive_avg_pool2d_cost,
    add_cost,
    batch_norm_cost,
    conv2d_cost,
    multiply_cost,
    relu_cost,
    sigmoid_cost,
)


def strip_cost(*, channels: Any, height: Any, width: Any, batch: Any = 1) -> Cost:
    """Strip pooling on a map [n, m, h, w], p = h w: the gate of the backbone.

    Source: Hou et al., CVPR 2020, Eq. 1 to 5, and the authors' code, whose heads have a mixed pooling module beside it.
    Closed form: parameters 7 m^2 + 5 m, MACs n (3 m^2 (h + w) + m^2 p).
    Counted: both pools, the three convolutions and the last one's bias, both norms, the sum, ReLU, the sigmoid, the
    scaling of the map.
    Not counted: broadcasting, which is a view.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
    """
    n, m, h, w = x = (batch, channels, height, width)
    rows, columns = (n, m, h, 1), (n, m, 1, w)
    cost = adaptive_avg_pool2d_cost("row_pool", x, (h, 1))  # [n, m, h, 1] = mean over w of [n, m, h, w]
    cost += conv2d_cost("rows", rows, m, kernel=(3, 1), padding=(1, 0))  # [n, m, h, 1] = [n, m, h, 1] * [m, m, 3, 1]
    cost += batch_norm_cost("rows_norm", rows)
    cost += adaptive_avg_pool2d_cost("column_pool", x, (1, w))  # [n, m, 1, w] = mean over h of [n, m, h, w]
    # [n, m, 1, w] = [n, m, 1, w] * [m, m, 1, 3]
    cost += conv2d_cost("columns", columns, m, kernel=(1, 3), padding=(0, 1))
    cost += batch_norm_cost("columns_norm", columns)
    cost += add_cost("", x, rows, columns) + relu_cost("", x, module="")
    cost += conv2d_cost("mix", x, m, kernel=1, bias=True)  # [n, m, h, w] = [n, m, h, w] * [m, m, 1, 1]
    return cost + sigmoid_cost("", x, module="") + multiply_cost("", x, x, x)


MECHANISM = Mechanism(
    name="strip",
    title="Strip pooling",
    source="Hou et al., CVPR 2020",
    group="spatial",
    cost=strip_cost,
    places=Places(
        where="last",
        blocks=lambda *, last, ends, **_: last or ends,
        source="houqb/SPNet: before the last 1 x 1, in all blocks of the last stage and the last one of the others",
    ),
)
