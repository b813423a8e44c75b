"""MobileNetV3 and EfficientNet-B0, derived: inverted residuals with squeeze and excitation inside.

Source: Howard et al., ICCV 2019, Tables 1 and 2; Tan and Le, ICML 2019, Table 1; modules named as in torchvision.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from ulsam_cost.cost import Cost
from ulsam_cost.formulas.layers import (
    activation_cost,
    add_cost,
    batch_norm_cost,
    conv2d_cost,
    global_avg_pool_cost,
    linear_cost,
    multiply_cost,
)
from ulsam_cost.formulas.networks.blocks import Activation, conv_norm_cost, inverted_residual, window_shape
from ulsam_cost.formulas.networks.mv2 import scaled
from ulsam_cost.formulas.networks.sites import AttentionCosts
from ulsam_cost.formulas.networks.spec import LayerCost, Network, NetworkSpec, slots_of
from ulsam_cost.formulas.networks.walk import body_layers
from ulsam_cost.operations import Shape
from ulsam_cost.placement import Convolution, Place, Slot

MODULES = {"relu": "ReLU", "hardswish": "Hardswish", "silu": "SiLU", "hardsigmoid": "Hardsigmoid", "sigmoid": "Sigmoid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Block:
    """An inverted residual: its kernel, its widths, the stride, SE's width (0 for none), the activations."""

    kernel: int
    into: int
    hidden: int
    out: int
    stride: int
    squeeze: int
    activation: str
    squeeze_activation: str
    gate: str

    def parts(self, path: str) -> dict[str, str]:
        """The paths of its parts, those that it has."""
        names = ["expand"] * (self.hidden != self.into) + ["depthwise"] + ["squeeze"] * bool(self.squeeze) + ["project"]
        return {name: f"{path}.block.{place}" for place, name in enumerate(names)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Architecture:
    """A member of the family: stem, blocks, head, and the widths of the classifier's hidden layers."""

    stem: int
    activation: str
    blocks: dict[str, Block]  # by path
    head: int
    hidden: int = 0  # of the classifier; 0 for none


def _mobilenet_v3(rows: str, hidden: int) -> Architecture:
    blocks: dict[str, Block] = {}
    into = 16
    for row in rows.split(","):
        kernel, expanded, out, squeezes, activation, stride = row.split()
        width = int(expanded)
        block = Block(
            kernel=int(kernel),
            into=into,
            hidden=width,
            out=int(out),
            stride=int(stride),
            squeeze=scaled(width // 4, 1) if squeezes == "se" else 0,
            activation={"RE": "relu", "HS": "hardswish"}[activation],
            squeeze_activation="relu",
            gate="hardsigmoid",
        )
        blocks[f"features.{len(blocks) + 1}"] = block
        into = block.out
    return Architecture(stem=16, activation="hardswish", blocks=blocks, head=6 * into, hidden=hidden)


def _efficientnet(rows: str) -> Architecture:
    blocks: dict[str, Block] = {}
    into = 32
    for stage, row in enumerate(rows.split(","), start=1):
        expansion, kernel, first_stride, out, repeats = map(int, row.split())
        for place in range(repeats):
            blocks[f"features.{stage}.{place}"] = Block(
                kernel=kernel,
                into=into,
                hidden=into * expansion,
                out=out,
                stride=1 if place else first_stride,
                squeeze=into // 4,
                activation="silu",
                squeeze_activation="silu",
                gate="sigmoid",
            )
            into = out
    return Architecture(stem=32, activation="silu", blocks=blocks, head=4 * into)


# kernel, expanded channels, channels, squeeze and excitation, activation, stride of each block
_LARGE = (
    "3 16 16 - RE 1,3 64 24 - RE 2,3 72 24 - RE 1,5 72 40 se RE 2,5 120 40 se RE 1,5 120 40 se RE 1,3 240 80 - HS 2,"
    "3 200 80 - HS 1,3 184 80 - HS 1,3 184 80 - HS 1,3 480 112 se HS 1,3 672 112 se HS 1,5 672 160 se HS 2,"
    "5 960 160 se HS 1,5 960 160 se HS 1"
)
_SMALL = (
    "3 16 16 se RE 2,3 72 24 - RE 2,3 88 24 - RE 1,5 96 40 se HS 2,5 240 40 se HS 1,5 240 40 se HS 1,5 120 48 se HS 1,"
    "5 144 48 se HS 1,5 288 96 se HS 2,5 576 96 se HS 1,5 576 96 se HS 1"
)
# expansion, kernel, stride of the first, channels, blocks of each stage
_B0 = "1 3 1 16 1,6 3 2 24 2,6 5 2 40 2,6 3 2 80 3,6 5 1 112 3,6 5 2 192 4,6 3 1 320 1"
ARCHITECTURES = {
    "mobilenet_v3_large": _mobilenet_v3(_LARGE, 1280),
    "mobilenet_v3_small": _mobilenet_v3(_SMALL, 1024),
    "efficientnet_b0": _efficientnet(_B0),
}


def slots(spec: NetworkSpec) -> tuple[Slot, ...]:
    """Layer 1, the stem; the blocks from layer 2 on; the last 1 x 1 convolution; the classifier."""
    architecture = ARCHITECTURES[spec.network]
    result = [_conv_slot(1, "stem", "features.0", 3, architecture.stem, stride=2)]
    for path, block in architecture.blocks.items():
        parts = block.parts(path)
        paths = [f"{parts[name]}.0" if name in parts else "" for name in ("expand", "depthwise", "project")]
        result.append(
            Slot(
                layer=len(result) + 1,
                kind="residual_block",
                path=path,
                in_channels=block.into,
                out_channels=block.out,
                stride=block.stride,
                places=(Place(name="block", path=f"{path}.attention", channels=block.out),),
                convolution=Place(name="block", path=parts["depthwise"], channels=block.hidden),
                convolutions=inverted_residual(paths, block.into, block.hidden, block.out, block.stride),
                block=block,
            )
        )
    last, layer = result[-1], len(result) + 1
    head_path = f"features.{int(last.path.split('.')[1]) + 1}"
    result.append(_conv_slot(layer, "conv", head_path, last.out_channels, architecture.head))
    result.append(
        Slot(
            layer=layer + 1,
            kind="classifier",
            path="classifier",
            in_channels=architecture.head,
            out_channels=spec.classes,
            fixed=True,
        )
    )
    return tuple(result)


def _conv_slot(layer: int, kind: str, path: str, into: int, out: int, *, stride: int = 1) -> Slot:
    convolution = Convolution(path=f"{path}.0", in_channels=into, out_channels=out, stride=stride)
    return Slot(
        layer=layer,
        kind=kind,
        path=path,
        in_channels=into,
        out_channels=out,
        stride=stride,
        fixed=kind == "stem",
        convolutions=(convolution,),
    )


def layers(spec: NetworkSpec) -> Iterator[LayerCost]:
    """The layers' costs: the numbered ones, `pool`, and the classifier."""
    architecture, numbered = ARCHITECTURES[spec.network], slots_of(spec)
    activation, x = _activation(architecture.activation), spec.input_shape

    def plain(x: Shape, slot: Slot) -> Cost:
        kernel = 3 if slot.kind == "stem" else 1
        return conv_norm_cost(slot.path, x, slot.out_channels, activation, kernel=kernel, stride=slot.stride)

    for layer in body_layers(spec, numbered, block=_block_cost, plain=plain):
        x = layer.output
        yield layer
    pool, last = global_avg_pool_cost("avgpool", x), numbered[-1]
    yield LayerCost(layer="pool", path="avgpool", kind="pool", cost=pool, output=pool.output)
    vector: Shape = x[:2]
    cost, place = Cost(), 1  # after the dropout
    if architecture.hidden:
        cost += linear_cost("classifier.0", vector, architecture.hidden)
        vector, place = cost.output, 3
        cost += _activation(architecture.activation)("classifier.1", vector)
    cost += linear_cost(f"classifier.{place}", vector, spec.classes)
    yield LayerCost(layer=str(last.layer), path=last.path, kind=last.kind, cost=cost, output=cost.output)


def _activation(operator: str) -> Activation:
    return lambda path, x: activation_cost(path, x, operator, module=MODULES[operator])


def _block_cost(spec: NetworkSpec, attention: AttentionCosts, x: Shape, slot: Slot) -> Cost:
    block, label = slot.block, str(slot.layer)
    parts, activation, cost = block.parts(slot.path), _activation(block.activation), Cost()
    if "expand" in parts:
        cost += conv_norm_cost(parts["expand"], x, block.hidden, activation, kernel=1)
    expanded = window_shape(x, block.hidden, 1)
    depthwise = {"kernel": block.kernel, "stride": block.stride, "groups": block.hidden}
    cost += attention.instead(label, expanded, activation=block.activation, **depthwise) or conv_norm_cost(
        parts["depthwise"], expanded, block.hidden, activation, **depthwise
    )
    y = window_shape(x, block.hidden, block.stride)
    if "squeeze" in parts:
        cost += _squeeze_cost(block, y).scoped(parts["squeeze"])
    cost += conv2d_cost(f"{parts['project']}.0", y, block.out, kernel=1)
    y = window_shape(y, block.out, 1)
    cost += batch_norm_cost(f"{parts['project']}.1", y) + attention.after(label, y)
    return cost + add_cost(slot.path, y, y, y) if slot.keeps_shape else cost


def _squeeze_cost(block: Block, x: Shape) -> Cost:
    cost = global_avg_pool_cost("avgpool", x)
    cost += conv2d_cost("fc1", cost.output, block.squeeze, kernel=1, bias=True)
    cost += _activation(block.squeeze_activation)("activation", cost.output)
    cost += conv2d_cost("fc2", cost.output, block.hidden, kernel=1, bias=True)
    cost += _activation(block.gate)("scale_activation", cost.output)
    return cost + multiply_cost("", x, cost.output, x)


NETWORKS = {
    name: Network(
        name=name,
        title=title,
        source=source,
        slots=slots,
        layers=layers,
        connections=("dca",),
    )
    for name, title, source in (
        ("mobilenet_v3_large", "MobileNetV3 large", "Howard et al., ICCV 2019, Table 1"),
        ("mobilenet_v3_small", "MobileNetV3 small", "Howard et al., ICCV 2019, Table 2"),
        ("efficientnet_b0", "EfficientNet-B0", "Tan and Le, ICML 2019, Table 1"),
    )
}
