"""`measure`: how long a model takes, alone or against another, in one call."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from ulsam_cost.errors import CostError
from ulsam_cost.measuring.rounds import Progress, make_effort
from ulsam_cost.measuring.runner import make_setting
from ulsam_cost.measuring.runtimes.calibration import make_calibration, require_int8
from ulsam_cost.measuring.runtimes.measured import measure_models
from ulsam_cost.measuring.runtimes.registry import TORCH
from ulsam_cost.measuring.timing import ModelTiming, PairTiming


def measure(
    model: nn.Module,
    inputs: Any,
    *,
    baseline: nn.Module | None = None,
    device: str | torch.device = "auto",
    dtype: str | None = None,
    memory_format: str = "contiguous",
    mode: str = "eager",
    train: bool = False,
    allocator: str | None = None,
    runtime: str = TORCH,
    threads: int | None = None,
    calibration: Iterable[Any] | None = None,
    repeats: int | None = None,
    precision: float = 0.01,
    max_seconds: float = 10.0,
    progress: Progress | None = None,
) -> ModelTiming | PairTiming:
    """Time a model on a device, or a model and its baseline in turn on the same inputs.

    Copies are run, in evaluation or, with `train`, in training mode; the models and the inputs are left as found.

    Args:
        model: the network.
        inputs: a tuple of positional arguments, a dict of keyword arguments, or the only argument. Tensors may stand
            in lists, tuples, named tuples, dicts and dataclasses, beside None and plain numbers.
        baseline: the model that it is compared with.
        device: `auto`, `cpu`, `cuda` or `cuda:N`.
        dtype: of the weights and the inputs; None keeps the models' own.
        memory_format: `contiguous` or `channels_last`.
        mode: `eager`, `graph` (a CUDA graph), `compile` (torch.compile) or `compile-graph`.
        train: a step (forward, backward, SGD) instead of a forward pass.
        allocator: `keep` freed memory for the next run, or leave it to the `system`; None keeps it where possible.
        runtime: `torch`, or one that runs exported copies in a process of its own: `onnxruntime`, `openvino` or
            `executorch`.
        threads: number of threads on the CPU; None takes PyTorch's number, for every runtime.
        calibration: inputs that `int8` is calibrated with, each as for `inputs`; None draws random ones.
        repeats: runs of each model; None runs until `precision` or `max_seconds` is reached.
        precision: the runs end once the intervals are narrower than this share of their medians, 0.01 for 1%.
        max_seconds: seconds after which they end in any case; ignored if `repeats` is given.
        progress: called from time to time with the share of the work that is done, 0 to 1.

    Returns:
        A ModelTiming, or with a baseline a PairTiming: times in milliseconds, the ratio of the network's time to the
        baseline's with its interval, and a verdict, unless the machine was busy.

    Raises:
        CostError: for a setting that is not accepted or not available here, and for a model that does not run.
        InterruptedMeasurement: on an interrupt, with what had been measured.

    Example:
        >>> import torch
        >>> import ulsam_cost as uc
        >>> model, baseline = uc.build_attention("se", 64), torch.nn.Identity()
        >>> timed = uc.measure(model, torch.randn(8, 64, 14, 14), baseline=baseline, device="cpu", repeats=7)
        >>> timed.network.runs, timed.batch, timed.ratio.median > 1
        (7, 8, True)
        >>> timed.to_frame()["model"].tolist()
        ['baseline', 'network']
    """
    for each in (model, baseline):
        if not isinstance(each, nn.Module | None):
            raise CostError(f"{type(each).__name__} is not a torch.nn.Module: a module is accepted")
    if calibration is not None:
        require_int8([dtype])
    setting = make_setting(
        device=device,
        dtype=dtype,
        memory_format=memory_format,
        mode=mode,
        train=train,
        allocator=allocator,
        runtime=runtime,
        threads=threads,
        calibration=None if calibration is None else make_calibration(calibration),
    )
    effort = make_effort(repeats=repeats, precision=precision, max_seconds=max_seconds)
    return measure_models(baseline, model, inputs, setting=setting, effort=effort, progress=progress)
