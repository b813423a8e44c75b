"""What the networks are made of."""

from torch import nn

from ulsam_cost.formulas.networks.sites import sites
from ulsam_cost.formulas.networks.spec import NetworkSpec


def conv_norm(
    in_channels: int, out_channels: int, activation: type[nn.Module], *, kernel: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Convolution without bias, batch norm, activation; padding keeps the size."""
    padding = (kernel - 1) // 2
    conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), activation())


def place(model: nn.Module, path: str, module: nn.Module) -> None:
    """Put a module at its path, inside of Sequentials that are made where nothing stands yet."""
    *parents, name = path.split(".")
    for parent in parents:
        if not hasattr(model, parent):
            model.add_module(parent, nn.Sequential())
        model = model.get_submodule(parent)
    model.add_module(name, module)


def initialize(model: nn.Module, spec: NetworkSpec) -> None:
    """Draw the weights of convolutions and linear layers as torchvision's MobileNetV2 does; none on meta.

    A user's modules keep those that they have drawn themselves.
    """
    if next(model.parameters()).is_meta:
        return
    readers = [site.path for site in sites(spec).values() if spec.at(site.label).underived and not site.side]
    kept = {part for path in readers for part in model.get_submodule(path).modules()}
    for module in model.modules():
        if module in kept:
            continue
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
        bias = module.bias if isinstance(module, nn.Conv2d | nn.Linear) else None
        if bias is not None:
            nn.init.zeros_(bias)
