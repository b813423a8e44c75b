"""ResNeSt's split attention: a convolution of several splits in place of one, weighed channel by channel."""

from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.errors import require_divides, require_int, require_size
from ulsam_cost.formulas.attention.mechanism import (
    Mechanism,
    Places,
    at_least,
    require_odd_kernel,
    require_one_of,
)
from ulsam_cost.formulas.attention.sk import ACTIVATIONS, replaced_unit_cost
from ulsam_cost.formulas.layers import (
    add_cost,
    avg_pool2d_cost,
    batch_norm_cost,
    conv2d_cost,
    global_avg_pool_cost,
    multiply_cost,
    relu_cost,
    sigmoid_cost,
    softmax_cost,
)

NARROWEST = 32


def splat_cost(
    *,
    channels: Any,
    height: Any,
    width: Any,
    batch: Any = 1,
    radix: int = 2,
    groups: Any = 1,
    kernel: int = 3,
    reduction: Any = 4,
    stride: int = 1,
    activation: str = "relu",
) -> Cost:
    """Split attention m -> m on a map [n, m, h, w], p = h w; it stands in place of a k x k convolution.

    Source: Zhang et al., arXiv 2004.08955, 2020, Eq. 1 and 2, and the authors' code.
    Closed form: with R splits, cardinality K and e = max(32, floor(m R / r)), parameters k^2 m^2 / K + 3 m R for the
    splits, m e (1 + R) / K + 3 e for the weights, MACs n (k^2 m^2 p / K + m e (1 + R) / K).
    Counted: the convolution, batch norm and activation of the splits; their sum, the pool, both 1 x 1 convolutions with
    biases, batch norm, ReLU, softmax over the splits (a sigmoid of one); the weighted sum; where the stride is above 1
    the average pool of 3 x 3 that has it. R splits are added in R steps, because Python's sum begins at 0.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        radix: R.
        groups: K.
        kernel: k, odd.
        reduction: r of the weights' bottleneck.
        stride: of the unit.
        activation: of the splits, `relu` or `relu6`.

    Raises:
        SizeError: if K does not divide m or e, or k is even.
    """
    groups = require_size("groups", groups)
    require_splat_sizes(channels, radix, groups, kernel, stride, activation)
    e = weights_width(channels, radix, groups, reduction)
    n, m, *_ = x = (batch, channels, height, width)
    wide = radix * m
    # [n, R m, h, w] = [n, m, h, w] * [R m, m / (K R), k, k]
    cost = conv2d_cost("conv", x, wide, kernel=kernel, padding=kernel // 2, groups=groups * radix)
    cost += batch_norm_cost("norm", cost.output) + ACTIVATIONS[activation]("activation", cost.output)
    vector, narrow, gates = (n, m, 1, 1), (n, e, 1, 1), (n, wide, 1, 1)
    cost += _sum_cost(x, radix) + global_avg_pool_cost("pool", x)
    cost += conv2d_cost("down", vector, e, kernel=1, groups=groups, bias=True)
    cost += batch_norm_cost("down_norm", narrow) + relu_cost("", narrow, module="")
    cost += conv2d_cost("up", narrow, wide, kernel=1, groups=groups, bias=True)
    if radix == 1:
        cost += sigmoid_cost("", gates, module="")
    else:
        cost += softmax_cost("", (n, radix, groups, m // groups), dim=1, module="")
    for _ in range(radix):
        cost += multiply_cost("", x, x, vector)
    cost += _sum_cost(x, radix)
    return cost + avg_pool2d_cost("average", x, kernel=3, stride=stride, padding=1) if stride > 1 else cost


def _sum_cost(x: tuple[Any, ...], radix: int) -> Cost:
    if radix == 1:
        return Cost()
    return sum((add_cost("", x, x, x) for _ in range(radix - 1)), add_cost("", x, x))


def require_splat_sizes(channels: Any, radix: int, groups: Any, kernel: int, stride: int, activation: str) -> None:
    """Refuse sizes and words that the unit cannot have.

    Raises:
        CostError: with those that it can.
    """
    require_int("radix", radix)
    require_odd_kernel(kernel)
    require_int("stride", stride)
    require_one_of("activation", activation, tuple(ACTIVATIONS))
    require_divides("radix x groups", radix * require_size("groups", groups), "channels", channels)


def weights_width(channels: Any, radix: int, groups: Any, reduction: Any) -> Any:
    """The width e = max(32, floor(m R / r)) of the weights' bottleneck.

    Raises:
        SizeError: if the groups do not divide it.
    """
    e = at_least(NARROWEST, channels * radix // require_size("reduction", reduction))
    require_divides("groups", groups, "bottleneck channels", e)
    return e


MECHANISM = Mechanism(
    name="splat",
    title="ResNeSt",
    source="Zhang et al., arXiv 2004.08955, 2020",
    group="replacing",
    cost=splat_cost,
    replaces=replaced_unit_cost,
    multiple=2,
    places=Places(where="unit", source="zhanghang1989/ResNeSt: in place of a bottleneck's 3 x 3"),
)
