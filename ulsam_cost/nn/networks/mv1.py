"""MobileNetV1 as a module."""

from torch import Tensor, nn

from ulsam_cost.formulas.networks import NetworkSpec
from ulsam_cost.formulas.networks.mv1 import slots
from ulsam_cost.nn.networks import attention_module
from ulsam_cost.nn.networks.blocks import conv_norm, initialize, place
from ulsam_cost.placement import Slot, arrange


class DepthwiseSeparable(nn.Module):
    """A depthwise 3 x 3 convolution, then a pointwise one, each with batch norm and ReLU."""

    def __init__(self, slot: Slot) -> None:
        super().__init__()
        c = slot.in_channels
        self.depthwise = conv_norm(c, c, nn.ReLU, kernel=3, stride=slot.stride, groups=c)
        self.pointwise = conv_norm(c, slot.out_channels, nn.ReLU, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> [n, out, h / stride, w / stride]."""
        return self.pointwise(self.depthwise(x))  # type: ignore[no-any-return]


class MobileNetV1(nn.Module):
    """MobileNetV1 with attention where the spec places it.

    Source: Howard et al., 2017; layers as in Saini et al., WACV 2020, Table 3.
    """

    features: nn.Sequential

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        numbered = slots(spec)
        for step in arrange(spec.network, numbered, spec.placement):
            slot = step.slot
            if step.attends:
                module = attention_module(spec, step)
            elif slot.kind == "stem":
                module = conv_norm(slot.in_channels, slot.out_channels, nn.ReLU, kernel=3, stride=slot.stride)
            else:
                module = DepthwiseSeparable(slot)
            place(self, step.path(spec.attention), module)
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(numbered[-1].out_channels, spec.classes)
        initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w] -> [n, classes]."""
        return self.classifier(self.pool(self.features(x)).flatten(1))  # type: ignore[no-any-return]


MODULE = MobileNetV1
