"""ResNet101 with a feature pyramid, derived: what a detector's backbone costs.

Source: Lin et al., CVPR 2017; attention as in Zhu et al., ICANN 2021, Section 4.2: the lateral and the output
convolutions are AW-convolutions, SE or CBAM stands right before each. Modules named as in torchvision's detectors.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import product

from ulsam_cost.cost import Cost
from ulsam_cost.errors import PlacementError
from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.formulas.layers import add_cost, interpolate_cost, max_pool2d_cost
from ulsam_cost.formulas.networks.blocks import dense_conv_cost, window_shape
from ulsam_cost.formulas.networks.resnet import STAGES, VARIANTS, architecture_of, body_slots, resnet_body_layers
from ulsam_cost.formulas.networks.sites import AttentionCosts, Site
from ulsam_cost.formulas.networks.spec import NO_ATTENTION, LayerCost, Network, NetworkSpec, slots_of
from ulsam_cost.operations import Shape
from ulsam_cost.placement import Slot

BODY = "body."
EXPANSION = 4  # of the body's bottlenecks
CHANNELS = 256
FINEST = 2  # the level of the first stage, of stride 2 ** 2
LEVELS = tuple(range(len(STAGES)))
# what the pyramid's convolutions are called, here and in torchvision
PARTS = {"lateral": "inner_blocks", "output": "layer_blocks"}


def slots(spec: NetworkSpec) -> tuple[Slot, ...]:
    """The layers of the body, numbered as ResNet101's."""
    return body_slots(architecture_of(spec), spec.variant, BODY)


def body_spec(spec: NetworkSpec) -> NetworkSpec:
    """The body by itself: attention at positions stands there, that of the pyramid does not."""
    attention = spec.attention if spec.placement else NO_ATTENTION
    return replace(spec, sites="", attention=attention, connection="", connection_options=())


def level_channels(level: int) -> int:
    """Channels of a stage's output."""
    return STAGES[level][0] * EXPANSION


def site_label(part: str, level: int) -> str:
    """What a site of the pyramid is called: `lateral 2`, `output 5`."""
    return f"{part} {level + FINEST}"


def pyramid_sites(spec: NetworkSpec) -> Mapping[str, Site]:
    """The sites before the lateral and the output convolutions."""
    found: dict[str, Site] = {}
    for level, part in product(LEVELS if spec.sites == "pyramid" else (), PARTS):
        label, channels = site_label(part, level), level_channels(level) if part == "lateral" else CHANNELS
        if get_mechanism(spec.attention).places.where in ("unit", "instead"):
            raise PlacementError(
                f"{spec.attention} at {label} of {spec.network}: it replaces the spatial convolution of a block, "
                f"and there is none; another network is accepted"
            )
        found[label] = Site(
            label=label,
            path=f"fpn.{PARTS[part]}.{level}.attention",
            channels=channels,
            stride=2 ** (level + FINEST),
            previous=channels,
            shrink=1,
        )
    return found


def layers(spec: NetworkSpec) -> Iterator[LayerCost]:
    """The body's layers, the pyramid's from the coarsest level down, and the pool on top of it."""
    maps: dict[int, Shape] = {}
    for layer in resnet_body_layers(body_spec(spec), slots_of(spec), BODY):
        maps[layer.output[1]] = layer.output
        yield layer
    attention, coarsest = AttentionCosts(spec), LEVELS[-1]
    above: Shape = ()
    for level in reversed(LEVELS):
        x = maps[level_channels(level)]
        y = window_shape(x, CHANNELS, 1)
        lateral = _conv_cost(spec, attention, "lateral", level, x)
        if level != coarsest:
            lateral += interpolate_cost(f"fpn.merges.{level}", above, y) + add_cost(f"fpn.merges.{level}", y, y, y)
        yield _layer("lateral", level, lateral, y)
        yield _layer("output", level, _conv_cost(spec, attention, "output", level, y), y)
        above = y
    pool = max_pool2d_cost("fpn.pool", window_shape(maps[level_channels(coarsest)], CHANNELS, 1), kernel=1, stride=2)
    yield LayerCost(layer="pool", path="fpn.pool", kind="pool", cost=pool, output=pool.output)


def _conv_cost(spec: NetworkSpec, attention: AttentionCosts, part: str, level: int, x: Shape) -> Cost:
    path, kernel = f"fpn.{PARTS[part]}.{level}.0", 1 if part == "lateral" else 3
    conv = dense_conv_cost(spec, path, x, CHANNELS, kernel=kernel, padding=kernel // 2, bias=True)
    return attention.after(site_label(part, level), x) + conv


def _layer(part: str, level: int, cost: Cost, output: Shape) -> LayerCost:
    path = f"fpn.{PARTS[part]}.{level}"
    return LayerCost(layer=site_label(part, level), path=path, kind=part, cost=cost, output=output)


NETWORKS = {
    "resnet101_fpn": Network(
        name="resnet101_fpn",
        title="ResNet101-FPN",
        source="Lin et al., CVPR 2017, Section 3",
        slots=slots,
        layers=layers,
        variants=VARIANTS,
        sites=("pyramid",),
        in_blocks=False,
        beyond=pyramid_sites,
        classifies=False,
        connections=("aw",),
    )
}
