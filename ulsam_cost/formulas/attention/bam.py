"""BAM: a channel branch and a dilated spatial branch, summed into one gate."""

from typing import Any

from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.errors import require_int
from ulsam_cost.formulas.attention import Mechanism, PrintedFormula, Term, hidden_width
from ulsam_cost.formulas.layers import (
    add_cost,
    batch_norm_cost,
    conv2d_cost,
    global_avg_pool_cost,
    linear_cost,
    multiply_cost,
    relu_cost,
    sigmoid_cost,
)


def bam_cost(
    *,
    channels: Any,
    height: Any,
    width: Any,
    batch: Any = 1,
    reduction: Any = 16,
    dilation: int = 4,
    bias: bool = False,
) -> Cost:
    """The bottleneck attention module on a map [n, m, h, w], p = h w.

    Source: Park et al., BMVC 2018, Eq. 1 to 4.
    Closed form: with d = floor(m / r), parameters 3 m d + 18 d^2 + d for the weights, 2 m + 8 d + 2 for the
    norms (with biases + m + 4 d + 1); MACs n (2 m d + (m d + 18 d^2 + d) p).
    Counted: both branches with norms and ReLUs, their sum, the sigmoid, F * M and + F.
    Not counted: broadcasting, which is a view.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        reduction: r.
        dilation: of the two 3 x 3 convolutions; it changes no cost, because the padding follows it.
        bias: whether convolutions and linear layers have biases, as in the authors' code, which multiplies the
            branches and leaves out the last norm of each.

    Raises:
        SizeError: if r is larger than m.
    """
    require_int("dilation", dilation)
    x = (batch, channels, height, width)
    d = hidden_width(channels, reduction)
    cost = global_avg_pool_cost("pool", x)  # [n, m] = mean over p of [n, m, p]
    cost += linear_cost("channel_down", (batch, channels), d, bias=bias)  # [n, d] = [n, m] @ [m, d]
    cost += batch_norm_cost("channel_down_norm", cost.output, module="BatchNorm1d")
    cost += relu_cost("channel_relu", cost.output)
    cost += linear_cost("channel_up", cost.output, channels, bias=bias)  # [n, m] = [n, d] @ [d, m]
    cost += batch_norm_cost("channel_up_norm", cost.output, module="BatchNorm1d")
    channel = cost.output
    # [n, d, h, w] = [n, m, h, w] * [d, m, 1, 1]
    cost += _conv_norm_relu("spatial_down", x, d, bias, kernel=1)
    for name in ("spatial_1", "spatial_2"):  # [n, d, h, w] = [n, d, h, w] * [d, d, 3, 3]
        cost += _conv_norm_relu(name, cost.output, d, bias, kernel=3, padding=dilation, dilation=dilation)
    # [n, 1, h, w] = [n, d, h, w] * [1, d, 1, 1]
    cost += conv2d_cost("spatial_up", cost.output, 1, kernel=1, bias=bias)
    cost += batch_norm_cost("spatial_up_norm", cost.output)
    cost += add_cost("", x, channel, cost.output)  # [n, m, h, w] = [n, m, 1, 1] + [n, 1, h, w]
    cost += sigmoid_cost("sigmoid", x)
    return cost + multiply_cost("", x, x, x) + add_cost("", x, x, x)


def _conv_norm_relu(name: str, x: tuple[Any, ...], out_channels: Any, bias: bool, **sizes: Any) -> Cost:
    cost = conv2d_cost(name, x, out_channels, bias=bias, **sizes)
    cost += batch_norm_cost(f"{name}_norm", cost.output)
    return cost + relu_cost(f"{name}_relu", cost.output)


MECHANISM = Mechanism(
    name="bam",
    title="BAM",
    source="Park et al., BMVC 2018",
    cost=bam_cost,
    printed=PrintedFormula(
        params_text="4m^2/r+18m^2/r^2",
        macs_text="2m^2/r+(4m^2/r+18m^2/r^2)hw",
        terms=(
            Term(
                kind=OpKind.LINEAR,
                params=lambda *, m, r, **_: 2 * m**2 / r,
                macs=lambda *, m, r, **_: 2 * m**2 / r,
            ),
            Term(
                kind=OpKind.CONV,
                params=lambda *, m, r, **_: 2 * m**2 / r + 18 * m**2 / r**2,
                macs=lambda *, m, h, w, r, **_: (4 * m**2 / r + 18 * m**2 / r**2) * h * w,
            ),
        ),
    ),
    from_table1=lambda *, r, dilation, **_: {"reduction": r, "dilation": dilation},
)
