"""MobileNetV1, derived.

Source: Howard et al., 2017; layers numbered as in Saini et al., WACV 2020, Table 3.
"""

from collections.abc import Iterator

from ulsam_cost.cost import Cost
from ulsam_cost.errors import SizeError
from ulsam_cost.formulas.layers import batch_norm_cost, global_avg_pool_cost, linear_cost, relu_cost
from ulsam_cost.formulas.networks.blocks import conv_norm_cost, dense_conv_cost, window_shape
from ulsam_cost.formulas.networks.sites import AttentionCosts
from ulsam_cost.formulas.networks.spec import LayerCost, Network, NetworkSpec, slots_of
from ulsam_cost.formulas.networks.walk import body_layers
from ulsam_cost.operations import Shape
from ulsam_cost.placement import Convolution, Place, Slot

STEM_CHANNELS = 32
# (output channels, stride) of layers 2 to 14
BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *((512, 1),) * 5, (1024, 2), (1024, 1))


def scaled(channels: int, width: float) -> int:
    """Channels under the width multiplier: int(width c).

    Raises:
        SizeError: if none is left.
    """
    if (result := int(width * channels)) < 1:
        raise SizeError(f"width {width:g} leaves no channel of {channels}: {1 / STEM_CHANNELS:g} or more is accepted")
    return result


def slots(spec: NetworkSpec) -> tuple[Slot, ...]:
    """Layer 1, the stem, and layers 2 to 14, the depthwise-separable blocks."""
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
    for layer, (width, stride) in enumerate(BLOCKS, start=2):
        out_channels, path = scaled(width, spec.width), f"features.{layer - 1}"
        result.append(
            Slot(
                layer=layer,
                kind="depthwise_separable",
                path=path,
                in_channels=channels,
                out_channels=out_channels,
                stride=stride,
                places=(
                    Place(name="depthwise", path=f"{path}.depthwise_attention", channels=channels),
                    Place(name="pointwise", path=f"{path}.pointwise_attention", channels=out_channels),
                ),
                convolution=Place(name="depthwise", path=f"{path}.depthwise", channels=channels),
                convolutions=(
                    Convolution(
                        path=f"{path}.depthwise.0",
                        in_channels=channels,
                        out_channels=channels,
                        stride=stride,
                        spatial=True,
                    ),
                    Convolution(
                        path=f"{path}.pointwise.0",
                        in_channels=channels,
                        out_channels=out_channels,
                        before=stride,
                        last=True,
                    ),
                ),
            )
        )
        channels = out_channels
    return tuple(result)


def layers(spec: NetworkSpec) -> Iterator[LayerCost]:
    """The layers' costs: the numbered ones, then `pool` and `fc`."""
    x: Shape = spec.input_shape
    for layer in body_layers(spec, slots_of(spec), block=_block_cost, plain=_stem_cost):
        x = layer.output
        yield layer
    pool = global_avg_pool_cost("pool", x)
    yield LayerCost(layer="pool", path="pool", kind="pool", cost=pool, output=pool.output)
    classifier = linear_cost("classifier", x[:2], spec.classes)
    yield LayerCost(layer="fc", path="classifier", kind="classifier", cost=classifier, output=classifier.output)


def _stem_cost(x: Shape, slot: Slot) -> Cost:
    return conv_norm_cost(slot.path, x, slot.out_channels, relu_cost, kernel=3, stride=slot.stride)


def _block_cost(spec: NetworkSpec, attention: AttentionCosts, x: Shape, slot: Slot) -> Cost:
    path, c, label = slot.path, slot.in_channels, f"{slot.layer} depthwise"
    depthwise = {"kernel": 3, "stride": slot.stride, "groups": c}
    cost = attention.instead(label, x, activation="relu", **depthwise) or conv_norm_cost(
        f"{path}.depthwise", x, c, relu_cost, **depthwise
    )
    x = window_shape(x, c, slot.stride)
    cost += attention.after(label, x)
    cost += dense_conv_cost(spec, f"{path}.pointwise.0", x, slot.out_channels, kernel=1)
    x = window_shape(x, slot.out_channels, 1)
    cost += batch_norm_cost(f"{path}.pointwise.1", x) + relu_cost(f"{path}.pointwise.2", x)
    return cost + attention.after(f"{slot.layer} pointwise", x)


NETWORKS = {
    "mv1": Network(
        name="mv1",
        title="MobileNetV1",
        source="Saini et al., WACV 2020, Table 3",
        slots=slots,
        layers=layers,
        sites=("both", "depthwise", "pointwise"),
        by_positions=("ulsam",),
        scales=True,
    )
}
