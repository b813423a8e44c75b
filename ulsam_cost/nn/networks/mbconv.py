"""MobileNetV3 and EfficientNet-B0 as modules, their parameters named as torchvision's."""

from typing import Any

from torch import Tensor, nn

from ulsam_cost.formulas.networks import NetworkSpec, slots_of
from ulsam_cost.formulas.networks.mbconv import ARCHITECTURES, MODULES, Block
from ulsam_cost.nn.connections.dca import Passed
from ulsam_cost.nn.networks.blocks import conv_norm, initialize, place
from ulsam_cost.nn.networks.sites import AttentionModules, attend, is_connected, run, run_one
from ulsam_cost.placement import Slot, arrange

EPSILON, MOMENTUM = 1e-3, 0.01  # of MobileNetV3's norms


def _activation(operator: str) -> type[nn.Module]:
    activation: type[nn.Module] = getattr(nn, MODULES[operator])
    return activation


class SqueezeExcitation(nn.Module):
    """A gate on each channel from the map's mean, as the networks have it inside of their blocks."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Conv2d(block.hidden, block.squeeze, 1)
        self.fc2 = nn.Conv2d(block.squeeze, block.hidden, 1)
        self.activation = _activation(block.squeeze_activation)()
        self.scale_activation = _activation(block.gate)()

    def forward(self, x: Tensor) -> Tensor:
        """[n, m, h, w] -> [n, m, h, w]."""
        return self.scale_activation(self.fc2(self.activation(self.fc1(self.avgpool(x))))) * x  # type: ignore[no-any-return]


class ResidualBlock(nn.Module):
    """An inverted residual: expand, depthwise, squeeze and excite, project; the input is added where shapes agree."""

    def __init__(self, attention: AttentionModules, slot: Slot) -> None:
        super().__init__()
        block, label = slot.block, str(slot.layer)
        activation = _activation(block.activation)
        convolution = {"kernel": block.kernel, "stride": block.stride, "groups": block.hidden}
        unit = attention.instead(label, activation=block.activation, **convolution)
        parts: list[nn.Module] = []
        if block.hidden != block.into:
            parts.append(conv_norm(block.into, block.hidden, activation, kernel=1))
        parts.append(unit or conv_norm(block.hidden, block.hidden, activation, **convolution))
        if block.squeeze:
            parts.append(SqueezeExcitation(block))
        project = nn.Conv2d(block.hidden, block.out, 1, bias=False)
        self.block = nn.Sequential(*parts, nn.Sequential(project, nn.BatchNorm2d(block.out)))
        self.attention = attention.after(label)
        self.residual = slot.keeps_shape
        self.connected = is_connected(unit) or is_connected(self.attention)

    def forward(self, x: Tensor, passed: Passed = None) -> Any:
        """[n, c, h, w] -> [n, out, h / stride, w / stride], and what to pass on if it is connected."""
        result, passed = run_one(self.block, x, passed)
        result, passed = attend(self.attention, result, passed)
        result = result + x if self.residual else result
        return (result, passed) if self.connected else result


class MobileNetV3(nn.Module):
    """MobileNetV3 or EfficientNet-B0 with attention where the spec places it.

    Source: Howard et al., ICCV 2019; Tan and Le, ICML 2019.
    """

    features: nn.Sequential

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        architecture, attention = ARCHITECTURES[spec.network], AttentionModules(spec)
        activation = _activation(architecture.activation)
        *body, _ = arrange(spec.network, slots_of(spec), spec.placement)
        for step in body:
            slot = step.slot
            if step.attends:
                module = attention.layer(step)
            elif slot.kind == "residual_block":
                module = ResidualBlock(attention, slot)
            else:
                kernel = 3 if slot.kind == "stem" else 1
                module = conv_norm(slot.in_channels, slot.out_channels, activation, kernel=kernel, stride=slot.stride)
            place(self, step.path(spec.at(step.label).attention), module)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        head, hidden = architecture.head, architecture.hidden
        if hidden:
            _set_norms(self)
            self.classifier = nn.Sequential(
                nn.Linear(head, hidden), activation(), nn.Dropout(0.2), nn.Linear(hidden, spec.classes)
            )
        else:
            self.classifier = nn.Sequential(nn.Dropout(0.2), nn.Linear(head, spec.classes))
        initialize(self, spec)

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w] -> [n, classes]."""
        return self.classifier(self.avgpool(run(self.features, x)).flatten(1))  # type: ignore[no-any-return]


def _set_norms(model: nn.Module) -> None:
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps, module.momentum = EPSILON, MOMENTUM


MODULE = MobileNetV3
