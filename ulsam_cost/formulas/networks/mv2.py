"""MobileNetV2, derived.

Source: Sandler et al., CVPR 2018; layers numbered as in Saini et al., WACV 2020, Table 5; modules named,
and the width multiplier rounded, as in torchvision.
"""

from collections.abc import Iterator

from ulsam_cost.cost import Cost
from ulsam_cost.formulas.layers import (
    add_cost,
    batch_norm_cost,
    global_avg_pool_cost,
    linear_cost,
    relu6_cost,
)
from ulsam_cost.formulas.networks.blocks import conv_norm_cost, dense_conv_cost, inverted_residual, window_shape
from ulsam_cost.formulas.networks.sites import AttentionCosts
from ulsam_cost.formulas.networks.spec import LayerCost, Network, NetworkSpec, slots_of
from ulsam_cost.formulas.networks.walk import body_layers
from ulsam_cost.operations import Shape
from ulsam_cost.placement import Convolution, Place, Slot

STEM_CHANNELS, HEAD_CHANNELS = 32, 1280
# (expansion, output channels, blocks, stride of the first) of layers 2 to 18
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
FIRST_BLOCK = 2


def scaled(channels: int, width: float) -> int:
    """Channels under the width multiplier: the nearest multiple of 8, at least 8, at most 10 % fewer."""
    target = channels * width
    rounded = max(8, int(target + 4) // 8 * 8)
    return rounded + 8 if rounded < 0.9 * target else rounded


def expansion(layer: int) -> int:
    """The expansion factor of a residual block."""
    factors = [factor for factor, _, blocks, _ in STAGES for _ in range(blocks)]
    return factors[layer - FIRST_BLOCK]


def slots(spec: NetworkSpec) -> tuple[Slot, ...]:
    """Layer 1, the stem; 2 to 18, the residual blocks; 19, the 1 x 1 convolution; 20, the classifier."""
    channels = scaled(STEM_CHANNELS, spec.width)
    stem = Convolution(path="features.0.0", in_channels=3, out_channels=channels, stride=2)
    result = [
        Slot(
            layer=1,
            kind="stem",
            path="features.0",
            in_channels=3,
            out_channels=channels,
            stride=2,
            fixed=True,
            convolutions=(stem,),
        )
    ]
    for factor, width, blocks, first_stride in STAGES:
        for stride in (first_stride, *(1,) * (blocks - 1)):
            out, path = scaled(width, spec.width), f"features.{len(result)}"
            depthwise = Place(name="block", path=f"{path}.conv.{int(factor > 1)}", channels=channels * factor)
            result.append(
                Slot(
                    layer=len(result) + 1,
                    kind="residual_block",
                    path=path,
                    in_channels=channels,
                    out_channels=out,
                    stride=stride,
                    places=(Place(name="block", path=f"{path}.attention", channels=out),),
                    convolution=depthwise,
                    convolutions=inverted_residual(
                        [f"{path}.conv.{part}" for part in ("0.0", "1.0", "2")]
                        if factor > 1
                        else ["", f"{path}.conv.0.0", f"{path}.conv.1"],
                        channels,
                        channels * factor,
                        out,
                        stride,
                    ),
                )
            )
            channels = out
    head, layer = scaled(HEAD_CHANNELS, max(1.0, spec.width)), len(result) + 1
    path = f"features.{layer - 1}"
    last = Convolution(path=f"{path}.0", in_channels=channels, out_channels=head)
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


def layers(spec: NetworkSpec) -> Iterator[LayerCost]:
    """The layers' costs: 1 to 19, `pool`, and 20."""
    x, numbered = spec.input_shape, slots_of(spec)
    for layer in body_layers(spec, numbered, block=_residual_block_cost, plain=_conv_layer_cost):
        x = layer.output
        yield layer
    pool = global_avg_pool_cost("", x, module="")
    yield LayerCost(layer="pool", path="", kind="pool", cost=pool, output=pool.output)
    cost, last = linear_cost("classifier.1", x[:2], spec.classes), numbered[-1]
    yield LayerCost(layer=str(last.layer), path=last.path, kind=last.kind, cost=cost, output=cost.output)


def _conv_layer_cost(x: Shape, slot: Slot) -> Cost:
    kernel = 3 if slot.kind == "stem" else 1
    return conv_norm_cost(slot.path, x, slot.out_channels, relu6_cost, kernel=kernel, stride=slot.stride)


def _residual_block_cost(spec: NetworkSpec, attention: AttentionCosts, x: Shape, slot: Slot) -> Cost:
    path, label, factor = slot.path, str(slot.layer), expansion(slot.layer)
    hidden, out = slot.in_channels * factor, slot.out_channels
    cost, part = Cost(), 0
    if factor != 1:
        cost, part = conv_norm_cost(f"{path}.conv.0", x, hidden, relu6_cost, kernel=1), 1
    expanded = window_shape(x, hidden, 1)
    depthwise = {"kernel": 3, "stride": slot.stride, "groups": hidden}
    cost += attention.instead(label, expanded, activation="relu6", **depthwise) or conv_norm_cost(
        f"{path}.conv.{part}", expanded, hidden, relu6_cost, **depthwise
    )
    y = window_shape(x, hidden, slot.stride)
    cost += dense_conv_cost(spec, f"{path}.conv.{part + 1}", y, out, kernel=1)
    y = window_shape(y, out, 1)
    cost += batch_norm_cost(f"{path}.conv.{part + 2}", y) + attention.after(label, y)
    return cost + add_cost(path, y, y, y) if slot.keeps_shape else cost


NETWORKS = {
    "mv2": Network(
        name="mv2",
        title="MobileNetV2",
        source="Saini et al., WACV 2020, Table 5",
        slots=slots,
        layers=layers,
        by_positions=("ulsam",),
        scales=True,
    )
}
