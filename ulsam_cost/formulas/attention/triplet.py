"""Triplet attention: three gates, each of which pools over another axis of the map."""

from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.formulas.attention.mechanism import Mechanism, Places, require_odd_kernel
from ulsam_cost.formulas.layers import (
    add_cost,
    amax_cost,
    batch_norm_cost,
    concatenate_cost,
    conv2d_cost,
    mean_cost,
    movement_cost,
    multiply_cost,
    sigmoid_cost,
)
from ulsam_cost.operations import Shape


def triplet_cost(
    *, channels: Any, height: Any, width: Any, batch: Any = 1, kernel: int = 7, spatial_gate: bool = True
) -> Cost:
    """Triplet attention on a map [n, m, h, w].

    Source: Misra et al., WACV 2021, Eq. 1 and 2, and the authors' code.
    Printed: 6 k^2 parameters (the paper's Table 1), which leaves out the six of the three batch norms.
    Closed form: parameters 3 (2 k^2 + 2), MACs 2 n k^2 (h w + m h + m w); without the spatial gate
    2 (2 k^2 + 2) and 2 n k^2 (m h + m w).
    Counted: of each gate both pools and their joining, the convolution, batch norm, sigmoid and the scaling of the
    map; four copies of the map whose axes are exchanged; the sum of the gates and its division.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        kernel: k, odd.
        spatial_gate: whether the gate that pools over the channels is one of the three.

    Raises:
        SizeError: for an even k.
    """
    require_odd_kernel(kernel)
    n, m, h, w = x = (batch, channels, height, width)
    cost = Cost()
    for name, exchanged in (("rows", (n, h, m, w)), ("columns", (n, w, h, m))):
        cost += movement_cost("", exchanged, "clone")
        cost += _gate_cost(exchanged, kernel).scoped(name)
        cost += movement_cost("", x, "clone")
    if spatial_gate:
        cost += _gate_cost(x, kernel).scoped("plane") + add_cost("", x, x, x)
    return cost + add_cost("", x, x, x) + multiply_cost("", x, x, operator="div")


def _gate_cost(x: Shape, kernel: int) -> Cost:
    n, _, b, c = x
    plane = (n, 1, b, c)
    cost = amax_cost("", x, plane) + mean_cost("", x, plane)  # [n, 1, b, c] = maximum, mean over a of [n, a, b, c]
    cost += concatenate_cost("", (n, 2, b, c))
    # [n, 1, b, c] = [n, 2, b, c] * [1, 2, k, k]
    cost += conv2d_cost("conv", (n, 2, b, c), 1, kernel=kernel, padding=kernel // 2)
    cost += batch_norm_cost("norm", plane) + sigmoid_cost("sigmoid", plane)
    return cost + multiply_cost("", x, x, plane)


MECHANISM = Mechanism(
    name="triplet",
    title="Triplet attention",
    source="Misra et al., WACV 2021",
    group="both",
    cost=triplet_cost,
    places=Places(source="landskape-ai/triplet-attention: after each block's last norm, before the shortcut"),
)
