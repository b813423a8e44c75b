"""NVIDIA's driver: its version, and what NVML tells of the device (nvidia-ml-py, the extra `energy`)."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from ulsam_cost.errors import DeviceError

_DRIVER = Path("/proc/driver/nvidia/version")


@contextmanager
def nvml_handle(device: torch.device, nvml: Any = None) -> Iterator[tuple[Any, Any]]:
    """The module that speaks to NVIDIA's driver, and the driver's handle of a CUDA device.

    Raises:
        DeviceError: without nvidia-ml-py, or if the driver does not answer.
    """
    try:
        found = nvml or import_module("pynvml")
    except ImportError:
        raise DeviceError("energy needs nvidia-ml-py: pip install 'ulsam-cost[energy]'") from None
    try:
        found.nvmlInit()
    except found.NVMLError as error:
        raise DeviceError(f"NVIDIA's driver cannot be queried ({error})") from None
    try:
        yield found, _handle(found, device)
    finally:
        found.nvmlShutdown()


def _handle(nvml: Any, device: torch.device) -> Any:
    # NVML numbers every device of the machine, PyTorch those that CUDA_VISIBLE_DEVICES leaves: the UUID tells.
    uuid = getattr(torch.cuda.get_device_properties(device), "uuid", None)
    if uuid is not None:
        try:
            return nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}")
        except nvml.NVMLError:
            pass  # a slice of a device has a UUID of its own
    return nvml.nvmlDeviceGetHandleByIndex(device.index or 0)


def driver_version() -> str | None:
    """Version of NVIDIA's driver, from the kernel."""
    try:
        match = re.search(r"Kernel Module.*?\s(\d+\.\d+(?:\.\d+)?)\s", _DRIVER.read_text(encoding="ascii"))
    except OSError:
        return None
    return match[1] if match else None


def driver_state(device: torch.device, nvml: Any = None) -> dict[str, Any]:
    """Driver, clocks, temperature and power limit of a CUDA device; None for what the driver does not tell."""
    state: dict[str, Any] = dict.fromkeys(("sm_clock_mhz", "memory_clock_mhz", "temperature_c", "power_limit_w"))
    with suppress(DeviceError), nvml_handle(device, nvml) as (found, handle):
        readings: dict[str, Callable[[], Any]] = {
            "sm_clock_mhz": lambda: found.nvmlDeviceGetClockInfo(handle, found.NVML_CLOCK_SM),
            "memory_clock_mhz": lambda: found.nvmlDeviceGetClockInfo(handle, found.NVML_CLOCK_MEM),
            "temperature_c": lambda: found.nvmlDeviceGetTemperature(handle, found.NVML_TEMPERATURE_GPU),
            "power_limit_w": lambda: found.nvmlDeviceGetEnforcedPowerLimit(handle) / 1e3,
        }
        for name, read in readings.items():
            with suppress(found.NVMLError):
                state[name] = read()
    return {"driver": driver_version(), **state}
