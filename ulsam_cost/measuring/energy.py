"""Energy, where NVIDIA's driver counts it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from time import perf_counter, sleep
from typing import Any

import torch
from torch import nn

from ulsam_cost.counting.preserve import preserves_state
from ulsam_cost.errors import DeviceError
from ulsam_cost.measuring.device import refusals_in_a_sentence
from ulsam_cost.measuring.nvml import nvml_handle
from ulsam_cost.measuring.runner import Run, Setting, on_device, prepare, synchronize

LOAD_SECONDS, IDLE_SECONDS, SETTLE_SECONDS = 3.0, 1.0, 0.5
RUNS_BETWEEN_WAITS = 16  # enough to keep the device busy, few enough to end in time


@dataclass(frozen=True, slots=True, kw_only=True)
class Energy:
    """What the driver's counter gained over many runs; the idle draw is in it, and stated beside it."""

    joules_per_image: float
    watts: float
    idle_watts: float
    images: int
    seconds: float

    def to_dict(self) -> dict[str, float | int]:
        """The JSON."""
        return asdict(self)


@preserves_state
def measure_energy(
    model: nn.Module, inputs: Any, *, setting: Setting, seconds: float = LOAD_SECONDS, nvml: Any = None
) -> Energy:
    """Run a model for some seconds between two readings of the driver's energy counter.

    Args:
        model: left as found.
        inputs: as in `prepare`; their first dimension is the number of images.
        setting: of a CUDA device.
        seconds: for which the model runs; the counter moves every tenth of a second or so.
        nvml: the module that reads the counter, by default pynvml.

    Raises:
        DeviceError: for a device without a counter, or without nvidia-ml-py.
    """
    with energy_counter(setting.device, nvml) as joules:
        ready = prepare(model, inputs, setting)
        sleep(SETTLE_SECONDS)
        idle = _watts(joules, IDLE_SECONDS)
        with refusals_in_a_sentence(setting.device, str(setting)), on_device(setting.device):
            synchronize(setting.device)
            before, started = joules(), perf_counter()
            runs = _run_for(ready.run, seconds, setting.device)
            used, took = joules() - before, perf_counter() - started
    images = runs * ready.batch
    return Energy(joules_per_image=used / images, watts=used / took, idle_watts=idle, images=images, seconds=took)


def _run_for(run: Run, seconds: float, device: torch.device) -> int:
    started, runs = perf_counter(), 0
    while perf_counter() - started < seconds:
        for _ in range(RUNS_BETWEEN_WAITS):
            run()
        synchronize(device)
        runs += RUNS_BETWEEN_WAITS
    return runs


def _watts(joules: Any, seconds: float) -> float:
    before, started = joules(), perf_counter()
    sleep(seconds)
    return float((joules() - before) / (perf_counter() - started))


@contextmanager
def energy_counter(device: torch.device, nvml: Any = None) -> Iterator[Any]:
    """A function that reads the joules a CUDA device has used since its driver was loaded.

    Raises:
        DeviceError: for a device without such a counter, or without nvidia-ml-py.
    """
    if device.type != "cuda":
        raise DeviceError(f"energy is reported by NVIDIA's driver, and the device is {device}: leave out --energy")
    with nvml_handle(device, nvml) as (found, handle):

        def joules() -> float:
            return float(found.nvmlDeviceGetTotalEnergyConsumption(handle)) / 1e3

        try:
            joules()
        except found.NVMLError as error:
            raise DeviceError(f"{device} has no energy counter that its driver shows ({error})") from None
        yield joules
