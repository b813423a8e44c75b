"""EPSANet's pyramid squeeze attention: convolutions of several reaches in place of one."""

from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.errors import SizeError, require_divides, require_int
from ulsam_cost.formulas.attention.mechanism import (
    Mechanism,
    Places,
    convolution_cost,
    hidden_width,
    require_odd_kernel,
)
from ulsam_cost.formulas.layers import (
    concatenate_cost,
    conv2d_cost,
    global_avg_pool_cost,
    movement_cost,
    multiply_cost,
    relu_cost,
    run_again,
    sigmoid_cost,
    softmax_cost,
)

KERNELS, GROUPS = (3, 5, 7, 9), (1, 4, 8, 16)


def psa_cost(
    *,
    channels: Any,
    height: Any,
    width: Any,
    batch: Any = 1,
    kernels: tuple[int, ...] = KERNELS,
    groups: tuple[int, ...] = GROUPS,
    reduction: Any = 16,
    stride: int = 1,
) -> Cost:
    """Pyramid squeeze attention m -> m on a map [n, m, h, w]; it stands in place of a 3 x 3 convolution.

    Source: Zhang et al., ACCV 2022, Eq. 1 to 10, and the authors' code, which joins the branches in reverse.
    Closed form: with B branches, q = m / B, e = floor(q / r) and p' = h' w' output positions,
    parameters m q (k_1^2 / g_1 + ... + k_B^2 / g_B) + 2 q e + q + e,
    MACs n (m q (k_1^2 / g_1 + ... + k_B^2 / g_B) p' + 2 B q e). The default convolutions have 6.609375 m^2 weights;
    with one group each it would be 164 m q + 2 q e + q + e and n (164 m q p' + 8 q e).
    Counted: each branch's convolution, the bottleneck's layers once a branch with biases, ReLUs and sigmoids, the
    joining of their gates, the softmax over the branches, the scaling of each branch, their joining.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        kernels: k_1 to k_B, odd.
        groups: g_1 to g_B of the branches' convolutions.
        reduction: r of the weights' bottleneck.
        stride: of the branches' convolutions.

    Raises:
        SizeError: if B does not divide m, a branch's groups do not divide m and q, or r is larger than q.
    """
    q, e = branch_widths(channels, kernels, groups, reduction, stride)
    n, m, *_ = x = (batch, channels, height, width)
    branches, cost, vector, narrow = len(kernels), Cost(), (n, q, 1, 1), (n, e, 1, 1)
    for i, (k, g) in enumerate(zip(kernels, groups, strict=True)):
        # [n, q, h', w'] = [n, m, h, w] * [q, m / g, k, k]
        cost += conv2d_cost(f"branches.{i}", x, q, kernel=k, stride=stride, padding=k // 2, groups=g)
    y = cost.output
    for i in range(branches):
        gate = global_avg_pool_cost("pool", y)
        gate += conv2d_cost("down", vector, e, kernel=1, bias=True) + relu_cost("relu", narrow)
        gate += conv2d_cost("up", narrow, q, kernel=1, bias=True) + sigmoid_cost("sigmoid", vector)
        cost += gate if i == 0 else run_again(gate)
    gates = (n, branches, q, 1, 1)
    cost += movement_cost("", gates, "stack") + softmax_cost("softmax", gates, dim=1)
    for _ in range(branches):
        cost += multiply_cost("", y, y, vector)
    return cost + concatenate_cost("", (n, m, *y[2:]))


def branch_widths(
    channels: Any, kernels: tuple[int, ...], groups: tuple[int, ...], reduction: Any, stride: int
) -> tuple[Any, Any]:
    """The width q = m / B of a branch and e = floor(q / r) of the weights' bottleneck.

    Raises:
        SizeError: for sizes that the unit cannot have.
    """
    require_int("stride", stride)
    if len(kernels) != len(groups):
        raise SizeError(f"kernels = {kernels} and groups = {groups}: the same number of both is accepted")
    require_divides("branches", len(kernels), "channels", channels)
    q = channels // len(kernels)
    for kernel, share in zip(kernels, groups, strict=True):
        require_odd_kernel(kernel)
        require_divides("groups", require_int("groups", share), "channels", channels)
        require_divides("groups", share, "channels of a branch", q)
    return q, hidden_width(q, reduction)


MECHANISM = Mechanism(
    name="psa",
    title="EPSANet",
    source="Zhang et al., ACCV 2022",
    group="replacing",
    cost=psa_cost,
    replaces=convolution_cost,
    multiple=64,
    places=Places(where="instead", source="murufeng/EPSANet: in place of a bottleneck's 3 x 3"),
)
