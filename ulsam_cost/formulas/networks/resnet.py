"""ResNet 50, 101 and 152, derived.

Source: He et al., CVPR 2016, Table 1; modules named as in torchvision. Variant `v1.5` has the stride of a
stage's first bottleneck in its 3 x 3 convolution, as torchvision and the DCANet paper do; `v1` has it in the
first 1 x 1, as He et al. and the AW-convolution paper do.
"""

from collections.abc import Iterator

from ulsam_cost.cost import Cost
from ulsam_cost.formulas.layers import (
    Shape,
    add_cost,
    batch_norm_cost,
    conv2d_cost,
    global_avg_pool_cost,
    linear_cost,
    max_pool2d_cost,
    relu_cost,
)
from ulsam_cost.formulas.networks.blocks import dense_conv_cost, window_shape
from ulsam_cost.formulas.networks.sites import AttentionCosts
from ulsam_cost.formulas.networks.spec import LayerCost, Network, NetworkSpec
from ulsam_cost.formulas.networks.walk import body_layers
from ulsam_cost.placement import Convolution, Place, Slot

STEM_CHANNELS = 64
EXPANSION = 4
VARIANTS = ("v1.5", "v1")
# (channels of the 3 x 3 convolution, stride of the first bottleneck) of each stage
STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))
DEPTHS = {"resnet50": (3, 4, 6, 3), "resnet101": (3, 4, 23, 3), "resnet152": (3, 8, 36, 3)}


def slots(spec: NetworkSpec) -> tuple[Slot, ...]:
    """Layer 1, the stem with its pool, and the bottlenecks from layer 2 on, one by one."""
    return body_slots(DEPTHS[spec.network], spec.variant, "")


def body_slots(depths: tuple[int, ...], variant: str, prefix: str) -> tuple[Slot, ...]:
    """The same of a body whose modules' paths begin with a prefix."""
    stem_path = f"{prefix}conv1"
    stem = Slot(
        layer=1,
        kind="stem",
        path=stem_path,
        in_channels=3,
        out_channels=STEM_CHANNELS,
        stride=4,
        fixed=True,
        convolutions=(Convolution(path=stem_path, in_channels=3, out_channels=STEM_CHANNELS, stride=2),),
    )
    result, channels = [stem], STEM_CHANNELS
    for stage, ((planes, first_stride), blocks) in enumerate(zip(STAGES, depths, strict=True), start=1):
        for block in range(blocks):
            path, stride = f"{prefix}layer{stage}.{block}", 1 if block else first_stride
            result.append(
                Slot(
                    layer=len(result) + 1,
                    kind="bottleneck",
                    path=path,
                    in_channels=channels,
                    out_channels=planes * EXPANSION,
                    stride=stride,
                    places=(Place(name="block", path=f"{path}.attention", channels=planes * EXPANSION),),
                    convolution=Place(name="block", path=f"{path}.conv2", channels=planes),
                    convolutions=_convolutions(path, channels, planes, stride, variant),
                )
            )
            channels = planes * EXPANSION
    return tuple(result)


def _convolutions(path: str, channels: int, planes: int, stride: int, variant: str) -> tuple[Convolution, ...]:
    first, second = strides(stride, variant)
    out = planes * EXPANSION
    main = (
        Convolution(path=f"{path}.conv1", in_channels=channels, out_channels=planes, stride=first),
        Convolution(
            path=f"{path}.conv2", in_channels=planes, out_channels=planes, before=first, stride=second, spatial=True
        ),
        Convolution(path=f"{path}.conv3", in_channels=planes, out_channels=out, before=stride, last=True),
    )
    if channels == out and stride == 1:
        return main
    shortcut = Convolution(path=f"{path}.downsample.0", in_channels=channels, out_channels=out, stride=stride)
    return (*main, shortcut)


def strides(stride: int, variant: str) -> tuple[int, int]:
    """The strides of a bottleneck's first 1 x 1 convolution and of its 3 x 3."""
    return (stride, 1) if variant == "v1" else (1, stride)


def layers(spec: NetworkSpec) -> Iterator[LayerCost]:
    """The layers' costs: the numbered ones, then `pool` and `fc`."""
    x: Shape = spec.input_shape
    for layer in resnet_body_layers(spec, slots(spec), ""):
        x = layer.output
        yield layer
    pool = global_avg_pool_cost("avgpool", x)
    yield LayerCost(layer="pool", path="avgpool", kind="pool", cost=pool, output=pool.output)
    classifier = linear_cost("fc", x[:2], spec.classes)
    yield LayerCost(layer="fc", path="fc", kind="classifier", cost=classifier, output=classifier.output)


def resnet_body_layers(spec: NetworkSpec, numbered: tuple[Slot, ...], prefix: str) -> Iterator[LayerCost]:
    """The numbered layers' costs; `prefix` stands before the names of the stem's modules."""
    return body_layers(spec, numbered, block=_bottleneck_cost, plain=lambda x, slot: _stem_cost(prefix, x))


def _stem_cost(prefix: str, x: Shape) -> Cost:
    cost = conv2d_cost(f"{prefix}conv1", x, STEM_CHANNELS, kernel=7, stride=2, padding=3)
    cost += batch_norm_cost(f"{prefix}bn1", cost.output)
    cost += relu_cost(f"{prefix}relu", cost.output)
    return cost + max_pool2d_cost(f"{prefix}maxpool", cost.output, kernel=3, stride=2, padding=1)


def _bottleneck_cost(spec: NetworkSpec, attention: AttentionCosts, x: Shape, slot: Slot) -> Cost:
    path, label, out = slot.path, str(slot.layer), slot.out_channels
    planes, block_input = out // EXPANSION, x
    first_stride, second_stride = strides(slot.stride, spec.variant)
    cost = conv2d_cost(f"{path}.conv1", x, planes, kernel=1, stride=first_stride)
    x = window_shape(x, planes, first_stride)
    cost += batch_norm_cost(f"{path}.bn1", x) + relu_cost(f"{path}.relu", x)
    unit = attention.instead(label, x, kernel=3, stride=second_stride, activation="relu")
    y = window_shape(x, planes, second_stride)
    if unit is None:
        unit = dense_conv_cost(spec, f"{path}.conv2", x, planes, kernel=3, stride=second_stride, padding=1)
        unit += batch_norm_cost(f"{path}.bn2", y) + relu_cost(f"{path}.relu", y)
    cost += unit + conv2d_cost(f"{path}.conv3", y, out, kernel=1)
    y = window_shape(y, out, 1)
    cost += batch_norm_cost(f"{path}.bn3", y) + attention.after(label, y)
    if not slot.keeps_shape:
        cost += conv2d_cost(f"{path}.downsample.0", block_input, out, kernel=1, stride=slot.stride)
        cost += batch_norm_cost(f"{path}.downsample.1", y)
    return cost + add_cost(path, y, y, y) + relu_cost(f"{path}.relu", y)


NETWORKS = {
    name: Network(
        name=name,
        title=name.replace("resnet", "ResNet"),
        source="He et al., CVPR 2016, Table 1",
        slots=slots,
        layers=layers,
        variants=VARIANTS,
    )
    for name in DEPTHS
}
