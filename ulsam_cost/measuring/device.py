"""Where a model runs: the device, its number formats, and the state of the machine around it."""

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil
import torch

from ulsam_cost.errors import DeviceError, UnknownNameError
from ulsam_cost.measuring.nvml import driver_state
from ulsam_cost.torch_private import COMPILER_MODULES

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16, "float64": torch.float64}
INT8 = "int8"  # of runtimes that quantize a model
_NO_MEMORY = ("not enough memory", "can't allocate memory", "out of memory")
_CPUFREQ = Path("/sys/devices/system/cpu/cpu0/cpufreq")


def resolve_device(name: str) -> torch.device:
    """The device of that name: `auto` is the first CUDA device, or the CPU where there is none.

    Raises:
        DeviceError: for a device that this machine does not have, or that nothing here can time.
    """
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if name == "auto":
        return torch.device("cuda:0" if found else "cpu")
    accepted = ", ".join(["auto", "cpu", *(f"cuda:{index}" for index in range(found))])
    kind, _, index = name.partition(":")
    if name == "cpu":
        return torch.device("cpu")
    if kind != "cuda" or (name != "cuda" and not (index.isascii() and index.isdigit())):
        raise DeviceError(f"device {name!r}: accepted values on this machine are {accepted}")
    if int(index or 0) >= found:
        there = f"{found} CUDA devices" if found else "no CUDA device"
        raise DeviceError(
            f"device {name!r}: this machine has {there} that PyTorch can use; accepted values are {accepted}"
        )
    return torch.device("cuda", int(index or 0))


def resolve_dtype(name: str) -> torch.dtype:
    """The number format of that name.

    Raises:
        UnknownNameError: for a name that stands in no list.
    """
    if name == INT8:
        return torch.int8
    if name not in DTYPES:
        raise UnknownNameError.among("dtype", name, (*DTYPES, INT8))
    return DTYPES[name]


def dtype_name(dtype: torch.dtype) -> str:
    """A number format's name: torch.float32 -> float32."""
    return str(dtype).removeprefix("torch.")


def device_name(device: torch.device) -> str:
    """What the maker calls the device."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    with suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def machine_state(device: torch.device) -> dict[str, Any]:
    """Device, driver, versions, threads, and clocks where they can be read; None where they cannot."""
    state: dict[str, Any] = {
        "device": str(device),
        "name": device_name(device),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": psutil.cpu_count(),
        "threads": torch.get_num_threads(),
    }
    return state | (_cuda_state(device) if device.type == "cuda" else _cpu_state())


def _cpu_state() -> dict[str, Any]:
    return {
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "libc": " ".join(platform.libc_ver()).strip() or None,
        "preloaded": os.environ.get("LD_PRELOAD") or None,
        "load": psutil.getloadavg()[0],
        "governor": _read(_CPUFREQ / "scaling_governor"),
        "clock_khz": _read(_CPUFREQ / "scaling_cur_freq"),
    }


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return None


def _cuda_state(device: torch.device) -> dict[str, Any]:
    return {
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "tf32_conv": torch.backends.cudnn.allow_tf32,
        "tf32_matmul": torch.backends.cuda.matmul.allow_tf32,
        "memory_bytes": torch.cuda.get_device_properties(device).total_memory,
        **driver_state(device),
    }


@contextmanager
def refusals_in_a_sentence(device: torch.device, what: str) -> Iterator[None]:
    """Turn what a device refuses into a DeviceError of one sentence: memory, a number format, a compiler.

    Raises:
        DeviceError: naming the device and `what` was asked of it.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        sentence = refusal(error)
        if sentence is None:
            raise
        raise DeviceError(f"{what} on {device}: {sentence}") from None


def refusal(error: Exception) -> str | None:
    """Why a device refused, in a sentence; None for an error that is not the device's."""
    text, kind = str(error), f"{type(error).__module__}.{type(error).__name__}"
    if isinstance(error, torch.cuda.OutOfMemoryError | MemoryError) or any(words in text for words in _NO_MEMORY):
        return "it does not fit into the memory; take a smaller batch"
    if "not implemented for" in text:
        return f"PyTorch has no such operation there ({text.splitlines()[0]}); take another --dtype"
    if kind.startswith(COMPILER_MODULES):
        return f"torch.compile failed ({_last_line(text)}); take --mode eager"
    return None


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return next((line for line in lines if "rror" in line or "not found" in line), lines[0] if lines else "no reason")
