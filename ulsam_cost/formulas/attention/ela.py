"""ELA: a weight for each row and each column of each channel, without a bottleneck."""

from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.formulas.attention.mechanism import Mechanism, Places, require_odd_kernel
from ulsam_cost.formulas.layers import (
    Pair,
    activation_cost,
    conv2d_cost,
    group_norm_cost,
    mean_cost,
    multiply_cost,
    sigmoid_cost,
)
from ulsam_cost.operations import Shape


def ela_cost(*, channels: Any, height: Any, width: Any, batch: Any = 1, kernel: int = 7) -> Cost:
    """Efficient local attention on a map [n, m, h, w].

    Source: Xu and Wan, arXiv 2403.01123, 2024, as timm has it; no code of the authors was found, and public copies
    disagree with one another: some share one convolution between the directions and have no SiLU.
    Closed form: parameters 2 k m + 4 m, MACs n k m (h + w).
    Counted: both means, both convolutions, group norms, SiLUs, sigmoids, both scalings of the map.

    Args:
        channels: m.
        height: h.
        width: w.
        batch: n.
        kernel: k, odd.

    Raises:
        SizeError: for an even k.
    """
    k = require_odd_kernel(kernel)
    n, m, h, w = x = (batch, channels, height, width)
    cost = mean_cost("", x, (n, m, h, 1))  # [n, m, h, 1] = mean over w of [n, m, h, w]
    # [n, m, h, 1] = [n, m, h, 1] * [m, 1, k, 1], a channel at a time
    cost += _gate_cost("rows", (n, m, h, 1), (k, 1))
    cost += mean_cost("", x, (n, m, 1, w))  # [n, m, 1, w] = mean over h of [n, m, h, w]
    # [n, m, 1, w] = [n, m, 1, w] * [m, 1, 1, k], a channel at a time
    cost += _gate_cost("columns", (n, m, 1, w), (1, k))
    return cost + multiply_cost("", x, x, (n, m, h, 1)) + multiply_cost("", x, x, (n, m, 1, w))


def _gate_cost(name: str, x: Shape, kernel: tuple[int, int]) -> Cost:
    padding: Pair = (kernel[0] // 2, kernel[1] // 2)
    cost = conv2d_cost(name, x, x[1], kernel=kernel, padding=padding, groups=x[1])
    cost += group_norm_cost(f"{name}_norm", x, 1) + activation_cost("silu", x, "silu", module="SiLU")
    return cost + sigmoid_cost("", x, module="")


MECHANISM = Mechanism(
    name="ela",
    title="ELA",
    source="Xu and Wan, arXiv 2403.01123, 2024",
    group="both",
    cost=ela_cost,
    places=Places(source="the paper's ResNets; no code of the authors was found"),
)
