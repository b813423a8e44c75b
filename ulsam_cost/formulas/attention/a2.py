"""A2-Net: double attention, gather the map into a few vectors and distribute them again."""

from typing import Any

from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.errors import require_size
from ulsam_cost.formulas.attention.mechanism import (
    Mechanism,
    Places,
    PrintedFormula,
    Term,
    hidden_width,
)
from ulsam_cost.formulas.layers import add_cost, conv2d_cost, matmul_cost, softmax_cost


def a2_cost(
    *,
    channels: Any,
    height: Any,
    width: Any,
    batch: Any = 1,
    reduction: Any = 4,
    maps: Any = None,
    bias: bool = False,
) -> Cost:
    """The double attention block on a map [n, m, h, w], p = h w.

    Source: Chen et al., NeurIPS 2018, Eq. 2 to 5.
    Closed form: with c = floor(m / r) and t maps, parameters 2 m (c + t) (with biases + c + 2 t + m),
    MACs n p (2 m (c + t) + 2 c t).
    Counted: four 1 x 1 convolutions and their biases, gather and distribute, both softmaxes, the addition
    of the input.
    Not counted: transposed views.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        reduction: r, so that the gathered vectors have c = floor(m / r) channels; the paper's 4.
        maps: attention maps t; as many as c in the paper, m / 8 in the ULSAM paper's Table 1.
        bias: whether the convolutions have biases.

    Raises:
        SizeError: if r is larger than m, or t is not a positive whole number.
    """
    x = (batch, channels, height, width)
    c, p = hidden_width(channels, reduction), height * width
    t = c if maps is None else require_size("maps t", maps)
    # A: [n, c, p] = [c, m] @ [n, m, p]; B and V: [n, t, p] = [t, m] @ [n, m, p]
    cost = conv2d_cost("features", x, c, kernel=1, bias=bias)
    cost += conv2d_cost("gather", x, t, kernel=1, bias=bias)
    cost += softmax_cost("gather_softmax", (batch, t, p))
    cost += matmul_cost("", (batch, c, p), (batch, p, t))  # [n, c, t] = [n, c, p] @ [n, p, t]
    cost += conv2d_cost("distribute", x, t, kernel=1, bias=bias)
    cost += softmax_cost("distribute_softmax", (batch, t, p), dim=1)
    cost += matmul_cost("", (batch, c, t), (batch, t, p))  # [n, c, p] = [n, c, t] @ [n, t, p]
    # [n, m, p] = [m, c] @ [n, c, p]
    cost += conv2d_cost("out", (batch, c, height, width), channels, kernel=1, bias=bias)
    return cost + add_cost("", x, x, x)


MECHANISM = Mechanism(
    name="a2",
    title="A2-Net",
    source="Chen et al., NeurIPS 2018",
    group="dot-product",
    cost=a2_cost,
    places=Places(
        source="not established: Chen et al. extend ResNets; between which blocks is not known here, in each, like SE",
    ),
    printed=PrintedFormula(
        params_text="2mt",
        macs_text="2mthw",
        terms=(
            Term(
                kind=OpKind.CONV,
                params=lambda *, m, t, **_: 2 * m * t,
                macs=lambda *, m, h, w, t, **_: 2 * m * t * h * w,
            ),
        ),
    ),
    from_table1=lambda *, t, **_: {"maps": t},
)
