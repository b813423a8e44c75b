"""NAM: a weight for each element from its batch norm and that norm's own weights."""

from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.formulas.attention.mechanism import Mechanism, Places
from ulsam_cost.formulas.layers import (
    batch_norm_cost,
    elementwise_cost,
    multiply_cost,
    reduce_cost,
    sigmoid_cost,
)


def nam_cost(*, channels: Any, height: Any, width: Any, batch: Any = 1) -> Cost:
    """Normalization-based attention on a map [n, m, h, w].

    Source: Liu et al., NeurIPS workshops 2021, Eq. 1 and 2, and the authors' code, which has the channels' part alone
    and takes the norm's weights without a gradient.
    Closed form: parameters 2 m, MACs 0.
    Counted: the batch norm, each channel's share of its weights, the product with it, the sigmoid, the scaling of the
    map.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
    """
    x, weights = (batch, channels, height, width), (channels,)
    shared = elementwise_cost("", weights, "abs", params=channels)
    cost = shared + elementwise_cost("", weights, "abs") + reduce_cost("", weights, ())
    cost += multiply_cost("", weights, weights, (), operator="div")
    (norm,) = batch_norm_cost("norm", x)
    cost += Cost((norm._replace(params=channels),))  # its weights are counted where their shares are taken
    cost += multiply_cost("", x, x, weights) + sigmoid_cost("", x, module="")
    return cost + multiply_cost("", x, x, x)


MECHANISM = Mechanism(
    name="nam",
    title="NAM",
    source="Liu et al., NeurIPS workshops 2021",
    group="channel",
    cost=nam_cost,
    places=Places(source="Christian-lyc/NAM: after each block's last norm, before the shortcut"),
)
