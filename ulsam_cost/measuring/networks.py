"""The networks of the project, measured on a device."""

from collections.abc import Callable

import torch

from ulsam_cost.formulas.networks import NetworkSpec
from ulsam_cost.measuring.memory import Memory, measure_memory
from ulsam_cost.measuring.runner import make_setting
from ulsam_cost.measuring.timing import PairTiming, make_effort, measure_in_turn
from ulsam_cost.nn.networks import build_network


def measure_against_plain(
    spec: NetworkSpec, *, device: str, repeats: int, progress: Callable[[float], None] | None = None
) -> PairTiming:
    """The latency of the network and its plain form, measured in turn; `progress` hears the share that is done."""
    setting, effort = make_setting(device=device), make_effort(repeats=repeats)
    with setting.device:
        baseline, network = build_network(spec.plain()).eval(), build_network(spec).eval()
        x = torch.randn(spec.input_shape)
    return measure_in_turn(baseline, network, x, setting=setting, effort=effort, progress=progress)


def measure_network_memory(spec: NetworkSpec, *, device: str) -> Memory:
    """The peak memory of the network's forward pass on a device, in bytes."""
    setting = make_setting(device=device)
    with setting.device:
        network, x = build_network(spec).eval(), torch.randn(spec.input_shape)
    return measure_memory(network, x, setting=setting)
