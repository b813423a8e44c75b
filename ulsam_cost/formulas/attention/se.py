"""SE: squeeze and excitation."""

from typing import Any

from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.formulas.attention.mechanism import (
    Mechanism,
    Places,
    PrintedFormula,
    Term,
    hidden_width,
)
from ulsam_cost.formulas.layers import global_avg_pool_cost, linear_cost, multiply_cost, relu_cost, sigmoid_cost


def se_cost(*, channels: Any, height: Any, width: Any, batch: Any = 1, reduction: Any = 16, bias: bool = False) -> Cost:
    """Squeeze and excitation on a map [n, m, h, w].

    Source: Hu et al., CVPR 2018, Eq. 2 to 4.
    Closed form: with d = floor(m / r), parameters 2 m d (with biases + m + d), MACs 2 n m d.
    Counted: the pool, both linear layers and their biases, ReLU, sigmoid, the scaling of the map.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        reduction: r, at most m.
        bias: whether the linear layers have biases; the SE authors leave them out.

    Raises:
        SizeError: if r is larger than m.
    """
    x = (batch, channels, height, width)
    d = hidden_width(channels, reduction)
    cost = global_avg_pool_cost("pool", x)  # [n, m] = mean over p of [n, m, p]
    cost += linear_cost("down", (batch, channels), d, bias=bias)  # [n, d] = [n, m] @ [m, d]
    cost += relu_cost("relu", cost.output)
    cost += linear_cost("up", cost.output, channels, bias=bias)  # [n, m] = [n, d] @ [d, m]
    cost += sigmoid_cost("sigmoid", cost.output)
    return cost + multiply_cost("", x, x, cost.output)  # [n, m, h, w] = [n, m, h, w] * [n, m, 1, 1]


MECHANISM = Mechanism(
    name="se",
    title="SE-Net",
    source="Hu et al., CVPR 2018",
    group="channel",
    cost=se_cost,
    places=Places(
        source="Hu et al., Figure 3, and hujie-frank/SENet: after each block's last norm, before the shortcut",
    ),
    printed=PrintedFormula(
        params_text="2m^2/r",
        macs_text="2m^2/r",
        terms=(
            Term(
                kind=OpKind.LINEAR,
                params=lambda *, m, r, **_: 2 * m**2 / r,
                macs=lambda *, m, r, **_: 2 * m**2 / r,
            ),
        ),
    ),
    from_table1=lambda *, r, **_: {"reduction": r},
)
