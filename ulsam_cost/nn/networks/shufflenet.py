"""ShuffleNetV2 as a module, its parameters named as torchvision's."""

import torch
from torch import Tensor, nn

from ulsam_cost.formulas.networks import NetworkSpec, slots_of
from ulsam_cost.formulas.networks.shufflenet import STEM_CHANNELS
from ulsam_cost.nn.networks.blocks import conv_norm, initialize, place
from ulsam_cost.nn.networks.sites import AttentionModules
from ulsam_cost.placement import Slot, arrange


def _depthwise(channels: int, stride: int) -> list[nn.Module]:
    conv = nn.Conv2d(channels, channels, 3, stride, 1, groups=channels, bias=False)
    return [conv, nn.BatchNorm2d(channels)]


def _pointwise(in_channels: int, out_channels: int) -> list[nn.Module]:
    return [nn.Conv2d(in_channels, out_channels, 1, bias=False), nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)]


class ShuffleUnit(nn.Module):
    """Half of the channels through three convolutions, the other half as it is, then both shuffled.

    Where the stride is 2, both halves are made of all channels. Attention follows the convolutions, on their half.
    """

    def __init__(self, attention: AttentionModules, slot: Slot) -> None:
        super().__init__()
        half, stride, into = slot.out_channels // 2, slot.stride, slot.in_channels
        shortcut = [*_depthwise(into, stride), *_pointwise(into, half)] if stride > 1 else []
        self.branch1 = nn.Sequential(*shortcut)
        main = _pointwise(into if stride > 1 else half, half)
        self.branch2 = nn.Sequential(*main, *_depthwise(half, stride), *_pointwise(half, half))
        self.attention = attention.after(str(slot.layer))
        self.halves = stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """[n, c, h, w] -> [n, out, h / stride, w / stride]."""
        first, second = x.chunk(2, dim=1) if self.halves else (self.branch1(x), x)
        second = self.branch2(second)
        if self.attention is not None:
            second = self.attention(second)
        joined = torch.cat((first, second), dim=1)
        n, m, h, w = joined.shape
        return joined.view(n, 2, m // 2, h, w).transpose(1, 2).contiguous().view(n, m, h, w)


class ShuffleNetV2(nn.Module):
    """ShuffleNetV2 with attention where the spec places it.

    Source: Ma et al., ECCV 2018, Table 5.
    """

    stage2: nn.Sequential
    stage3: nn.Sequential
    stage4: nn.Sequential
    conv5: nn.Sequential

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        attention = AttentionModules(spec)
        self.conv1 = conv_norm(3, STEM_CHANNELS, nn.ReLU, kernel=3, stride=2)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        *body, classifier = arrange(spec.network, slots_of(spec), spec.placement)
        self.after_head: list[str] = []
        for step in body[1:]:
            slot = step.slot
            if step.attends:
                module = attention.layer(step)
            elif slot.kind == "shuffle_unit":
                module = ShuffleUnit(attention, slot)
            else:
                module = conv_norm(slot.in_channels, slot.out_channels, nn.ReLU, kernel=1)
            path = step.path(spec.at(step.label).attention)
            place(self, path, module)
            if step.attends and "." not in path:
                self.after_head.append(path)
        self.fc = nn.Linear(classifier.slot.in_channels, spec.classes)
        initialize(self, spec)

    def forward(self, x: Tensor) -> Tensor:
        """[n, 3, h, w] -> [n, classes]."""
        x = self.stage4(self.stage3(self.stage2(self.maxpool(self.conv1(x)))))
        x = self.conv5(x)
        for name in self.after_head:
            x = getattr(self, name)(x)
        return self.fc(x.mean((2, 3)))  # type: ignore[no-any-return]


MODULE = ShuffleNetV2
