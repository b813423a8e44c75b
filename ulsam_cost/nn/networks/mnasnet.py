"""MnasNet 1.0 as a module, its parameters named as torchvision's."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn

from ulsam_cost.formulas.networks import NetworkSpec, slots_of
from ulsam_cost.formulas.networks.mnasnet import stack_of
from ulsam_cost.nn.connections.dca import Passed
from ulsam_cost.nn.networks.blocks import initialize, place
from ulsam_cost.nn.networks.sites import AttentionModules, attend, dense_conv, is_connected, run, run_one
from ulsam_cost.placement import Slot, arrange

NORM_MOMENTUM = 3e-4


def _conv_norm(
    in_channels: int, out_channels: int, *, kernel: int, stride: int = 1, groups: int = 1
) -> Iterator[nn.Module]:
    yield nn.Conv2d(in_channels, out_channels, kernel, stride, kernel // 2, groups=groups, bias=False)
    yield _norm(out_channels)


def _norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, momentum=NORM_MOMENTUM)


def _conv_norm_relu(
    in_channels: int, out_channels: int, *, kernel: int, stride: int = 1, groups: int = 1
) -> Iterator[nn.Module]:
    yield from _conv_norm(in_channels, out_channels, kernel=kernel, stride=stride, groups=groups)
    yield nn.ReLU(inplace=True)


class ResidualBlock(nn.Module):
    """An inverted residual: expand, depthwise, project; the input is added where the shape is kept."""

    def __init__(self, spec: NetworkSpec, attention: AttentionModules, slot: Slot) -> None:
        super().__init__()
        expansion, kernel = stack_of(slot)
        hidden, label = slot.in_channels * expansion, str(slot.layer)
        convolution = {"kernel": kernel, "stride": slot.stride, "groups": hidden}
        unit = attention.instead(label, activation="relu", **convolution)
        modules: list[nn.Module | None] = [*_conv_norm_relu(slot.in_channels, hidden, kernel=1)]
        modules += [unit, None, None] if unit else _conv_norm_relu(hidden, hidden, **convolution)
        modules += [dense_conv(spec, hidden, slot.out_channels, 1, bias=False), _norm(slot.out_channels)]
        self.layers = nn.Sequential(OrderedDict((str(i), module) for i, module in enumerate(modules) if module))
        self.attention = attention.after(label)
        self.residual = slot.keeps_shape
        self.connected = is_connected(unit) or is_connected(self.attention)

    def forward(self, x: Tensor, passed: Passed = None) -> Any:
        """[n, c, h, w] -> [n, out, h / stride, w / stride], and what to pass on if it is connected."""
        result, passed = run_one(self.layers, x, passed)
        result, passed = attend(self.attention, result, passed)
        result = result + x if self.residual else result
        return (result, passed) if self.connected else result


class MnasNet(nn.Module):
    """MnasNet with attention where the spec places it.

    Source: Tan et al., CVPR 2019, Figure 7.
    """

    layers: nn.Sequential

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        attention = AttentionModules(spec)
        *body, classifier = arrange(spec.network, slots_of(spec), spec.placement)
        for step in body:
            container, _, name = step.path(spec.at(step.label).attention).rpartition(".")
            if step.attends:
                place(self, f"{container}.{name}", attention.layer(step))
            elif step.slot.kind == "residual_block":
                place(self, f"{container}.{name}", ResidualBlock(spec, attention, step.slot))
            else:
                for index, module in enumerate(_conv_layer(step.slot), start=int(name)):
                    place(self, f"{container}.{index}", module)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(classifier.slot.in_channels, spec.classes))
        initialize(self, spec)

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w] -> [n, classes]."""
        return self.classifier(run(self.layers, x).mean((2, 3)))  # type: ignore[no-any-return]


def _conv_layer(slot: Slot) -> Iterator[nn.Module]:
    c, out = slot.in_channels, slot.out_channels
    if slot.kind == "separable":
        yield from _conv_norm_relu(c, c, kernel=3, groups=c)
        yield from _conv_norm(c, out, kernel=1)
    else:
        yield from _conv_norm_relu(c, out, kernel=3 if slot.kind == "stem" else 1, stride=slot.stride)


MODULE = MnasNet
