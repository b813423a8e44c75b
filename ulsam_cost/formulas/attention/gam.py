"""GAM: a weight for each element from the channels at its position, then one from its neighbourhood."""

from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.errors import require_divides, require_size
from ulsam_cost.formulas.attention.mechanism import Mechanism, Places, hidden_width
from ulsam_cost.formulas.layers import (
    batch_norm_cost,
    conv2d_cost,
    linear_cost,
    movement_cost,
    multiply_cost,
    relu_cost,
    sigmoid_cost,
)


def gam_cost(*, channels: Any, height: Any, width: Any, batch: Any = 1, reduction: Any = 4, groups: Any = 1) -> Cost:
    """The global attention mechanism on a map [n, m, h, w], p = h w.

    Source: Liu et al., arXiv 2112.05561, 2021; eight public copies of the authors' class, which agree. Their code is
    not at hand.
    Closed form: with d = floor(m / r), parameters 2 m d + 98 m d / g + 4 (m + d), MACs n (2 m d + 98 m d / g) p.
    Counted: both linear layers and both convolutions with their biases, ReLUs, norms, sigmoids, both scalings of the
    map; with several groups the shuffle.
    Not counted: turned views.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        reduction: r of both gates.
        groups: g of the 7 x 7 convolutions, a divisor of m and d; with several the second gate's channels are shuffled.

    Raises:
        SizeError: if r is larger than m, or g does not divide m and d.
    """
    n, m, h, w = x = (batch, channels, height, width)
    d, groups = hidden_width(m, reduction), require_size("groups", groups)
    require_divides("groups", groups, "channels", m)
    require_divides("groups", groups, "hidden channels", d)
    hidden = (n, d, h, w)
    cost = linear_cost("down", (n, h * w, m), d)  # [n, p, d] = [n, p, m] @ [m, d]
    cost += relu_cost("relu", (n, h * w, d))
    cost += linear_cost("up", (n, h * w, d), m)  # [n, p, m] = [n, p, d] @ [d, m]
    cost += sigmoid_cost("", x, module="") + multiply_cost("", x, x, x)
    # [n, d, h, w] = [n, m, h, w] * [d, m / g, 7, 7]
    cost += conv2d_cost("spatial_down", x, d, kernel=7, padding=3, groups=groups, bias=True)
    cost += batch_norm_cost("spatial_down_norm", hidden) + relu_cost("spatial_relu", hidden)
    # [n, m, h, w] = [n, d, h, w] * [m, d / g, 7, 7]
    cost += conv2d_cost("spatial_up", hidden, m, kernel=7, padding=3, groups=groups, bias=True)
    cost += batch_norm_cost("spatial_up_norm", x) + sigmoid_cost("", x, module="")
    if not (isinstance(groups, int) and groups == 1):
        cost += movement_cost("", x, "reshape")
    return cost + multiply_cost("", x, x, x)


MECHANISM = Mechanism(
    name="gam",
    title="GAM",
    source="Liu et al., arXiv 2112.05561, 2021",
    group="both",
    cost=gam_cost,
    places=Places(source="copies of the authors' class: after each block's last norm, before the shortcut"),
)
