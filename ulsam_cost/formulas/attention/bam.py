"""BAM: a channel branch and a dilated spatial branch, joined into one gate."""

from typing import Any

from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.errors import require_int
from ulsam_cost.formulas.attention.mechanism import (
    Mechanism,
    Places,
    PrintedFormula,
    Term,
    hidden_width,
    require_one_of,
)
from ulsam_cost.formulas.layers import (
    add_cost,
    avg_pool2d_cost,
    batch_norm_cost,
    conv2d_cost,
    global_avg_pool_cost,
    linear_cost,
    multiply_cost,
    relu_cost,
    sigmoid_cost,
)

STYLES = ("equation", "release")


def bam_cost(
    *,
    channels: Any,
    height: Any,
    width: Any,
    batch: Any = 1,
    reduction: Any = 16,
    dilation: int = 4,
    bias: bool = False,
    style: str = "equation",
) -> Cost:
    """The bottleneck attention module on a map [n, m, h, w], p = h w.

    Source: Park et al., BMVC 2018, Eq. 1 to 4 (style `equation`: the branches' sum, each with a norm at its end);
    the authors' published code (style `release`: the branches' product, no norm at their ends, biases everywhere).
    Closed form: with d = floor(m / r), parameters 3 m d + 18 d^2 + d for the weights, 2 m + 8 d + 2 for the
    norms (with biases + m + 4 d + 1; release: 3 m d + 18 d^2 + m + 13 d + 1 in all);
    MACs n (2 m d + (m d + 18 d^2 + d) p).
    Counted: both branches with norms and ReLUs, their sum or product, the sigmoid, and F * M + F, or F * (1 + M) as
    in the authors' code.
    Not counted: broadcasting, which is a view.

    The authors' code pools by a function, with a window of h x h, so that maps must be square; the function here takes
    the whole map.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        reduction: r.
        dilation: of the two 3 x 3 convolutions; it changes no cost, because the padding follows it.
        bias: whether convolutions and linear layers have biases; `release` always has them.
        style: `equation` or `release`.

    Raises:
        SizeError: if r is larger than m.
        CostError: for another style.
    """
    require_int("dilation", dilation)
    require_one_of("style", style, STYLES)
    release = style == "release"
    bias = bias or release
    x, window = (batch, channels, height, width), (height, width)
    d = hidden_width(channels, reduction)
    # [n, m] = mean over p of [n, m, p]
    if release:
        cost = avg_pool2d_cost("", x, kernel=window, stride=window, module="")
    else:
        cost = global_avg_pool_cost("pool", x)
    cost += linear_cost("channel_down", (batch, channels), d, bias=bias)  # [n, d] = [n, m] @ [m, d]
    cost += batch_norm_cost("channel_down_norm", cost.output, module="BatchNorm1d")
    cost += relu_cost("channel_relu", cost.output)
    cost += linear_cost("channel_up", cost.output, channels, bias=bias)  # [n, m] = [n, d] @ [d, m]
    channel = cost.output
    if not release:
        cost += batch_norm_cost("channel_up_norm", channel, module="BatchNorm1d")
    # [n, d, h, w] = [n, m, h, w] * [d, m, 1, 1]
    cost += _conv_norm_relu("spatial_down", x, d, bias, kernel=1)
    for name in ("spatial_1", "spatial_2"):  # [n, d, h, w] = [n, d, h, w] * [d, d, 3, 3]
        cost += _conv_norm_relu(name, cost.output, d, bias, kernel=3, padding=dilation, dilation=dilation)
    # [n, 1, h, w] = [n, d, h, w] * [1, d, 1, 1]
    cost += conv2d_cost("spatial_up", cost.output, 1, kernel=1, bias=bias)
    spatial = cost.output
    if release:
        cost += multiply_cost("", x, channel, spatial)  # [n, m, h, w] = [n, m, 1, 1] * [n, 1, h, w]
        cost += sigmoid_cost("sigmoid", x)
        return cost + add_cost("", x, x) + multiply_cost("", x, x, x)
    cost += batch_norm_cost("spatial_up_norm", spatial)
    cost += add_cost("", x, channel, spatial)  # [n, m, h, w] = [n, m, 1, 1] + [n, 1, h, w]
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
    group="both",
    cost=bam_cost,
    places=Places(
        where="layers",
        blocks=lambda *, stride, ends, last, **_: ends and stride >= 4 and not last,
        options={"style": "release"},
        source="Jongchan/attention-module, MODELS/model_resnet.py: after stages 1, 2 and 3, of stride 4, 8 and 16",
    ),
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
