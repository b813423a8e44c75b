"""LSKNet's spatial selection: two reaches of one map, weighed position by position."""

from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.formulas.attention.mechanism import Mechanism, Places, hidden_width
from ulsam_cost.formulas.layers import (
    add_cost,
    amax_cost,
    concatenate_cost,
    conv2d_cost,
    mean_cost,
    multiply_cost,
    sigmoid_cost,
)


def lsk_cost(*, channels: Any, height: Any, width: Any, batch: Any = 1) -> Cost:
    """Large selective kernels on a map [n, m, h, w], p = h w.

    Source: Li et al., ICCV 2023, Eq. 1 to 8, and the authors' code. It stands in the blocks of a network of its own;
    here it follows a block.
    Closed form: with e = floor(m / 2), parameters 3 m e + 2 e + 77 m + 198, MACs n (3 m e + 74 m + 196) p.
    Counted: the six convolutions and their biases, both pools over the channels, the joinings, the sigmoid, the
    weighted sum, the scaling of the map.

    Args:
        channels: m, 2 or more.
        height: h.
        width: w.
        batch: n.

    Raises:
        SizeError: for one channel.
    """
    n, m, h, w = x = (batch, channels, height, width)
    e = hidden_width(m, 2)
    half, plane, pair = (n, e, h, w), (n, 1, h, w), (n, 2, h, w)
    # [n, m, h, w] = [n, m, h, w] * [m, 1, 5, 5], then * [m, 1, 7, 7], a channel at a time
    cost = conv2d_cost("near", x, m, kernel=5, padding=2, groups=m, bias=True)
    cost += conv2d_cost("far", x, m, kernel=7, padding=9, dilation=3, groups=m, bias=True)
    cost += conv2d_cost("far_down", x, e, kernel=1, bias=True)  # [n, e, h, w] = [n, m, h, w] * [e, m, 1, 1]
    cost += conv2d_cost("near_down", x, e, kernel=1, bias=True)
    both = (n, 2 * e, h, w)
    cost += concatenate_cost("", both) + mean_cost("", both, plane) + amax_cost("", both, plane)
    cost += concatenate_cost("", pair)
    cost += conv2d_cost("select", pair, 2, kernel=7, padding=3, bias=True)  # [n, 2, h, w] = [n, 2, h, w] * [2, 2, 7, 7]
    cost += sigmoid_cost("", pair, module="")
    cost += multiply_cost("", half, half, plane) + multiply_cost("", half, half, plane) + add_cost("", half, half, half)
    cost += conv2d_cost("up", half, m, kernel=1, bias=True)  # [n, m, h, w] = [n, e, h, w] * [m, e, 1, 1]
    return cost + multiply_cost("", x, x, x)


MECHANISM = Mechanism(
    name="lsk",
    title="LSKNet",
    source="Li et al., ICCV 2023",
    group="spatial",
    cost=lsk_cost,
    places=Places(source="zcablii/LSKNet has it in the blocks of its own network; here it follows each block"),
)
