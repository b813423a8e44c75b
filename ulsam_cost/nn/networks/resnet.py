"""ResNet 50, 101 and 152 as modules, their parameters named as torchvision's."""

from torch import Tensor, nn

from ulsam_cost.formulas.networks import NetworkSpec
from ulsam_cost.formulas.networks.resnet import EXPANSION, STEM_CHANNELS, slots, strides
from ulsam_cost.nn.networks import attention_module
from ulsam_cost.nn.networks.blocks import initialize, place
from ulsam_cost.placement import Slot, arrange


class Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions around a shortcut; variant `v1.5` has its stride in the 3 x 3."""

    def __init__(self, slot: Slot, variant: str) -> None:
        super().__init__()
        planes, out = slot.out_channels // EXPANSION, slot.out_channels
        first_stride, second_stride = strides(slot, variant)
        self.conv1 = nn.Conv2d(slot.in_channels, planes, 1, first_stride, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = nn.Conv2d(planes, planes, 3, second_stride, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Module | None = None
        if not slot.keeps_shape:
            shortcut = nn.Conv2d(slot.in_channels, out, 1, slot.stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(out))

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> [n, out, h / stride, w / stride]."""
        result = self.relu(self.bn1(self.conv1(x)))
        result = self.relu(self.bn2(self.conv2(result)))
        result = self.bn3(self.conv3(result))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.relu(result + shortcut)  # type: ignore[no-any-return]


class ResNet(nn.Module):
    """A ResNet of bottlenecks with attention where the spec places it.

    Source: He et al., CVPR 2016, Table 1.
    """

    layer1: nn.Sequential
    layer2: nn.Sequential
    layer3: nn.Sequential
    layer4: nn.Sequential

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        numbered = slots(spec)
        for step in arrange(spec.network, numbered, spec.placement)[1:]:
            module = attention_module(spec, step) if step.attends else Bottleneck(step.slot, spec.variant)
            place(self, step.path(spec.attention), module)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(numbered[-1].out_channels, spec.classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w] -> [n, classes]."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
        return self.fc(self.avgpool(x).flatten(1))  # type: ignore[no-any-return]


MODULE = ResNet
