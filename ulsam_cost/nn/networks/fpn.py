"""ResNet101 with a feature pyramid as a module, its parameters named as in torchvision's detectors."""

from collections import OrderedDict

from torch import Tensor, nn
from torch.nn import functional as F

from ulsam_cost.formulas.networks import NetworkSpec, slots_of
from ulsam_cost.formulas.networks.fpn import BODY, CHANNELS, LEVELS, body_spec, level_channels, site_label
from ulsam_cost.nn.networks.blocks import initialize
from ulsam_cost.nn.networks.resnet import Body
from ulsam_cost.nn.networks.sites import AttentionModules, dense_conv


class Merge(nn.Module):
    """A lateral map and the one above it, brought to its size, added."""

    def forward(self, lateral: Tensor, above: Tensor) -> Tensor:
        """[n, c, h, w] and [n, c, h', w'] -> [n, c, h, w]."""
        return lateral + F.interpolate(above, size=lateral.shape[2:], mode="nearest")


class Pyramid(nn.Module):
    """Lateral convolutions, merged from the top down, and output convolutions, with attention before each."""

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        attention = AttentionModules(spec)
        laterals = [dense_conv(spec, level_channels(level), CHANNELS, 1) for level in LEVELS]
        outputs = [dense_conv(spec, CHANNELS, CHANNELS, 3, padding=1) for _ in LEVELS]
        self.inner_blocks = nn.ModuleList(
            _attended(attention.after(site_label("lateral", level)), laterals[level]) for level in LEVELS
        )
        self.layer_blocks = nn.ModuleList(
            _attended(attention.after(site_label("output", level)), outputs[level]) for level in LEVELS
        )
        self.merges = nn.ModuleList(Merge() for _ in LEVELS[1:])
        self.pool = nn.MaxPool2d(1, 2)

    def forward(self, maps: list[Tensor]) -> list[Tensor]:
        """The stages' maps, finest first -> [n, 256, h, w] a level and one on top."""
        coarsest = LEVELS[-1]
        merged = self.inner_blocks[coarsest](maps[coarsest])
        outputs = [self.layer_blocks[coarsest](merged)]
        for level in reversed(LEVELS[:-1]):
            merged = self.merges[level](self.inner_blocks[level](maps[level]), merged)
            outputs.insert(0, self.layer_blocks[level](merged))
        return [*outputs, self.pool(outputs[-1])]


def _attended(attention: nn.Module | None, conv: nn.Module) -> nn.Sequential:
    parts = OrderedDict({"attention": attention} if attention else {})
    parts["0"] = conv
    return nn.Sequential(parts)


class ResNetFPN(nn.Module):
    """A ResNet's stages and a feature pyramid on them, with attention where the spec places it.

    Source: Lin et al., CVPR 2017.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.body = Body(body_spec(spec), slots_of(spec), BODY)
        self.fpn = Pyramid(spec)
        initialize(self, spec)

    def forward(self, x: Tensor) -> list[Tensor]:
        """[n, 3, h, w] -> [n, 256, h', w'] at strides 4, 8, 16, 32 and 64."""
        return self.fpn(self.body.stages(x))  # type: ignore[no-any-return]


MODULE = ResNetFPN
