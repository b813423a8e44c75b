"""MobileNetV1 as a module."""

from typing import Any

from torch import Tensor, nn

from ulsam_cost.formulas.networks import NetworkSpec, slots_of
from ulsam_cost.nn.connections.dca import Passed
from ulsam_cost.nn.networks.blocks import conv_norm, initialize, place
from ulsam_cost.nn.networks.sites import AttentionModules, attend, dense_conv, is_connected, run
from ulsam_cost.placement import Slot, arrange


class DepthwiseSeparable(nn.Module):
    """A depthwise 3 x 3 convolution, then a pointwise one, each with batch norm and ReLU."""

    def __init__(self, spec: NetworkSpec, attention: AttentionModules, slot: Slot) -> None:
        super().__init__()
        c, out = slot.in_channels, slot.out_channels
        convolution = {"kernel": 3, "stride": slot.stride, "groups": c}
        unit = attention.instead(f"{slot.layer} depthwise", activation="relu", **convolution)
        self.depthwise = unit or conv_norm(c, c, nn.ReLU, **convolution)
        self.depthwise_attention = attention.after(f"{slot.layer} depthwise")
        self.pointwise = nn.Sequential(dense_conv(spec, c, out, 1, bias=False), nn.BatchNorm2d(out), nn.ReLU())
        self.pointwise_attention = attention.after(f"{slot.layer} pointwise")
        self.connected = any(map(is_connected, (unit, self.depthwise_attention, self.pointwise_attention)))

    def forward(self, x: Tensor, passed: Passed = None) -> Any:
        """[n, c, h, w] -> [n, out, h / stride, w / stride], and what to pass on if it is connected."""
        x, passed = attend(self.depthwise, x, passed)
        x, passed = attend(self.depthwise_attention, x, passed)
        x, passed = attend(self.pointwise_attention, self.pointwise(x), passed)
        return (x, passed) if self.connected else x


class MobileNetV1(nn.Module):
    """MobileNetV1 with attention where the spec places it.

    Source: Howard et al., 2017; layers as in Saini et al., WACV 2020, Table 3.
    """

    features: nn.Sequential

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        numbered, attention = slots_of(spec), AttentionModules(spec)
        for step in arrange(spec.network, numbered, spec.placement):
            slot = step.slot
            if step.attends:
                module = attention.layer(step)
            elif slot.kind == "stem":
                module = conv_norm(slot.in_channels, slot.out_channels, nn.ReLU, kernel=3, stride=slot.stride)
            else:
                module = DepthwiseSeparable(spec, attention, slot)
            place(self, step.path(spec.at(step.label).attention), module)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(numbered[-1].out_channels, spec.classes)
        initialize(self, spec)

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w] -> [n, classes]."""
        return self.classifier(self.pool(run(self.features, x)).flatten(1))  # type: ignore[no-any-return]


MODULE = MobileNetV1
