"""The real attention modules: one file a mechanism, under the names of `ulsam_cost.formulas.attention`."""

from importlib import import_module
from typing import Any

from torch import nn

from ulsam_cost.errors import require_int
from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.formulas.attention.mechanism import Mechanism
from ulsam_cost.nn.attention.user import build_users


def build_attention(name: str, channels: int, **options: Any) -> nn.Module:
    """The real module of a mechanism for maps of `channels` channels.

    Args:
        name: a registered mechanism, or your own as `FILE.py:NAME` or `package.module:NAME`: a class or a function
            that takes the number of channels and the options and returns an nn.Module.
        channels: channels m of the map [batch, channels, height, width].
        **options: the mechanism's own, as its docstring lists them; None stands for the default.

    Raises:
        UnknownNameError: for a mechanism or an option that does not exist.
        SizeError: for sizes that the mechanism cannot take.
        CostError: for code that cannot be imported or returns no module, with the last line of its own error.

    Example:
        >>> import torch
        >>> import ulsam_cost as uc
        >>> module = uc.build_attention("cbam", 64, reduction=8)
        >>> module(torch.zeros(2, 64, 14, 14)).shape
        torch.Size([2, 64, 14, 14])
    """
    return build_mechanism(get_mechanism(name), channels, **options)


def build_mechanism(mechanism: Mechanism, channels: int, **options: Any) -> nn.Module:
    """The same of a mechanism that is at hand."""
    given, channels = mechanism.chosen(options), require_int("channels", channels)
    if mechanism.code is not None:
        return build_users(mechanism, channels, given)
    module: nn.Module = import_module(f"{__name__}.{mechanism.name}").MODULE(channels, **given)
    return module
