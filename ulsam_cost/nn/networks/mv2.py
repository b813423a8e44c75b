"""MobileNetV2 as a module, its parameters named as torchvision's."""

from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from ulsam_cost.formulas.networks import NetworkSpec, slots_of
from ulsam_cost.formulas.networks.mv2 import expansion
from ulsam_cost.nn.connections.dca import Passed
from ulsam_cost.nn.networks.blocks import conv_norm, initialize, place
from ulsam_cost.nn.networks.sites import AttentionModules, attend, dense_conv, is_connected, run, run_one
from ulsam_cost.placement import Slot, arrange


class ResidualBlock(nn.Module):
    """An inverted residual: expand, depthwise 3 x 3, project; the input is added where the shape is kept."""

    def __init__(self, spec: NetworkSpec, attention: AttentionModules, slot: Slot) -> None:
        super().__init__()
        hidden, label = slot.in_channels * expansion(slot.layer), str(slot.layer)
        convolution = {"kernel": 3, "stride": slot.stride, "groups": hidden}
        unit = attention.instead(label, activation="relu6", **convolution)
        layers: list[nn.Module] = []
        if hidden != slot.in_channels:
            layers.append(conv_norm(slot.in_channels, hidden, nn.ReLU6, kernel=1))
        layers.append(unit or conv_norm(hidden, hidden, nn.ReLU6, **convolution))
        layers.append(dense_conv(spec, hidden, slot.out_channels, 1, bias=False))
        layers.append(nn.BatchNorm2d(slot.out_channels))
        self.conv = nn.Sequential(*layers)
        self.attention = attention.after(label)
        self.residual = slot.keeps_shape
        self.connected = is_connected(unit) or is_connected(self.attention)

    def forward(self, x: Tensor, passed: Passed = None) -> Any:
        """[n, c, h, w] -> [n, out, h / stride, w / stride], and what to pass on if it is connected."""
        result, passed = run_one(self.conv, x, passed)
        result, passed = attend(self.attention, result, passed)
        result = x + result if self.residual else result
        return (result, passed) if self.connected else result


class MobileNetV2(nn.Module):
    """MobileNetV2 with attention where the spec places it.

    Source: Sandler et al., CVPR 2018; layers as in Saini et al., WACV 2020, Table 5.
    """

    features: nn.Sequential

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        attention = AttentionModules(spec)
        *body, classifier = arrange(spec.network, slots_of(spec), spec.placement)
        for step in body:
            slot = step.slot
            if step.attends:
                module = attention.layer(step)
            elif slot.kind == "residual_block":
                module = ResidualBlock(spec, attention, slot)
            else:
                kernel = 3 if slot.kind == "stem" else 1
                module = conv_norm(slot.in_channels, slot.out_channels, nn.ReLU6, kernel=kernel, stride=slot.stride)
            place(self, step.path(spec.at(step.label).attention), module)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(classifier.slot.in_channels, spec.classes))
        initialize(self, spec)

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w] -> [n, classes]."""
        pooled = F.adaptive_avg_pool2d(run(self.features, x), (1, 1))
        return self.classifier(pooled.flatten(1))  # type: ignore[no-any-return]


MODULE = MobileNetV2
