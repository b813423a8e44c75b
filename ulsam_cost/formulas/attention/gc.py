"""GC: one global context vector, transformed and added to every position."""

from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.formulas.attention.mechanism import Mechanism, Places, hidden_width
from ulsam_cost.formulas.layers import add_cost, conv2d_cost, layer_norm_cost, matmul_cost, relu_cost, softmax_cost


def gc_cost(*, channels: Any, height: Any, width: Any, batch: Any = 1, reduction: Any = 16, bias: bool = False) -> Cost:
    """The global context block on a map [n, m, h, w], p = h w.

    Source: Cao et al., ICCV workshops 2019, Eq. 4 (attention pooling, bottleneck, fusion by addition).
    Closed form: with d = floor(m / r), parameters 2 m d + m + 2 d (with biases + m + d + 1),
    MACs n (2 m p + 2 m d).
    Counted: the three 1 x 1 convolutions and their biases, the softmax, the weighted sum, layer norm, ReLU, the
    addition to the map.
    Not counted: transposed views.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        reduction: r of the bottleneck.
        bias: whether the convolutions have biases, as in the authors' code.

    Raises:
        SizeError: if r is larger than m.
    """
    x = (batch, channels, height, width)
    d, p = hidden_width(channels, reduction), height * width
    cost = conv2d_cost("mask", x, 1, kernel=1, bias=bias)  # [n, 1, h, w] = [n, m, h, w] * [1, m, 1, 1]
    cost += softmax_cost("", (batch, 1, p), module="")
    cost += matmul_cost("", (batch, channels, p), (batch, p, 1))  # [n, m, 1] = [n, m, p] @ [n, p, 1]
    cost += conv2d_cost("down", (batch, channels, 1, 1), d, kernel=1, bias=bias)  # [n, d] = [n, m] @ [m, d]
    cost += layer_norm_cost("norm", cost.output, (d, 1, 1))
    cost += relu_cost("relu", cost.output)
    cost += conv2d_cost("up", cost.output, channels, kernel=1, bias=bias)  # [n, m] = [n, d] @ [d, m]
    return cost + add_cost("", x, x, cost.output)  # [n, m, h, w] = [n, m, h, w] + [n, m, 1, 1]


MECHANISM = Mechanism(
    name="gc",
    title="GC",
    source="Cao et al., ICCV workshops 2019",
    group="channel",
    cost=gc_cost,
    places=Places(
        blocks=lambda *, stride, **_: stride >= 8,
        source="xvjiarui/GCNet: the last three stages, c3 to c5, of stride 8, 16 and 32",
    ),
    from_table1=lambda *, r, **_: {"reduction": r},
)
