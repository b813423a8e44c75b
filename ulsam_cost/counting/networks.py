"""The networks and mechanisms of the project, counted on the meta device."""

from typing import Any

import torch

from ulsam_cost.counting.count import Count, count
from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.formulas.networks import NetworkSpec
from ulsam_cost.nn.attention import build_attention
from ulsam_cost.nn.attention.user import require_same_shape
from ulsam_cost.nn.networks.meta import build_on_meta


def count_network(spec: NetworkSpec) -> Count:
    """The counted cost of the real network, built and run on the meta device."""
    return count(build_on_meta(spec), torch.empty(spec.input_shape, device="meta"))


def count_mechanism(name: str, *, channels: int, height: int, width: int, **options: Any) -> Count:
    """The counted cost of a mechanism's real module on one map.

    Raises:
        CostError: for a user's mechanism that does not keep the shape of the map.
    """
    mechanism = get_mechanism(name)
    options = mechanism.built_for((height, width), **options) | options
    require_same_shape(mechanism, (1, channels, height, width), **options)
    with torch.device("meta"):
        module = build_attention(name, channels, **options).eval()
        return count(module, torch.empty(1, channels, height, width))
