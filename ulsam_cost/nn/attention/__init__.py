"""The real attention modules: one file a mechanism, under the names of `ulsam_cost.formulas.attention`."""

from importlib import import_module
from typing import Any

from torch import nn

from ulsam_cost.errors import require_int
from ulsam_cost.formulas.attention import get_mechanism


def build_attention(name: str, channels: int, **options: Any) -> nn.Module:
    """The real module of a mechanism for maps of `channels` channels.

    Args:
        name: a registered mechanism.
        channels: channels m of the map [batch, channels, height, width].
        **options: the mechanism's own, as its docstring lists them; None stands for the default.

    Raises:
        UnknownNameError: for a mechanism or an option that does not exist.
        SizeError: for sizes that the mechanism cannot take.

    Example:
        >>> import torch
        >>> import ulsam_cost as uc
        >>> module = uc.build_attention("cbam", 64, reduction=8)
        >>> module(torch.zeros(2, 64, 14, 14)).shape
        torch.Size([2, 64, 14, 14])
    """
    given = get_mechanism(name).chosen(options)
    module: nn.Module = import_module(f"{__name__}.{name}").MODULE(require_int("channels", channels), **given)
    return module
