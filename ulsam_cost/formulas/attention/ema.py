"""EMA: a weight for each position of each group of channels, from two branches that attend to one another."""

from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.errors import require_divides, require_size
from ulsam_cost.formulas.attention.mechanism import Mechanism, Places
from ulsam_cost.formulas.layers import (
    adaptive_avg_pool2d_cost,
    add_cost,
    concatenate_cost,
    conv2d_cost,
    global_avg_pool_cost,
    group_norm_cost,
    matmul_cost,
    multiply_cost,
    sigmoid_cost,
    softmax_cost,
)
from ulsam_cost.operations import Shape


def ema_cost(*, channels: Any, height: Any, width: Any, batch: Any = 1, groups: Any = 32) -> Cost:
    """Efficient multi-scale attention on a map [n, m, h, w], p = h w.

    Source: Ouyang et al., ICASSP 2023, and the authors' code.
    Closed form: with q = m / g, parameters 10 q^2 + 4 q, MACs n (m q (h + w) + 9 m q p + 2 m p).
    Counted: all pools, both convolutions and their biases, the joining, sigmoids, the scalings, group norm, softmaxes,
    both products, their sum.
    Not counted: the division into groups, turned and cut views.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        groups: g, a divisor of m, which ride in the batch.

    Raises:
        SizeError: if g does not divide m.
    """
    groups = require_size("groups", groups)
    require_divides("groups", groups, "channels", channels)
    n, q, h, w = x = (batch * groups, channels // groups, height, width)
    gate = (n, 1, h * w)
    cost = adaptive_avg_pool2d_cost("row_pool", x, (h, 1))  # [n g, q, h, 1] = mean over w of [n g, q, h, w]
    cost += adaptive_avg_pool2d_cost("column_pool", x, (1, w))  # [n g, q, 1, w] = mean over h of [n g, q, h, w]
    cost += concatenate_cost("", (n, q, h + w, 1))
    # [n g, q, h + w, 1] = [n g, q, h + w, 1] * [q, q, 1, 1]
    cost += conv2d_cost("directions", (n, q, h + w, 1), q, kernel=1, bias=True)
    cost += sigmoid_cost("", (n, q, h, 1), module="") + multiply_cost("", x, x, (n, q, h, 1))
    cost += sigmoid_cost("", (n, q, 1, w), module="") + multiply_cost("", x, x, (n, q, 1, w))
    cost += group_norm_cost("norm", x, q)
    # [n g, q, h, w] = [n g, q, h, w] * [q, q, 3, 3]
    cost += conv2d_cost("local", x, q, kernel=3, padding=1, bias=True)
    cost += _attention_cost(x) + _attention_cost(x) + add_cost("", gate, gate, gate)
    return cost + sigmoid_cost("", (n, 1, h, w), module="") + multiply_cost("", x, x, gate)


def _attention_cost(x: Shape) -> Cost:
    n, q, h, w = x
    cost = global_avg_pool_cost("pool", x) + softmax_cost("softmax", (n, 1, q))
    return cost + matmul_cost("", (n, 1, q), (n, q, h * w))  # [n g, 1, p] = [n g, 1, q] @ [n g, q, p]


MECHANISM = Mechanism(
    name="ema",
    title="EMA",
    source="Ouyang et al., ICASSP 2023",
    group="both",
    cost=ema_cost,
    multiple=32,
    places=Places(source="YOLOonMe/EMA-attention-module has the module and tables, and no network"),
)
