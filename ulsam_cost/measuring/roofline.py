"""A roofline estimate of the time that counted work takes: what a device can compute and move in a second.

Source: Williams, Waterman, Patterson, Roofline, CACM 2009. The two limits are measured once for a device, its
driver and a version of PyTorch, and stored in the user's cache folder.
"""

import hashlib
import json
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from platformdirs import user_cache_path

from ulsam_cost.conventions import get_convention
from ulsam_cost.cost import Cost
from ulsam_cost.measuring.device import device_name, dtype_name, refusals_in_a_sentence
from ulsam_cost.measuring.nvml import driver_version
from ulsam_cost.measuring.rounds import Effort
from ulsam_cost.measuring.runner import on_device
from ulsam_cost.measuring.timing import take_times

COPIED_BYTES = {"cpu": 256 * 2**20, "cuda": 2**30}  # far more than any cache holds
MATRIX_SIZES = {"cpu": (512, 1024, 2048), "cuda": (2048, 4096, 8192)}
CALIBRATION_SECONDS = 1.0  # for the copy, and for each size of matrix


@dataclass(frozen=True, slots=True, kw_only=True)
class Roof:
    """What a device does in a second at most, in one number format.

    Bytes are those of a copy, read and written; FLOPs those of a matrix product, 2 a MAC, on CUDA in TF32 where a
    convolution or a product in float32 may use it.
    """

    device: str
    dtype: str
    bytes_per_second: float
    flops_per_second: float

    @property
    def ridge(self) -> float:
        """FLOPs a byte at which both limits meet."""
        return self.flops_per_second / self.bytes_per_second

    def to_dict(self) -> dict[str, str | float]:
        """The JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class RooflineEstimate:
    """The time of counted work at the speeds of a roof: an estimate, and no lower bound.

    Counted: 2 FLOPs a MAC; the bytes of every operation, each operand read once and each result written once.
    Not counted: what a fused kernel saves, and what stays in a cache: a layer whose maps fit into one can be faster.
    So can a convolution whose kernel leaves out the products with padding, which are counted.
    """

    flops: int
    bytes: int
    compute_ms: float
    memory_ms: float

    @property
    def ms(self) -> float:
        """The larger of the two."""
        return max(self.compute_ms, self.memory_ms)

    @property
    def limit(self) -> str:
        """Which of the two that is."""
        return "compute" if self.compute_ms > self.memory_ms else "memory"

    @property
    def intensity(self) -> float:
        """FLOPs a byte."""
        return self.flops / self.bytes if self.bytes else 0.0

    def to_dict(self) -> dict[str, str | float]:
        """The JSON."""
        return {"bytes": self.bytes, "intensity": self.intensity, "least_ms": self.ms, "limit": self.limit}


def roofline_estimate(cost: Cost, roof: Roof, itemsize: int) -> RooflineEstimate:
    """The roofline estimate of a counted cost, at `itemsize` bytes an element."""
    flops, moved = get_convention("flops").number(cost), cost.bytes(itemsize)
    return RooflineEstimate(
        flops=flops,
        bytes=moved,
        compute_ms=1e3 * flops / roof.flops_per_second,
        memory_ms=1e3 * moved / roof.bytes_per_second,
    )


def device_roof(device: torch.device, dtype: torch.dtype, *, recalibrate: bool = False) -> Roof:
    """The device's roof, from the cache folder or measured now.

    Raises:
        DeviceError: if the device has no matrix product in that number format.
    """
    key = _key(device, dtype)
    folder = cache_folder()
    path = folder / f"roof-{hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]}.json" if folder else None
    stored = None if recalibrate or path is None else _read(path, key)
    if stored is not None:
        return stored
    roof = _calibrate(device, dtype)
    if path is not None:
        _keep(path, key, roof)
    return roof


def cache_folder() -> Path | None:
    """The program's folder among the user's caches; None for a user without a home."""
    try:
        folder = user_cache_path("ulsam-cost", appauthor=False, opinion=False)
    except RuntimeError:
        return None
    return folder if folder.is_absolute() else None  # older versions of platformdirs leave the `~` as it is


def _keep(path: Path, key: Mapping[str, object], roof: Roof) -> None:
    with suppress(OSError):  # a roof that cannot be stored is measured again
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(f".{os.getpid()}")
        beside.write_text(json.dumps({"key": key, "roof": roof.to_dict()}, indent=2), encoding="utf-8")
        beside.replace(path)


def _key(device: torch.device, dtype: torch.dtype) -> dict[str, str | int | bool | None]:
    return {
        "device": device_name(device),
        "driver": driver_version() if device.type == "cuda" else None,
        "torch": torch.__version__,
        "dtype": dtype_name(dtype),
        "threads": torch.get_num_threads() if device.type == "cpu" else None,
        "tf32": _allows_tf32() if device.type == "cuda" else None,
    }


def _read(path: Path, key: Mapping[str, object]) -> Roof | None:
    """The roof that is stored, if it is one that a calibration could have written."""
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        roof = Roof(**stored["roof"]) if stored["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return roof if roof is not None and _is_possible(roof) else None


def _is_possible(roof: Roof) -> bool:
    rates = (roof.bytes_per_second, roof.flops_per_second)
    names = (roof.device, roof.dtype)
    return all(type(rate) in (int, float) and 1 <= rate < float("inf") for rate in rates) and all(
        isinstance(name, str) for name in names
    )


def _calibrate(device: torch.device, dtype: torch.dtype) -> Roof:
    """Take the fastest runs: a limit is what the device can do, not what it does in the middle."""
    with refusals_in_a_sentence(device, f"the calibration in {dtype_name(dtype)}"), torch.no_grad():
        size = COPIED_BYTES[device.type]
        source = torch.ones(size // 4, device=device)
        target = torch.empty_like(source)
        copied = 2 * size / _fastest_seconds(lambda: target.copy_(source), device)
        return Roof(
            device=device_name(device),
            dtype=dtype_name(dtype),
            bytes_per_second=copied,
            flops_per_second=_product_rate(device, dtype),
        )


def _product_rate(device: torch.device, dtype: torch.dtype) -> float:
    with _tf32_as_allowed() if device.type == "cuda" else nullcontext():
        return max(_matrix_rate(n, device, dtype) for n in MATRIX_SIZES[device.type])


def _allows_tf32() -> bool:
    return torch.backends.cudnn.allow_tf32 or torch.backends.cuda.matmul.allow_tf32


@contextmanager
def _tf32_as_allowed() -> Iterator[None]:
    """Let matrix products use TF32 where convolutions may, as is PyTorch's default: theirs is the limit."""
    products = torch.backends.cuda.matmul
    before, products.allow_tf32 = products.allow_tf32, _allows_tf32()
    try:
        yield
    finally:
        products.allow_tf32 = before


def _matrix_rate(n: int, device: torch.device, dtype: torch.dtype) -> float:
    a, b = (torch.ones(n, n, device=device, dtype=dtype) for _ in range(2))
    out = torch.empty_like(a)
    return 2 * n**3 / _fastest_seconds(lambda: torch.mm(a, b, out=out), device)  # [n, n] = [n, n] @ [n, n]


def _fastest_seconds(run: Callable[[], object], device: torch.device) -> float:
    times: list[float] = []
    with on_device(device):
        take_times([run], device, Effort(precision=0.002, max_seconds=CALIBRATION_SECONDS), [times])
    return min(times) / 1e3
