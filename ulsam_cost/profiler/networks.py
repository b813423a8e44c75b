"""The networks and mechanisms of both wings, counted on the meta device and measured on a real one."""

from collections.abc import Callable
from typing import Any

import torch

from ulsam_cost.formulas.attention import get_mechanism
from ulsam_cost.formulas.networks import NetworkSpec
from ulsam_cost.nn.attention import build_attention
from ulsam_cost.nn.networks import build_network
from ulsam_cost.nn.networks.meta import build_on_meta
from ulsam_cost.profiler.device import resolve_device
from ulsam_cost.profiler.latency import measure_pair
from ulsam_cost.profiler.memory import measure_memory
from ulsam_cost.profiler.runner import make_setting
from ulsam_cost.profiler.trace import Count, count


def count_network(spec: NetworkSpec) -> Count:
    """The counted cost of the real network, built and run on the meta device."""
    return count(build_on_meta(spec), torch.empty(spec.input_shape, device="meta"))


def count_mechanism(name: str, *, channels: int, height: int, width: int, **options: Any) -> Count:
    """The counted cost of a mechanism's real module on one map."""
    options = get_mechanism(name).built_for((height, width), **options) | options
    with torch.device("meta"):
        module = build_attention(name, channels, **options).eval()
        return count(module, torch.empty(1, channels, height, width))


def measure_against_plain(
    spec: NetworkSpec, *, device: str, repeats: int, progress: Callable[[float], None] | None = None
) -> dict[str, Any]:
    """The latency of the network and its plain form, measured in turn; `progress` hears the share that is done."""
    place = resolve_device(device)
    with place:
        baseline, network = build_network(spec.plain()).eval(), build_network(spec).eval()
        x = torch.randn(spec.input_shape)
    return measure_pair(baseline, network, x, device=place, repeats=repeats, progress=progress).to_dict()


def measure_network_memory(spec: NetworkSpec, *, device: str) -> dict[str, int | None]:
    """The peak memory of the network's forward pass on a device, in bytes."""
    setting = make_setting(device=device)
    with setting.device:
        network, x = build_network(spec).eval(), torch.randn(spec.input_shape)
    return measure_memory(network, x, setting=setting).to_dict()
