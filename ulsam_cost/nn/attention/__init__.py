"""The real attention modules: one file a mechanism, under the names of `ulsam_cost.formulas.attention`."""

from importlib import import_module
from typing import Any

from torch import nn

from ulsam_cost.errors import require_int
from ulsam_cost.formulas.attention import get_mechanism


def build_attention(name: str, channels: int, **options: Any) -> nn.Module:
    """The real module of a mechanism for maps of `channels` channels; options as for `attention_cost`.

    Raises:
        UnknownNameError: for a mechanism or an option that does not exist.
        SizeError: for sizes that the mechanism cannot take.
    """
    given = get_mechanism(name).chosen(options)
    module: nn.Module = import_module(f"{__name__}.{name}").MODULE(require_int("channels", channels), **given)
    return module
