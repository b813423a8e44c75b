"""AW: a convolution whose weights are attended, anew for each sample."""

from math import prod
from typing import Any

from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.errors import SizeError, holds, require_divides, require_size
from ulsam_cost.formulas.attention.mechanism import (
    Mechanism,
    Places,
    hidden_width,
    require_odd_kernel,
)
from ulsam_cost.formulas.layers import (
    Pair,
    adaptive_avg_pool2d_cost,
    add_cost,
    as_pair,
    batch_norm_cost,
    conv2d_cost,
    multiply_cost,
    pad_cost,
    relu_cost,
    sigmoid_cost,
    window_output,
)
from ulsam_cost.operations import Shape


def aw_conv2d_cost(
    x: Shape,
    out_channels: Any,
    *,
    kernel: Pair,
    hidden: Any,
    stride: Pair = 1,
    padding: Pair = 0,
    dilation: Pair = 1,
    bias: bool = False,
    map_reduction: Any = None,
    point_bias: bool = False,
    literal: bool = False,
) -> Cost:
    """An AW-convolution of a map [n, c, h, w], whole: the attention map, its use, and the convolution itself.

    Source: Zhu et al., ICANN 2021, Eq. 5, 7 and 8, with K + A * K.
    Closed form: with o output channels, hidden width t, q = o c / r and p' output positions, parameters
    o c kh kw + t (c + q) + 2 (t + q) (with biases + o and + t + q); MACs n (o c kh kw p' + t (c + q) kh kw).
    Beside its MACs the literal form has n q kh kw additions and n o c kh kw multiplications, and holds n o c kh kw
    weights. Where r = c the map does not depend on the input channel: as a gate on each tap of the kernel it
    takes n o kh kw additions and n o kh kw p' multiplications, n o (kh kw - 1) p' additions to sum the taps,
    and holds no weights; for a 1 x 1 kernel it is a gate on the output.
    Counted: pool, both point convolutions and their biases, batch norms, ReLU, sigmoid, 1 + A, its product, padding.
    Not counted: windows on the padded map and expanded maps, which are views.

    Args:
        x: [n, c, h, w].
        out_channels: o.
        kernel: (kh, kw), or one number for both.
        hidden: t, between the point convolutions.
        stride: of the convolution.
        padding: of the convolution.
        dilation: of the convolution.
        bias: whether the convolution itself has one; it is added to the result.
        map_reduction: r, input channels that share a value of the map, a divisor of c; c by default.
        point_bias: whether the point convolutions have biases.
        literal: build the weights of each sample also where r = c.

    Raises:
        SizeError: if r does not divide c, or the kernel does not fit.
    """
    n, c, h, w = x
    kh, kw = as_pair(kernel)
    shared = values_per_output(c, map_reduction)
    cost = _map_cost(x, out_channels * shared, (kh, kw), require_size("hidden", hidden), point_bias)
    cost += add_cost("", cost.output, cost.output)  # [n, q, kh, kw] = 1 + [n, q, kh, kw]
    sizes: dict[str, Any] = {"stride": stride, "padding": padding, "dilation": dilation}
    if literal or not is_shared(shared):
        scale, weights = (n, out_channels, shared, 1, kh, kw), (n, out_channels, shared, c // shared, kh, kw)
        # [n, o, c / r, r, kh, kw] = [o, c / r, r, kh, kw] * [n, o, c / r, 1, kh, kw]
        cost += _charged(multiply_cost("", weights, weights[1:], scale), out_channels * c * kh * kw)
        # [1, n o, h', w'] = [1, n c, h, w] * [n o, c, kh, kw], a sample at a time
        samples = conv2d_cost("", (1, n * c, h, w), n * out_channels, kernel=kernel, groups=n, module="", **sizes)
        cost += _charged(samples, 0)
    elif kh == kw == 1:
        cost += conv2d_cost("", x, out_channels, kernel=1, module="", **sizes)
        # [n, o, h', w'] = [n, o, h', w'] * [n, o, 1, 1]
        cost += multiply_cost("", cost.output, cost.output, (n, out_channels))
    else:
        cost += _taps_cost(x, out_channels, (kh, kw), **sizes)
    y = (n, out_channels, *cost.output[2:])
    return cost + _charged(add_cost("", y, y, (out_channels,)), out_channels) if bias else cost


def aw_overhead_cost(x: Shape, out_channels: Any, **options: Any) -> Cost:
    """What an AW-convolution costs beside the plain one's products and weights; arguments as in `aw_conv2d_cost`.

    Closed form: parameters t (c + q) + 2 (t + q) (with biases + t + q), MACs n t (c + q) kh kw, and the form's own
    additions and multiplications.
    Not counted: the convolution's own bias.
    """
    cost = aw_conv2d_cost(x, out_channels, **{**options, "bias": False})
    beside = (op for op in cost if op.path or op.kind is not OpKind.CONV)
    return Cost(tuple(op if op.path else op._replace(params=0) for op in beside))


def values_per_output(channels: Any, map_reduction: Any) -> Any:
    """Values c / r of the attention map for each output channel and tap.

    Raises:
        SizeError: if r does not divide c.
    """
    if map_reduction is None:
        return 1
    map_reduction = require_size("map_reduction", map_reduction)
    require_divides("map_reduction", map_reduction, "channels", channels)
    return channels // map_reduction


def is_shared(values: Any) -> bool:
    """Whether all input channels share the map's values; a symbol's do not.

    Raises:
        SizeError: if they do in some rows of a sweep and not in others.
    """
    one = values == 1
    if hasattr(one, "any") and one.any() and not one.all():
        raise SizeError("map_reduction equals the channels in some rows of the sweep: all rows or none is accepted")
    return holds(one)


def _map_cost(x: Shape, values: Any, kernel: tuple[int, int], hidden: Any, bias: bool) -> Cost:
    cost = adaptive_avg_pool2d_cost("pool", x, kernel)  # [n, c, kh, kw] = means over windows of [n, c, h, w]
    # [n, t, kh, kw] = [n, c, kh, kw] * [t, c, 1, 1]
    cost += conv2d_cost("point_1", cost.output, hidden, kernel=1, bias=bias)
    cost += batch_norm_cost("point_1_norm", cost.output) + relu_cost("relu", cost.output)
    # [n, q, kh, kw] = [n, t, kh, kw] * [q, t, 1, 1]
    cost += conv2d_cost("point_2", cost.output, values, kernel=1, bias=bias)
    return cost + batch_norm_cost("point_2_norm", cost.output) + sigmoid_cost("sigmoid", cost.output)


def _taps_cost(
    x: Shape, out_channels: Any, kernel: tuple[int, int], *, stride: Pair, padding: Pair, dilation: Pair
) -> Cost:
    n, c, h, w = x
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = kernel, as_pair(stride), as_pair(padding), as_pair(dilation)
    padded = (n, c, h + 2 * ph, w + 2 * pw)
    cost = pad_cost("", padded, x) if ph or pw else Cost()
    window = (n, c, window_output(h, kh, sh, ph, dh), window_output(w, kw, sw, pw, dw))
    y = (n, out_channels, *window[2:])
    for tap in range(prod(kernel)):
        # [n, o, h', w'] = [n, c, h', w'] * [o, c, 1, 1]
        product = conv2d_cost("", window, out_channels, kernel=1, module="")
        cost += _charged(product, 0 if tap else out_channels * c * prod(kernel))
        cost += multiply_cost("", y, y, (n, out_channels))  # [n, o, h', w'] = [n, o, h', w'] * [n, o, 1, 1]
        cost += add_cost("", y, y, y) if tap else Cost()
    return cost


def _charged(cost: Cost, params: Any) -> Cost:
    (op,) = cost
    return Cost((op._replace(params=params),))


def aw_cost(
    *,
    channels: Any,
    height: Any,
    width: Any,
    batch: Any = 1,
    kernel: int = 3,
    reduction: Any = 16,
    map_reduction: Any = None,
    literal: bool = False,
    bias: bool = False,
) -> Cost:
    """An AW-convolution m -> m on a map [n, m, h, w] that keeps its size; it stands in place of a k x k convolution.

    Source: Zhu et al., ICANN 2021, Eq. 5, 7 and 8.
    Closed form: with t = floor(m / r), q = m (m / map_reduction) and p = h w, parameters
    k^2 m^2 + t (m + q) + 2 (t + q) (with biases + t + q), MACs n (k^2 m^2 p + t (m + q) k^2); both forms' other
    work as in `aw_conv2d_cost`.
    Counted: the whole convolution; what it adds to the plain one is `aw_overhead_cost`.
    Not counted: views.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        kernel: k, odd.
        reduction: r, so that the point convolutions meet at t channels.
        map_reduction: input channels that share a value of the map, a divisor of m; m by default, as in the paper.
        literal: build the weights of each sample also where the map does not depend on the input channel.
        bias: whether the point convolutions have biases; the paper's parameter counts have none.

    Raises:
        SizeError: if r is larger than m, k is even, or map_reduction does not divide m.
    """
    require_odd_kernel(kernel)
    return aw_conv2d_cost(
        (batch, channels, height, width),
        channels,
        kernel=kernel,
        hidden=hidden_width(channels, reduction),
        padding=kernel // 2,
        map_reduction=map_reduction,
        point_bias=bias,
        literal=literal,
    )


def _replaced_cost(*, channels: Any, height: Any, width: Any, batch: Any = 1, kernel: int = 3, **_: Any) -> Cost:
    return conv2d_cost("", (batch, channels, height, width), channels, kernel=kernel, padding=kernel // 2)


MECHANISM = Mechanism(
    name="aw",
    title="AW-convolution",
    source="Zhu et al., ICANN 2021",
    group="replacing",
    cost=aw_cost,
    places=Places(
        source="Zhu et al., Section 4.1: in place of each bottleneck's 3 x 3, each pointwise convolution of MobileNet",
    ),
    replaces=_replaced_cost,
    from_table1=lambda *, r, **_: {"reduction": r},
)
