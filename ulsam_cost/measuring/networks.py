"""The networks of the project, and models with attention in them, measured on a device."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from ulsam_cost.counting.loading import Inserted
from ulsam_cost.formulas.networks import NetworkSpec
from ulsam_cost.measuring.memory import Memory, measure_memory
from ulsam_cost.measuring.rounds import make_effort
from ulsam_cost.measuring.runner import Setting, make_setting
from ulsam_cost.measuring.runtimes.calibration import Calibration
from ulsam_cost.measuring.runtimes.measured import measure_models
from ulsam_cost.measuring.sweep import Measurements, Wanted, make_cases, measured_network, measured_pair, sweep
from ulsam_cost.measuring.timing import PairTiming
from ulsam_cost.nn.networks import build_network


def measure_against_plain(
    subject: NetworkSpec | Inserted,
    *,
    device: str,
    repeats: int,
    dtype: str | None = None,
    progress: Callable[[float], None] | None = None,
) -> PairTiming:
    """The latency of a network and its plain form, measured in turn; `progress` hears the share that is done."""
    setting, effort = make_setting(device=device, dtype=dtype), make_effort(repeats=repeats)
    network, x = _network(subject, setting)
    baseline = subject.plain.model if isinstance(subject, Inserted) else _network(subject.plain(), setting)[0]
    timed = measure_models(baseline, network, x, setting=setting, effort=effort, progress=progress)
    assert isinstance(timed, PairTiming)
    return timed


def measure_in_runtimes(
    subject: NetworkSpec | Inserted,
    *,
    runtimes: Sequence[str],
    dtypes: Sequence[str],
    calibration: Calibration | None,
    threads: int | None,
    device: str,
    repeats: int,
    progress: Callable[[float], None],
    save: Callable[[Measurements], object],
) -> None:
    """The same in several runtimes and data types, a row each; errors and interrupts as in `sweep`."""
    if isinstance(subject, Inserted):
        network, baseline = measured_pair(subject)
    else:
        network, baseline = measured_network(subject), measured_network(subject.plain())
    wanted = Wanted()
    cases = make_cases(
        device=device,
        batches=(network.example_batch,),
        dtypes=dtypes,
        modes=("eager",),
        memory_format="contiguous",
        train=False,
        allocator=None,
        wanted=wanted,
        runtimes=runtimes,
        threads=threads,
        calibration=calibration,
    )
    effort = make_effort(repeats=repeats)
    sweep(network, baseline, cases, effort=effort, wanted=wanted, progress=progress, save=save)


def measure_network_memory(subject: NetworkSpec | Inserted, *, setting: Setting) -> Memory:
    """The peak memory of a network's forward pass in PyTorch, in bytes."""
    return measure_memory(*_network(subject, setting), setting=setting)


def _network(subject: NetworkSpec | Inserted, setting: Setting) -> tuple[nn.Module, Any]:
    """A network and its inputs."""
    if isinstance(subject, Inserted):
        return subject.changed.model, subject.changed.inputs
    with setting.device:
        return build_network(subject).eval(), torch.randn(subject.input_shape)
