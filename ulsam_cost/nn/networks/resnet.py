"""ResNet 50, 101 and 152 as modules, their parameters named as torchvision's."""

from typing import Any

from torch import Tensor, nn

from ulsam_cost.formulas.networks import NetworkSpec, slots_of
from ulsam_cost.formulas.networks.resnet import STEM_CHANNELS, architecture_of, stem_of, strides
from ulsam_cost.nn.connections.dca import Passed
from ulsam_cost.nn.networks.blocks import initialize, place
from ulsam_cost.nn.networks.sites import AttentionModules, attend, dense_conv, is_connected, run_one
from ulsam_cost.placement import Slot, arrange


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions around a shortcut; variant `v1.5` has its stride in the 3 x 3."""

    def __init__(self, spec: NetworkSpec, attention: AttentionModules, slot: Slot) -> None:
        super().__init__()
        architecture, out, label = architecture_of(spec), slot.out_channels, str(slot.layer)
        width = architecture.width(out // architecture.expansion)
        first_stride, second_stride = strides(slot.stride, spec.variant)
        self.conv1 = nn.Conv2d(slot.in_channels, width, 1, first_stride, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        spatial = {"stride": second_stride, "groups": architecture.groups}
        unit = attention.instead(label, kernel=3, activation="relu", **spatial)
        self.conv2 = unit or dense_conv(spec, width, width, 3, padding=1, bias=False, **spatial)
        self.bn2 = nn.BatchNorm2d(width) if unit is None else None
        self.conv3 = nn.Conv2d(width, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.attention = attention.after(label)
        self.connected = is_connected(unit) or is_connected(self.attention)
        self.downsample = _downsample(slot)

    def forward(self, x: Tensor, passed: Passed = None) -> Any:
        """[n, c, h, w] -> [n, out, h / stride, w / stride], and what to pass on if it is connected."""
        result = self.relu(self.bn1(self.conv1(x)))
        result, passed = attend(self.conv2, result, passed)
        result = result if self.bn2 is None else self.relu(self.bn2(result))
        result, passed = attend(self.attention, self.bn3(self.conv3(result)), passed)
        shortcut = x if self.downsample is None else self.downsample(x)
        result = self.relu(result + shortcut)
        return (result, passed) if self.connected else result


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions around a shortcut."""

    def __init__(self, spec: NetworkSpec, attention: AttentionModules, slot: Slot) -> None:
        super().__init__()
        out = slot.out_channels
        self.conv1 = dense_conv(spec, slot.in_channels, out, 3, stride=slot.stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = dense_conv(spec, out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.attention = attention.after(str(slot.layer))
        self.connected = is_connected(self.attention)
        self.downsample = _downsample(slot)

    def forward(self, x: Tensor, passed: Passed = None) -> Any:
        """[n, c, h, w] -> [n, out, h / stride, w / stride], and what to pass on if it is connected."""
        result = self.relu(self.bn1(self.conv1(x)))
        result, passed = attend(self.attention, self.bn2(self.conv2(result)), passed)
        shortcut = x if self.downsample is None else self.downsample(x)
        result = self.relu(result + shortcut)
        return (result, passed) if self.connected else result


def _downsample(slot: Slot) -> nn.Sequential | None:
    if slot.keeps_shape:
        return None
    shortcut = nn.Conv2d(slot.in_channels, slot.out_channels, 1, slot.stride, bias=False)
    return nn.Sequential(shortcut, nn.BatchNorm2d(slot.out_channels))


class Body(nn.Module):
    """The stem and the stages of a ResNet, with attention where the spec places it."""

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(self, spec: NetworkSpec, numbered: tuple[Slot, ...], prefix: str) -> None:
        super().__init__()
        attention = AttentionModules(spec)
        block = Bottleneck if architecture_of(spec).bottleneck else BasicBlock
        stem = stem_of(spec.variant)
        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, stem.kernel, stem.stride, stem.kernel // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1) if stem.pools else None
        for step in arrange(spec.network, numbered, spec.placement)[1:]:
            module = attention.layer(step) if step.attends else block(spec, attention, step.slot)
            place(self, step.path(spec.at(step.label).attention).removeprefix(prefix), module)

    def stages(self, x: Tensor) -> list[Tensor]:
        """[n, 3, h, w] -> each stage's map, at strides 4, 8, 16 and 32."""
        x, passed, maps = self.relu(self.bn1(self.conv1(x))), None, []
        x = x if self.maxpool is None else self.maxpool(x)
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x, passed = run_one(stage, x, passed)
            maps.append(x)
        return maps


class ResNet(Body):
    """A ResNet or ResNeXt with attention where the spec places it.

    Source: He et al., CVPR 2016, Table 1; Xie et al., CVPR 2017, Table 1.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        numbered = slots_of(spec)
        super().__init__(spec, numbered, "")
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(numbered[-1].out_channels, spec.classes)
        initialize(self, spec)

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w] -> [n, classes]."""
        return self.fc(self.avgpool(self.stages(x)[-1]).flatten(1))  # type: ignore[no-any-return]


MODULE = ResNet
