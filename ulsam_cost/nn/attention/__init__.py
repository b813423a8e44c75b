"""The real attention modules: one file a mechanism, under the names of `ulsam_cost.formulas.attention`."""

from importlib import import_module
from typing import Any

from torch import nn

from ulsam_cost.formulas.attention import get_mechanism


def build_attention(name: str, channels: int, **options: Any) -> nn.Module:
    """The real module of a mechanism for maps of `channels` channels; options as for `attention_cost`.

    Raises:
        UnknownNameError: for a mechanism that does not exist.
    """
    get_mechanism(name)
    module: nn.Module = import_module(f"{__name__}.{name}").MODULE(channels, **options)
    return module
