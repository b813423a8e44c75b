"""What the networks are made of, with torchvision's names for the parts."""

from collections.abc import Callable
from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.formulas.layers import Shape, batch_norm_cost, conv2d_cost

Activation = Callable[[str, Shape], Cost]


def conv_norm_cost(path: str, x: Shape, out_channels: Any, activation: Activation, **sizes: Any) -> Cost:
    """Convolution without bias, batch norm, activation: `0`, `1` and `2` below `path`; padding keeps the size."""
    padding = (sizes["kernel"] - 1) // 2
    cost = conv2d_cost(f"{path}.0", x, out_channels, padding=padding, **sizes)
    cost += batch_norm_cost(f"{path}.1", cost.output)
    return cost + activation(f"{path}.2", cost.output)
