"""ResNet 18, 34, 50, 101 and 152, and ResNeXt 50 and 101, derived.

Source: He et al., CVPR 2016, Table 1; Xie et al., CVPR 2017, Table 1; modules named as in torchvision. Variant
`v1.5` has the stride of a stage's first bottleneck in its 3 x 3 convolution, as torchvision and the DCANet paper do;
`v1` has it in the first 1 x 1, as He et al. and the AW-convolution paper do; `cifar` is v1.5 with the stem that is
usual for images of 32 x 32: a 3 x 3 convolution without stride, and no pool.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ulsam_cost.cost import Cost
from ulsam_cost.formulas.layers import (
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
from ulsam_cost.formulas.networks.spec import LayerCost, Network, NetworkSpec, slots_of
from ulsam_cost.formulas.networks.walk import body_layers
from ulsam_cost.operations import Shape
from ulsam_cost.placement import Convolution, Place, Slot

STEM_CHANNELS = 64
VARIANTS = ("v1.5", "v1")
SMALL = "cifar"
# (channels of the 3 x 3 convolution, stride of the first bottleneck) of each stage
STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A member of the family: its blocks by stage, and whether they are bottlenecks of how many groups of how much."""

    depths: tuple[int, ...]
    expansion: int = 4
    groups: int = 1
    group_width: int = 64

    @property
    def bottleneck(self) -> bool:
        """Whether its blocks are bottlenecks; else they are two 3 x 3 convolutions."""
        return self.expansion > 1

    def width(self, planes: int) -> int:
        """Channels of a bottleneck's 3 x 3 convolution."""
        return planes * self.group_width // 64 * self.groups


