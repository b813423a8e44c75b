"""What becomes of the memory that a run on the CPU has freed: kept for the next run, or given back to the system.

The C library gives large blocks back at once, and every run asks for them anew, page by page; on a virtual machine
that can take longer than the computing. Keeping them is what PyTorch's own allocator does on a CUDA device.
"""

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from ulsam_cost.errors import DeviceError, UnknownNameError

KEEP, SYSTEM = "keep", "system"
ALLOCATORS = (KEEP, SYSTEM)
# Parameters of mallopt, from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -3, -4
_NEVER = -1
# Where glibc's own adjusting of the two thresholds ends (mallopt(3)), and its number of mappings.
_LARGEST_MMAP_THRESHOLD, _LARGEST_TRIM_THRESHOLD, _MOST_MAPPINGS = 2**25, 2**26, 65536


def resolve_allocator(name: str | None, device: torch.device) -> str:
    """The allocator of that name; None is `keep` where it can be had.

    Raises:
        UnknownNameError: for a name that stands in no list.
        DeviceError: for an allocator that this device or system does not have.
    """
    if name not in (None, *ALLOCATORS):
        raise UnknownNameError.among("allocator", name, ALLOCATORS)
    can_keep = device.type != "cpu" or _glibc() is not None
    if name == SYSTEM and device.type != "cpu":
        raise DeviceError(f"allocator {name!r}: on {device} PyTorch keeps what was freed: {KEEP} is accepted")
    if name == KEEP and not can_keep:
        raise DeviceError(f"allocator {name!r} is a setting of glibc, which is not here: {SYSTEM} is accepted")
    return name or (KEEP if can_keep else SYSTEM)


@contextmanager
def freed_memory(allocator: str, device: torch.device) -> Iterator[None]:
    """Let the C library keep freed memory for a while, where that is asked for and not PyTorch's matter."""
    library = _glibc() if allocator == KEEP and device.type == "cpu" else None
    if library is None:
        yield
        return
    library.mallopt(_M_MMAP_MAX, 0)
    library.mallopt(_M_TRIM_THRESHOLD, _NEVER)
    try:
        yield
    finally:
        library.mallopt(_M_MMAP_MAX, _MOST_MAPPINGS)
        library.mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)
        library.mallopt(_M_TRIM_THRESHOLD, _LARGEST_TRIM_THRESHOLD)
        give_back()


def give_back() -> None:
    """Give to the system what the C library keeps; nothing where it is not glibc."""
    if (library := _glibc()) is not None:
        library.malloc_trim(0)


def _glibc() -> Any:
    try:
        library = ctypes.CDLL(None)
        return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
    except (OSError, TypeError):  # no C library that can be asked: TypeError is Windows'
        return None
