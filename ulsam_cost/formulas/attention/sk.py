"""SK: several convolutions of different reach in place of one, weighed channel by channel."""

from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.errors import SizeError, require_int, require_size
from ulsam_cost.formulas.attention.mechanism import (
    Mechanism,
    Places,
    at_least,
    hidden_width,
    require_odd_kernel,
    require_one_of,
)
from ulsam_cost.formulas.layers import (
    add_cost,
    batch_norm_cost,
    conv2d_cost,
    global_avg_pool_cost,
    multiply_cost,
    relu6_cost,
    relu_cost,
    softmax_cost,
)
from ulsam_cost.operations import Shape

ACTIVATIONS = {"relu": relu_cost, "relu6": relu6_cost}


def sk_cost(
    *,
    channels: Any,
    height: Any,
    width: Any,
    batch: Any = 1,
    branches: int = 2,
    kernel: int = 3,
    reduction: Any = 16,
    groups: Any = 1,
    stride: int = 1,
    activation: str = "relu",
    bias: bool = False,
    least: int = 1,
) -> Cost:
    """A selective-kernel unit m -> m on a map [n, m, h, w]; it stands in place of a k x k convolution.

    Source: Li et al., CVPR 2019, Eq. 1 to 6, with d = max(l, floor(m / r)); l is 32 in the paper and in the authors'
    ResNeXts.
    Closed form: with B branches of a G-group convolution, dilated by 1 to B, and p' = h' w' output positions,
    parameters B m (m/G) k^2 + 2 B m for the branches, (B + 1) m d + 2 d for the weights (with biases + d + B m);
    MACs n (B m (m/G) k^2 p' + (B + 1) m d).
    Counted: each branch's convolution, batch norm and activation; the pools and their sum, both 1 x 1
    convolutions, batch norm, ReLU, softmax over the branches; the weighted sum.
    Not counted: the division into branches, which is a view.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        branches: B, 2 or more; branch i is dilated by i.
        kernel: k, odd, so that the padding keeps the size.
        reduction: r of the weights' bottleneck.
        groups: G of the branches' convolutions; m for depthwise ones.
        stride: of the branches' convolutions.
        activation: of the branches, `relu` or `relu6`.
        bias: whether the 1 x 1 convolutions have biases; the authors' code has none.
        least: l, the width of the weights' bottleneck where m / r is less.

    Raises:
        SizeError: if r is larger than m, k is even, there are fewer than two branches or G does not divide m.
    """
    require_sk_sizes(branches, kernel, stride, activation)
    x, groups = (batch, channels, height, width), require_size("groups", groups)
    d = at_least(require_int("least", least), hidden_width(channels, reduction))
    cost = Cost()
    for i in range(branches):
        # [n, m, h', w'] = [n, m, h, w] * [m, m / G, k, k]
        cost += _branch_cost(f"branches.{i}", x, i + 1, kernel, groups, stride, activation)
    maps = cost.output
    for _ in range(branches):  # [n, m, 1, 1] = mean over p' of [n, m, p']
        cost += global_avg_pool_cost("pool", maps)
    pooled = cost.output
    for _ in range(branches - 1):
        cost += add_cost("", pooled, pooled, pooled)
    cost += conv2d_cost("down", pooled, d, kernel=1, bias=bias)  # [n, d] = [n, m] @ [m, d]
    cost += batch_norm_cost("norm", cost.output) + relu_cost("", cost.output, module="")
    cost += conv2d_cost("up", cost.output, branches * channels, kernel=1, bias=bias)  # [n, B m] = [n, d] @ [d, B m]
    cost += softmax_cost("", (batch, branches, channels, 1, 1), dim=1, module="")
    for _ in range(branches):  # [n, m, h', w'] = [n, m, h', w'] * [n, m, 1, 1]
        cost += multiply_cost("", maps, maps, pooled)
    for _ in range(branches - 1):
        cost += add_cost("", maps, maps, maps)
    return cost


def require_sk_sizes(branches: int, kernel: int, stride: int, activation: str) -> None:
    """Refuse sizes and words that the unit cannot have.

    Raises:
        CostError: with those that it can.
    """
    if require_int("branches", branches) < 2:
        raise SizeError(f"branches = {branches} leaves nothing to select: 2 or more are accepted")
    require_odd_kernel(kernel)
    require_int("stride", stride)
    require_one_of("activation", activation, tuple(ACTIVATIONS))


def _branch_cost(path: str, x: Shape, dilation: int, kernel: int, groups: Any, stride: int, activation: str) -> Cost:
    padding = dilation * (kernel - 1) // 2
    sizes = {"kernel": kernel, "stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    cost = conv2d_cost(f"{path}.0", x, x[1], **sizes)
    cost += batch_norm_cost(f"{path}.1", cost.output)
    return cost + ACTIVATIONS[activation](f"{path}.2", cost.output)


def replaced_unit_cost(
    *,
    channels: Any,
    height: Any,
    width: Any,
    batch: Any = 1,
    kernel: int = 3,
    groups: Any = 1,
    stride: int = 1,
    activation: str = "relu",
    **_: Any,
) -> Cost:
    """The plain convolution, norm and activation in whose place a mechanism stands."""
    return _branch_cost("", (batch, channels, height, width), 1, kernel, groups, stride, activation)


MECHANISM = Mechanism(
    name="sk",
    title="SK",
    source="Li et al., CVPR 2019",
    group="replacing",
    cost=sk_cost,
    places=Places(
        where="unit",
        at=lambda *, network, **_: {"least": 32} if network.startswith("resnext") else {},
        source="implus/SKNet: in place of a ResNeXt's 3 x 3",
    ),
    replaces=replaced_unit_cost,
    from_table1=lambda *, r, **_: {"reduction": r},
)
