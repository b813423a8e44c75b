"""What the networks are made of, with torchvision's names for the parts."""

from collections.abc import Callable, Sequence
from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.formulas.attention.aw import aw_conv2d_cost
from ulsam_cost.formulas.connections.aw import aw_sizes
from ulsam_cost.formulas.layers import batch_norm_cost, conv2d_cost
from ulsam_cost.formulas.networks.spec import NetworkSpec
from ulsam_cost.operations import Shape
from ulsam_cost.placement import Convolution

Activation = Callable[[str, Shape], Cost]


def conv_norm_cost(path: str, x: Shape, out_channels: Any, activation: Activation, **sizes: Any) -> Cost:
    """Convolution without bias, batch norm, activation: `0`, `1` and `2` below `path`; padding keeps the size."""
    padding = (sizes["kernel"] - 1) // 2
    cost = conv2d_cost(f"{path}.0", x, out_channels, padding=padding, **sizes)
    cost += batch_norm_cost(f"{path}.1", cost.output)
    return cost + activation(f"{path}.2", cost.output)


def dense_conv_cost(spec: NetworkSpec, path: str, x: Shape, out_channels: int, **sizes: Any) -> Cost:
    """A convolution that is an AW-convolution under the connection of that name."""
    if spec.connection != "aw":
        return conv2d_cost(path, x, out_channels, **sizes)
    sizes.pop("groups", None)  # networks in groups do not take the connection
    attended = aw_sizes(out_channels, **dict(spec.connection_options))
    return aw_conv2d_cost(x, out_channels, **sizes, **attended).scoped(path)


def inverted_residual(
    paths: Sequence[str], channels: int, hidden: int, out_channels: int, stride: int
) -> tuple[Convolution, ...]:
    """The convolutions of an inverted residual; the path of an expansion that it does not have is empty."""
    expand, depthwise, project = paths
    main = (
        Convolution(path=depthwise, in_channels=hidden, out_channels=hidden, stride=stride, spatial=True),
        Convolution(path=project, in_channels=hidden, out_channels=out_channels, before=stride, last=True),
    )
    return (Convolution(path=expand, in_channels=channels, out_channels=hidden), *main) if expand else main


def window_shape(x: Shape, out_channels: Any, stride: int) -> Shape:
    """The shape of what a convolution gives whose padding keeps the size but for its stride."""
    n, _, h, w = x
    return n, out_channels, -(-h // stride), -(-w // stride)
