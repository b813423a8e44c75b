"""Energy and the driver's state, where NVML tells them (nvidia-ml-py, the extra `energy`)."""

from typing import Any

import torch


def driver_state(device: torch.device) -> dict[str, Any]:
    """Driver and clocks of a CUDA device; None for what NVML cannot say."""
    return {"driver": None, "sm_clock_mhz": None, "memory_clock_mhz": None}
