"""GCT: a weight for each channel from how strong it is among the others."""

from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.formulas.attention.mechanism import Mechanism, Places, require_one_of
from ulsam_cost.formulas.layers import (
    activation_cost,
    add_cost,
    elementwise_cost,
    mean_cost,
    multiply_cost,
    reduce_cost,
)

STYLES = ("l2", "l1")


def gct_cost(
    *, channels: Any, height: Any, width: Any, batch: Any = 1, style: str = "l2", after_relu: bool = False
) -> Cost:
    """The gated channel transformation on a map [n, m, h, w].

    Source: Yang et al., CVPR 2020, Eq. 2 to 6, and the authors' code.
    Closed form: parameters 3 m, MACs 0.
    Counted: squares or absolute values and their sums, the square roots, the weights alpha, gamma and beta, the mean
    over the channels, tanh, + 1, the scaling of the map.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        style: `l2` or `l1`, the norm that says how strong a channel is.
        after_relu: whether the map is known to be at least 0, so that l1 takes no absolute values.

    Raises:
        CostError: for another style.
    """
    require_one_of("style", style, STYLES)
    n, m, *_ = x = (batch, channels, height, width)
    vector, one, learned = (n, m, 1, 1), (n, 1, 1, 1), (m,)
    cost = Cost()
    if style == "l2":
        cost += elementwise_cost("", x, "pow") + reduce_cost("", x, vector)
        cost += add_cost("", vector, vector) + elementwise_cost("", vector, "pow")
    else:
        cost += (Cost() if after_relu else elementwise_cost("", x, "abs")) + reduce_cost("", x, vector)
    cost += multiply_cost("", vector, vector, learned, params=m)
    cost += elementwise_cost("", vector, "pow" if style == "l2" else "abs")
    cost += mean_cost("", vector, one) + add_cost("", one, one)
    if style == "l2":
        cost += elementwise_cost("", one, "pow")
    cost += multiply_cost("", vector, learned, one, operator="div", params=m)
    cost += multiply_cost("", vector, vector, vector) + add_cost("", vector, vector, learned, params=m)
    cost += activation_cost("", vector, "tanh") + add_cost("", vector, vector)
    return cost + multiply_cost("", x, x, vector)


MECHANISM = Mechanism(
    name="gct",
    title="GCT",
    source="Yang et al., CVPR 2020",
    group="channel",
    cost=gct_cost,
    places=Places(where="each", source="z-x-yang/GCT: before every convolution, the stem's and the shortcuts' too"),
)