ARCHITECTURES = {
    "resnet18": Architecture(depths=(2, 2, 2, 2), expansion=1),
    "resnet34": Architecture(depths=(3, 4, 6, 3), expansion=1),
    "resnet50": Architecture(depths=(3, 4, 6, 3)),
    "resnet101": Architecture(depths=(3, 4, 23, 3)),
    "resnet152": Architecture(depths=(3, 8, 36, 3)),
    "resnext50_32x4d": Architecture(depths=(3, 4, 6, 3), groups=32, group_width=4),
    "resnext101_32x4d": Architecture(depths=(3, 4, 23, 3), groups=32, group_width=4),
    "resnext101_32x8d": Architecture(depths=(3, 4, 23, 3), groups=32, group_width=8),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Stem:
    """The first convolution, and whether a pool of stride 2 follows it."""

    kernel: int = 7
    stride: int = 2
    pools: bool = True


def stem_of(variant: str) -> Stem:
    """The stem of a variant."""
    return Stem(kernel=3, stride=1, pools=False) if variant == SMALL else Stem()


def slots(spec: NetworkSpec) -> tuple[Slot, ...]:
    """Layer 1, the stem with its pool, and the blocks from layer 2 on, one by one."""
    return body_slots(ARCHITECTURES[spec.network], spec.variant, "")


def body_slots(architecture: Architecture, variant: str, prefix: str) -> tuple[Slot, ...]:
    """The same of a body whose modules' paths begin with a prefix."""
    stem_path, first = f"{prefix}conv1", stem_of(variant)
    stem = Slot(
        layer=1,
        kind="stem",
        path=stem_path,
        in_channels=3,
        out_channels=STEM_CHANNELS,
        stride=first.stride * (2 if first.pools else 1),
        fixed=True,
        convolutions=(Convolution(path=stem_path, in_channels=3, out_channels=STEM_CHANNELS, stride=first.stride),),
    )
    result, channels = [stem], STEM_CHANNELS
    kind = "bottleneck" if architecture.bottleneck else "basic_block"
    for stage, ((planes, first_stride), blocks) in enumerate(zip(STAGES, architecture.depths, strict=True), start=1):
        for block in range(blocks):
            path, stride = f"{prefix}layer{stage}.{block}", 1 if block else first_stride
            width, out = architecture.width(planes), planes * architecture.expansion
            unit = Place(name="block", path=f"{path}.conv2", channels=width) if architecture.bottleneck else None
            result.append(
                Slot(
                    layer=len(result) + 1,
                    kind=kind,
                    path=path,
                    in_channels=channels,
                    out_channels=out,
                    stride=stride,
                    places=(Place(name="block", path=f"{path}.attention", channels=out),),
                    convolution=unit,
                    convolutions=_convolutions(architecture, path, (channels, width, out), stride, variant),
                )
            )
            channels = out
    return tuple(result)


def _convolutions(
    architecture: Architecture, path: str, channels: tuple[int, int, int], stride: int, variant: str
) -> tuple[Convolution, ...]:
    into, width, out = channels
    main: tuple[Convolution, ...]
    if architecture.bottleneck:
        first, second = strides(stride, variant)
        main = (
            Convolution(path=f"{path}.conv1", in_channels=into, out_channels=width, stride=first),
            Convolution(
                path=f"{path}.conv2", in_channels=width, out_channels=width, before=first, stride=second, spatial=True
            ),
            Convolution(path=f"{path}.conv3", in_channels=width, out_channels=out, before=stride, last=True),
        )
    else:
        main = (
            Convolution(path=f"{path}.conv1", in_channels=into, out_channels=out, stride=stride),
            Convolution(
                path=f"{path}.conv2", in_channels=out, out_channels=out, before=stride, spatial=True, last=True
            ),
        )
    if into == out and stride == 1:
        return main
    return (*main, Convolution(path=f"{path}.downsample.0", in_channels=into, out_channels=out, stride=stride))


def strides(stride: int, variant: str) -> tuple[int, int]:
    """The strides of a bottleneck's first 1 x 1 convolution and of its 3 x 3."""
    return (stride, 1) if variant == "v1" else (1, stride)


def layers(spec: NetworkSpec) -> Iterator[LayerCost]:
    """The layers' costs: the numbered ones, then `pool` and `fc`."""
    x: Shape = spec.input_shape
    for layer in resnet_body_layers(spec, slots_of(spec), ""):
        x = layer.output
        yield layer
    pool = global_avg_pool_cost("avgpool", x)
    yield LayerCost(layer="pool", path="avgpool", kind="pool", cost=pool, output=pool.output)
    classifier = linear_cost("fc", x[:2], spec.classes)
    yield LayerCost(layer="fc", path="fc", kind="classifier", cost=classifier, output=classifier.output)


def resnet_body_layers(spec: NetworkSpec, numbered: tuple[Slot, ...], prefix: str) -> Iterator[LayerCost]:
    """The numbered layers' costs; `prefix` stands before the names of the stem's modules."""
    block = _bottleneck_cost if architecture_of(spec).bottleneck else _basic_block_cost
    return body_layers(spec, numbered, block=block, plain=lambda x, slot: _stem_cost(spec, prefix, x))


def architecture_of(spec: NetworkSpec) -> Architecture:
    """The architecture of a network, or of the body of one with a feature pyramid."""
    return ARCHITECTURES[spec.network.removesuffix("_fpn")]


def _stem_cost(spec: NetworkSpec, prefix: str, x: Shape) -> Cost:
    stem = stem_of(spec.variant)
    sizes: dict[str, Any] = {"kernel": stem.kernel, "stride": stem.stride, "padding": stem.kernel // 2}
    cost = conv2d_cost(f"{prefix}conv1", x, STEM_CHANNELS, **sizes)
    cost += batch_norm_cost(f"{prefix}bn1", cost.output)
    cost += relu_cost(f"{prefix}relu", cost.output)
    if not stem.pools:
        return cost
    return cost + max_pool2d_cost(f"{prefix}maxpool", cost.output, kernel=3, stride=2, padding=1)


def _bottleneck_cost(spec: NetworkSpec, attention: AttentionCosts, x: Shape, slot: Slot) -> Cost:
    path, label, out, architecture = slot.path, str(slot.layer), slot.out_channels, architecture_of(spec)
    width, block_input = architecture.width(out // architecture.expansion), x
    first_stride, second_stride = strides(slot.stride, spec.variant)
    cost = conv2d_cost(f"{path}.conv1", x, width, kernel=1, stride=first_stride)
    x = window_shape(x, width, first_stride)
    cost += batch_norm_cost(f"{path}.bn1", x) + relu_cost(f"{path}.relu", x)
    spatial = {"kernel": 3, "stride": second_stride, "groups": architecture.groups}
    unit = attention.instead(label, x, activation="relu", **spatial)
    y = window_shape(x, width, second_stride)
    if unit is None:
        unit = dense_conv_cost(spec, f"{path}.conv2", x, width, padding=1, **spatial)
        unit += batch_norm_cost(f"{path}.bn2", y) + relu_cost(f"{path}.relu", y)
    cost += unit + conv2d_cost(f"{path}.conv3", y, out, kernel=1)
    y = window_shape(y, out, 1)
    cost += batch_norm_cost(f"{path}.bn3", y) + attention.after(label, y)
    return cost + _shortcut_cost(slot, block_input, y)


def _basic_block_cost(spec: NetworkSpec, attention: AttentionCosts, x: Shape, slot: Slot) -> Cost:
    path, out = slot.path, slot.out_channels
    y = window_shape(x, out, slot.stride)
    cost = dense_conv_cost(spec, f"{path}.conv1", x, out, kernel=3, stride=slot.stride, padding=1)
    cost += batch_norm_cost(f"{path}.bn1", y) + relu_cost(f"{path}.relu", y)
    cost += dense_conv_cost(spec, f"{path}.conv2", y, out, kernel=3, padding=1)
    cost += batch_norm_cost(f"{path}.bn2", y) + attention.after(str(slot.layer), y)
    return cost + _shortcut_cost(slot, x, y)


def _shortcut_cost(slot: Slot, x: Shape, y: Shape) -> Cost:
    path, cost = slot.path, Cost()
    if not slot.keeps_shape:
        cost += conv2d_cost(f"{path}.downsample.0", x, slot.out_channels, kernel=1, stride=slot.stride)
        cost += batch_norm_cost(f"{path}.downsample.1", y)
    return cost + add_cost(path, y, y, y) + relu_cost(f"{path}.relu", y)


def _title(name: str) -> str:
    return name.replace("resnet", "ResNet").replace("resnext", "ResNeXt").replace("_", " ")


NETWORKS = {
    name: Network(
        name=name,
        title=_title(name),
        source="Xie et al., CVPR 2017, Table 1" if architecture.groups > 1 else "He et al., CVPR 2016, Table 1",
        slots=slots,
        layers=layers,
        variants=(*VARIANTS, SMALL) if architecture.bottleneck else (),
        connections=("dca", "aw") if architecture.groups == 1 else ("dca",),  # AW-convolutions are in one group
    )
    for name, architecture in ARCHITECTURES.items()
}
