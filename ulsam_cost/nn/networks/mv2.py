"""MobileNetV2 as a module, its parameters named as torchvision's."""

from torch import Tensor, nn
from torch.nn import functional as F

from ulsam_cost.formulas.networks import NetworkSpec
from ulsam_cost.formulas.networks.mv2 import expansion, slots
from ulsam_cost.nn.networks import attention_module
from ulsam_cost.nn.networks.blocks import conv_norm, initialize, place
from ulsam_cost.placement import Slot, arrange


class ResidualBlock(nn.Module):
    """An inverted residual: expand, depthwise 3 x 3, project; the input is added where the shape is kept."""

    def __init__(self, slot: Slot) -> None:
        super().__init__()
        hidden = slot.in_channels * expansion(slot.layer)
        layers: list[nn.Module] = []
        if hidden != slot.in_channels:
            layers.append(conv_norm(slot.in_channels, hidden, nn.ReLU6, kernel=1))
        layers.append(conv_norm(hidden, hidden, nn.ReLU6, kernel=3, stride=slot.stride, groups=hidden))
        layers.append(nn.Conv2d(hidden, slot.out_channels, 1, bias=False))
        layers.append(nn.BatchNorm2d(slot.out_channels))
        self.conv = nn.Sequential(*layers)
        self.residual = slot.keeps_shape

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> [n, out, h / stride, w / stride]."""
        result: Tensor = self.conv(x)
        return x + result if self.residual else result


class MobileNetV2(nn.Module):
    """MobileNetV2 with attention where the spec places it.

    Source: Sandler et al., CVPR 2018; layers as in Saini et al., WACV 2020, Table 5.
    """

    features: nn.Sequential

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        *body, classifier = arrange(spec.network, slots(spec), spec.placement)
        for step in body:
            slot = step.slot
            if step.attends:
                module = attention_module(spec, step)
            elif slot.kind == "residual_block":
                module = ResidualBlock(slot)
            else:
                kernel = 3 if slot.kind == "stem" else 1
                module = conv_norm(slot.in_channels, slot.out_channels, nn.ReLU6, kernel=kernel, stride=slot.stride)
            place(self, step.path(spec.attention), module)
        self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(classifier.slot.in_channels, spec.classes))
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w] -> [n, classes]."""
        pooled = F.adaptive_avg_pool2d(self.features(x), (1, 1))
        return self.classifier(pooled.flatten(1))  # type: ignore[no-any-return]


MODULE = MobileNetV2
