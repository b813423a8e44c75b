"""CBAM: a channel gate from average and max pools, then a spatial gate from a 7 x 7 convolution."""

from typing import Any

from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.formulas.attention.mechanism import (
    Mechanism,
    Places,
    PrintedFormula,
    Term,
    hidden_width,
    require_odd_kernel,
)
from ulsam_cost.formulas.layers import (
    add_cost,
    amax_cost,
    batch_norm_cost,
    concatenate_cost,
    conv2d_cost,
    global_avg_pool_cost,
    global_max_pool_cost,
    linear_cost,
    mean_cost,
    multiply_cost,
    relu_cost,
    run_again,
    sigmoid_cost,
)
from ulsam_cost.operations import Shape


def cbam_cost(
    *,
    channels: Any,
    height: Any,
    width: Any,
    batch: Any = 1,
    reduction: Any = 16,
    kernel: int = 7,
    max_pooling: bool = True,
    spatial_gate: bool = True,
    bias: bool = False,
) -> Cost:
    """The convolutional block attention module on a map [n, m, h, w], p = h w.

    Source: Woo et al., ECCV 2018, Eq. 1 to 3.
    Closed form: with d = floor(m / r), parameters 2 m d + 2 k^2 + 2 (with biases + m + d),
    MACs n (4 m d + 2 k^2 p): the shared MLP runs twice. Without max pooling 2 m d MACs fewer, without the
    spatial gate no k^2 term and no norm.
    Counted: both pools, the MLP's two runs, their sum, the sigmoids, both scalings, channel maximum and mean,
    their concatenation, the convolution and its norm.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        reduction: r of the shared MLP.
        kernel: k of the spatial gate's convolution, odd.
        max_pooling: whether the channel gate looks at the maximum beside the average.
        spatial_gate: whether the spatial gate follows the channel gate.
        bias: whether the MLP has biases, as in the authors' code; the convolution never has.

    Raises:
        SizeError: if r is larger than m or k is even.
    """
    require_odd_kernel(kernel)
    x = (batch, channels, height, width)
    d = hidden_width(channels, reduction)
    cost = global_avg_pool_cost("avg_pool", x) + _mlp_cost(batch, channels, d, bias)
    gate = (batch, channels)
    if max_pooling:
        cost += global_max_pool_cost("max_pool", x) + run_again(_mlp_cost(batch, channels, d, bias))
        cost += add_cost("", gate, gate, gate)
    cost += sigmoid_cost("channel_sigmoid", gate)
    cost += multiply_cost("", x, x, gate)  # [n, m, h, w] = [n, m, h, w] * [n, m, 1, 1]
    return cost + _spatial_gate_cost(x, kernel) if spatial_gate else cost


def _spatial_gate_cost(x: Shape, kernel: int) -> Cost:
    batch, _, height, width = x
    one = (batch, 1, height, width)
    cost = amax_cost("", x, one) + mean_cost("", x, one) + concatenate_cost("", (batch, 2, height, width))
    # [n, 1, h, w] = [n, 2, h, w] * [1, 2, k, k]
    cost += conv2d_cost("conv", cost.output, 1, kernel=kernel, padding=kernel // 2)
    cost += batch_norm_cost("norm", one) + sigmoid_cost("spatial_sigmoid", one)
    return cost + multiply_cost("", x, x, one)  # [n, m, h, w] = [n, m, h, w] * [n, 1, h, w]


def _mlp_cost(batch: Any, channels: Any, d: Any, bias: bool) -> Cost:
    down = linear_cost("down", (batch, channels), d, bias=bias)  # [n, d] = [n, m] @ [m, d]
    up = linear_cost("up", (batch, d), channels, bias=bias)  # [n, m] = [n, d] @ [d, m]
    return down + relu_cost("relu", (batch, d)) + up


MECHANISM = Mechanism(
    name="cbam",
    title="CBAM",
    source="Woo et al., ECCV 2018",
    group="both",
    cost=cbam_cost,
    places=Places(
        source="Woo et al., Figure 3, and Jongchan/attention-module: after each block's last norm, before the shortcut",
    ),
    printed=PrintedFormula(
        params_text="2m^2/r+98",
        macs_text="2m^2/r+98hw",
        terms=(
            Term(
                kind=OpKind.LINEAR,
                params=lambda *, m, r, **_: 2 * m**2 / r,
                macs=lambda *, m, r, **_: 2 * m**2 / r,
            ),
            Term(
                kind=OpKind.CONV,
                params=lambda **_: 98,
                macs=lambda *, h, w, **_: 98 * h * w,
            ),
        ),
    ),
    from_table1=lambda *, r, **_: {"reduction": r},
)
