"""MnasNet 1.0, derived.

Source: Tan et al., CVPR 2019, Figure 7; modules named as in torchvision.
"""

from collections.abc import Iterator

from ulsam_cost.cost import Cost
from ulsam_cost.formulas.layers import (
    add_cost,
    batch_norm_cost,
    conv2d_cost,
    linear_cost,
    mean_cost,
    relu_cost,
)
from ulsam_cost.formulas.networks.blocks import dense_conv_cost, inverted_residual, window_shape
from ulsam_cost.formulas.networks.sites import AttentionCosts
from ulsam_cost.formulas.networks.spec import LayerCost, Network, NetworkSpec, slots_of
from ulsam_cost.formulas.networks.walk import body_layers
from ulsam_cost.operations import Shape
from ulsam_cost.placement import Convolution, Place, Slot

STEM_CHANNELS, SEPARABLE_CHANNELS, HEAD_CHANNELS = 32, 16, 1280
# (expansion, kernel, output channels, blocks, stride of the first) of layers 3 to 18
STACKS = ((3, 3, 24, 3, 2), (3, 5, 40, 3, 2), (6, 5, 80, 3, 2), (6, 3, 96, 2, 1), (6, 5, 192, 4, 2), (6, 3, 320, 1, 1))
# indices in torchvision's `layers`
SEPARABLE, FIRST_STACK = 3, 8
HEAD = FIRST_STACK + len(STACKS)


def slots(spec: NetworkSpec) -> tuple[Slot, ...]:
    """Layer 1, the stem; 2, the separable convolution; 3 to 18, residual blocks; 19, a 1 x 1; 20, the classifier."""
    stem, separable, head = STEM_CHANNELS, SEPARABLE_CHANNELS, HEAD_CHANNELS
    result = [
        Slot(
            layer=1,
            kind="stem",
            path="layers.0",
            in_channels=3,
            out_channels=stem,
            stride=2,
            fixed=True,
            convolutions=(Convolution(path="layers.0", in_channels=3, out_channels=stem, stride=2),),
        ),
        Slot(
            layer=2,
            kind="separable",
            path=f"layers.{SEPARABLE}",
            in_channels=stem,
            out_channels=separable,
            convolutions=inverted_residual(
                ["", f"layers.{SEPARABLE}", f"layers.{SEPARABLE + 3}"], stem, stem, separable, 1
            ),
        ),
    ]
    channels = separable
    for stack, (expansion, _, out, blocks, first_stride) in enumerate(STACKS):
        for block in range(blocks):
            path, stride = f"layers.{FIRST_STACK + stack}.{block}", 1 if block else first_stride
            result.append(
                Slot(
                    layer=len(result) + 1,
                    kind="residual_block",
                    path=path,
                    in_channels=channels,
                    out_channels=out,
                    stride=stride,
                    places=(Place(name="block", path=f"{path}.attention", channels=out),),
                    convolution=Place(name="block", path=f"{path}.layers.3", channels=channels * expansion),
                    convolutions=inverted_residual(
                        [f"{path}.layers.{part}" for part in (0, 3, 6)], channels, channels * expansion, out, stride
                    ),
                )
            )
            channels = out
    layer = len(result) + 1
    path = f"layers.{HEAD}"
    last = Convolution(path=path, in_channels=channels, out_channels=head)
    result.append(
        Slot(layer=layer, kind="conv", path=path, in_channels=channels, out_channels=head, convolutions=(last,))
    )
    result.append(
        Slot(
            layer=layer + 1,
            kind="classifier",
            path="classifier",
            in_channels=head,
            out_channels=spec.classes,
            fixed=True,
        )
    )
    return tuple(result)


def stack_of(slot: Slot) -> tuple[int, int]:
    """The expansion and the kernel of a residual block."""
    expansion, kernel, *_ = STACKS[int(slot.path.split(".")[1]) - FIRST_STACK]
    return expansion, kernel


def layers(spec: NetworkSpec) -> Iterator[LayerCost]:
    """The layers' costs: 1 to 19, `pool`, and 20."""
    x, numbered = spec.input_shape, slots_of(spec)
    for layer in body_layers(spec, numbered, block=_residual_block_cost, plain=_conv_layer_cost):
        x = layer.output
        yield layer
    pool = mean_cost("", x, x[:2])
    yield LayerCost(layer="pool", path="", kind="pool", cost=pool, output=pool.output)
    cost, last = linear_cost("classifier.1", x[:2], spec.classes), numbered[-1]
    yield LayerCost(layer=str(last.layer), path=last.path, kind=last.kind, cost=cost, output=cost.output)


def _conv_layer_cost(x: Shape, slot: Slot) -> Cost:
    if slot.kind == "stem":
        return _conv_norm_relu_cost("layers", 0, x, slot.out_channels, kernel=3, stride=2)
    if slot.kind == "conv":
        return _conv_norm_relu_cost("layers", HEAD, x, slot.out_channels, kernel=1)
    c = slot.in_channels
    cost = _conv_norm_relu_cost("layers", SEPARABLE, x, c, kernel=3, groups=c)
    cost += conv2d_cost(f"layers.{SEPARABLE + 3}", x, slot.out_channels, kernel=1)
    return cost + batch_norm_cost(f"layers.{SEPARABLE + 4}", cost.output)


def _conv_norm_relu_cost(
    parent: str, first: int, x: Shape, out_channels: int, *, kernel: int, stride: int = 1, groups: int = 1
) -> Cost:
    path = f"{parent}.{first}"
    cost = conv2d_cost(path, x, out_channels, kernel=kernel, stride=stride, padding=kernel // 2, groups=groups)
    cost += batch_norm_cost(f"{parent}.{first + 1}", cost.output)
    return cost + relu_cost(f"{parent}.{first + 2}", cost.output)


def _residual_block_cost(spec: NetworkSpec, attention: AttentionCosts, x: Shape, slot: Slot) -> Cost:
    expansion, kernel = stack_of(slot)
    inner, label = f"{slot.path}.layers", str(slot.layer)
    hidden, out = slot.in_channels * expansion, slot.out_channels
    cost = _conv_norm_relu_cost(inner, 0, x, hidden, kernel=1)
    expanded = window_shape(x, hidden, 1)
    depthwise = {"kernel": kernel, "stride": slot.stride, "groups": hidden}
    cost += attention.instead(label, expanded, activation="relu", **depthwise) or _conv_norm_relu_cost(
        inner, 3, expanded, hidden, **depthwise
    )
    cost += dense_conv_cost(spec, f"{inner}.6", window_shape(x, hidden, slot.stride), out, kernel=1)
    y = window_shape(x, out, slot.stride)
    cost += batch_norm_cost(f"{inner}.7", y) + attention.after(label, y)
    return cost + add_cost(slot.path, y, y, y) if slot.keeps_shape else cost


NETWORKS = {
    "mnasnet1_0": Network(
        name="mnasnet1_0", title="MnasNet 1.0", source="Tan et al., CVPR 2019, Figure 7", slots=slots, layers=layers
    )
}
