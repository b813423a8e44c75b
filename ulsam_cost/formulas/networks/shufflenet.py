"""ShuffleNetV2, derived.

Source: Ma et al., ECCV 2018, Table 5; modules named as in torchvision.
"""

from collections.abc import Iterator

from ulsam_cost.cost import Cost
from ulsam_cost.formulas.layers import (
    batch_norm_cost,
    concatenate_cost,
    conv2d_cost,
    linear_cost,
    max_pool2d_cost,
    mean_cost,
    movement_cost,
    relu_cost,
)
from ulsam_cost.formulas.networks.blocks import conv_norm_cost, window_shape
from ulsam_cost.formulas.networks.sites import AttentionCosts
from ulsam_cost.formulas.networks.spec import LayerCost, Network, NetworkSpec, slots_of
from ulsam_cost.formulas.networks.walk import body_layers
from ulsam_cost.operations import Shape
from ulsam_cost.placement import Convolution, Place, Slot

STEM_CHANNELS = 24
REPEATS = (4, 8, 4)
# the stages' channels and the head's
WIDTHS = {
    "shufflenet_v2_x0_5": (48, 96, 192, 1024),
    "shufflenet_v2_x1_0": (116, 232, 464, 1024),
}


def slots(spec: NetworkSpec) -> tuple[Slot, ...]:
    """Layer 1, the stem with its pool; the units from layer 2 on; the last 1 x 1 convolution; the classifier."""
    *stages, head = WIDTHS[spec.network]
    stem = Convolution(path="conv1.0", in_channels=3, out_channels=STEM_CHANNELS, stride=2)
    result = [
        Slot(
            layer=1,
            kind="stem",
            path="conv1",
            in_channels=3,
            out_channels=STEM_CHANNELS,
            stride=4,
            fixed=True,
            convolutions=(stem,),
        )
    ]
    channels = STEM_CHANNELS
    for stage, (out, repeats) in enumerate(zip(stages, REPEATS, strict=True), start=2):
        for unit in range(repeats):
            path, stride = f"stage{stage}.{unit}", 1 if unit else 2
            result.append(
                Slot(
                    layer=len(result) + 1,
                    kind="shuffle_unit",
                    path=path,
                    in_channels=channels,
                    out_channels=out,
                    stride=stride,
                    places=(Place(name="block", path=f"{path}.attention", channels=out // 2),),
                    convolutions=_convolutions(path, channels, out // 2, stride),
                )
            )
            channels = out
    layer = len(result) + 1
    last = Convolution(path="conv5.0", in_channels=channels, out_channels=head)
    result.append(
        Slot(layer=layer, kind="conv", path="conv5", in_channels=channels, out_channels=head, convolutions=(last,))
    )
    result.append(
        Slot(layer=layer + 1, kind="classifier", path="fc", in_channels=head, out_channels=spec.classes, fixed=True)
    )
    return tuple(result)


def _convolutions(path: str, into: int, half: int, stride: int) -> tuple[Convolution, ...]:
    branch = into if stride > 1 else half
    main = (
        Convolution(path=f"{path}.branch2.0", in_channels=branch, out_channels=half),
        Convolution(path=f"{path}.branch2.3", in_channels=half, out_channels=half, stride=stride, spatial=True),
        Convolution(path=f"{path}.branch2.5", in_channels=half, out_channels=half, before=stride, last=True),
    )
    if stride == 1:
        return main
    shortcut = (
        Convolution(path=f"{path}.branch1.0", in_channels=into, out_channels=into, stride=stride),
        Convolution(path=f"{path}.branch1.2", in_channels=into, out_channels=half, before=stride),
    )
    return (*shortcut, *main)


def layers(spec: NetworkSpec) -> Iterator[LayerCost]:
    """The layers' costs: the numbered ones, `pool`, and the classifier."""
    x, numbered = spec.input_shape, slots_of(spec)
    for layer in body_layers(spec, numbered, block=_unit_cost, plain=_conv_layer_cost):
        x = layer.output
        yield layer
    pool, last = mean_cost("", x, x[:2]), numbered[-1]
    yield LayerCost(layer="pool", path="", kind="pool", cost=pool, output=pool.output)
    cost = linear_cost("fc", x[:2], spec.classes)
    yield LayerCost(layer=str(last.layer), path=last.path, kind=last.kind, cost=cost, output=cost.output)


def _conv_layer_cost(x: Shape, slot: Slot) -> Cost:
    if slot.kind == "conv":
        return conv_norm_cost(slot.path, x, slot.out_channels, relu_cost, kernel=1)
    cost = conv_norm_cost(slot.path, x, slot.out_channels, relu_cost, kernel=3, stride=2)
    return cost + max_pool2d_cost("maxpool", cost.output, kernel=3, stride=2, padding=1)


def _unit_cost(spec: NetworkSpec, attention: AttentionCosts, x: Shape, slot: Slot) -> Cost:
    path, half, stride, cost = slot.path, slot.out_channels // 2, slot.stride, Cost()
    y = window_shape(x, half, stride)
    branch = x
    if stride > 1:
        pooled = window_shape(x, slot.in_channels, stride)
        cost += _depthwise_cost(f"{path}.branch1", 0, x, stride)
        cost += conv2d_cost(f"{path}.branch1.2", pooled, half, kernel=1)
        cost += batch_norm_cost(f"{path}.branch1.3", y) + relu_cost(f"{path}.branch1.4", y)
    else:
        branch = window_shape(x, half, 1)
    inner = window_shape(x, half, 1)
    cost += conv2d_cost(f"{path}.branch2.0", branch, half, kernel=1)
    cost += batch_norm_cost(f"{path}.branch2.1", inner) + relu_cost(f"{path}.branch2.2", inner)
    cost += _depthwise_cost(f"{path}.branch2", 3, inner, stride)
    cost += conv2d_cost(f"{path}.branch2.5", y, half, kernel=1)
    cost += batch_norm_cost(f"{path}.branch2.6", y) + relu_cost(f"{path}.branch2.7", y)
    cost += attention.after(str(slot.layer), y)
    whole = window_shape(x, slot.out_channels, stride)
    n, _, h, w = whole
    cost += concatenate_cost(path, whole)
    return cost + movement_cost(path, (n, half, 2, h, w), "contiguous")


def _depthwise_cost(parent: str, first: int, x: Shape, stride: int) -> Cost:
    c = x[1]
    cost = conv2d_cost(f"{parent}.{first}", x, c, kernel=3, stride=stride, padding=1, groups=c)
    return cost + batch_norm_cost(f"{parent}.{first + 1}", cost.output)


NETWORKS = {
    name: Network(
        name=name,
        title=f"ShuffleNetV2 {name.removeprefix('shufflenet_v2_x').replace('_', '.')}x",
        source="Ma et al., ECCV 2018, Table 5",
        slots=slots,
        layers=layers,
        connections=(),
    )
    for name in WIDTHS
}
