"""What becomes of the memory that a run on the CPU has freed: kept for the next run, or given back to the system.

The C library gives large blocks back at once, and every run asks for them anew, page by page; on a virtual machine
that can take longer than the computing. Keeping them is what PyTorch's own allocator does on a CUDA device.

Afterwards glibc's thresholds are what they were: those of the user's environment, or those that glibc had adjusted by
itself, which stops once any of them has been set. What a program has set by mallopt cannot be read, and is lost.
"""

import ctypes
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch

from ulsam_cost.errors import DeviceError, UnknownNameError

KEEP, SYSTEM = "keep", "system"
ALLOCATORS = (KEEP, SYSTEM)
# Parameters of mallopt, from glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_NEVER, _LARGEST_INT = -1, 2**31 - 1
# Of mallopt(3): the values that glibc starts with, and where its adjusting of the size of mapped blocks ends.
_DEFAULT_THRESHOLD, _LARGEST_MMAP_THRESHOLD, _DEFAULT_MMAP_MAX = 2**17, 2**25, 2**16
_PAGE = 2**12
_IS_MAPPED = 2  # a bit of the size that stands before a block


@dataclass(frozen=True, slots=True, kw_only=True)
class _Thresholds:
    """How many blocks may be mapped, and how much free memory at the heap's end is given back to the system."""

    mmap_max: int
    trim: int

    def set(self, library: Any) -> None:
        """Put them in force, and give back what was kept; a number too large for mallopt is as good as none."""
        library.mallopt(_M_MMAP_MAX, min(self.mmap_max, _LARGEST_INT))
        library.mallopt(_M_TRIM_THRESHOLD, self.trim if self.trim <= _LARGEST_INT else _NEVER)
        if self is not _KEEPING:
            library.malloc_trim(0)


_KEEPING = _Thresholds(mmap_max=0, trim=_NEVER)
_in_force: list[_Thresholds] = []  # first those that were found, then those of each `freed_memory` within another


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
        raise DeviceError(f"allocator {name!r}: on {device} PyTorch always keeps freed memory: {KEEP} is accepted")
    if name == KEEP and not can_keep:
        raise DeviceError(f"allocator {name!r} needs glibc, which this system does not have: {SYSTEM} is accepted")
    return name or (KEEP if can_keep else SYSTEM)


@contextmanager
def freed_memory(allocator: str, device: torch.device) -> Iterator[None]:
    """Let the C library keep freed memory for a while, where that is asked for and not PyTorch's matter.

    One may stand within another: the inner one is in force until it ends.
    """
    library = _glibc() if device.type == "cpu" else None
    if library is None or (allocator == SYSTEM and not _in_force):
        yield
        return
    if not _in_force:
        _in_force.append(_found(library, os.environ))
    _in_force.append(_KEEPING if allocator == KEEP else _in_force[0])
    _in_force[-1].set(library)
    try:
        yield
    finally:
        _in_force.pop()
        _in_force[-1].set(library)
        if len(_in_force) == 1:
            _in_force.clear()


def give_back() -> None:
    """Give to the system what the C library keeps; nothing where it is not glibc."""
    if (library := _glibc()) is not None:
        library.malloc_trim(0)


def _found(library: Any, environment: Mapping[str, str]) -> _Thresholds:
    """The thresholds in force: no call of the C library tells them."""
    given = _settings(environment)
    mmap_max = given.get("mmap_max", _DEFAULT_MMAP_MAX)
    if given:  # then glibc adjusts none
        return _Thresholds(mmap_max=mmap_max, trim=given.get("trim_threshold", _DEFAULT_THRESHOLD))
    library.mallopt(_M_MMAP_MAX, mmap_max)  # the value that it has, so that glibc adjusts no more
    size = _smallest_mapped_size(library)
    # where glibc has adjusted them, it gives back twice as much as it maps
    return _Thresholds(mmap_max=mmap_max, trim=size if size == _DEFAULT_THRESHOLD else 2 * size)


def _settings(environment: Mapping[str, str]) -> dict[str, int]:
    """What the environment sets of malloc, by the names of glibc's tunables; any of it stops the adjusting."""
    tunables = dict(setting.partition("=")[::2] for setting in environment.get("GLIBC_TUNABLES", "").split(":"))
    found = {}
    for name in ("mmap_max", "mmap_threshold", "trim_threshold", "top_pad"):
        text = tunables.get(f"glibc.malloc.{name}", environment.get(f"MALLOC_{name.upper()}_", ""))
        with suppress(ValueError):  # glibc leaves out what is not a number
            found[name] = int(text, 0)
    return found


def _smallest_mapped_size(library: Any) -> int:
    """The size in whole pages from which glibc maps a block by itself, found by asking for blocks."""
    low, high = _DEFAULT_THRESHOLD - _PAGE, _LARGEST_MMAP_THRESHOLD
    while high - low > _PAGE:
        middle = (low + high) // 2 // _PAGE * _PAGE
        low, high = (low, middle) if _is_mapped(library, middle) else (middle, high)
    return high


def _is_mapped(library: Any, size: int) -> bool:
    """Whether a block of that size is mapped when the heap has no room for it; nothing is written into one."""
    head = ctypes.sizeof(ctypes.c_size_t)
    blocks = []
    try:
        while True:
            heap = library.mallinfo().arena
            if not (block := library.malloc(size - head)):
                return True  # the heap cannot grow
            blocks.append(block)
            if ctypes.c_size_t.from_address(block - head).value & _IS_MAPPED:
                return True
            if library.mallinfo().arena != heap:
                return False
    finally:
        for block in blocks:
            library.free(block)


class _MallocInfo(ctypes.Structure):
    """Of mallinfo(3): the bytes of the heaps, and others."""

    _fields_ = (("arena", ctypes.c_int), ("others", ctypes.c_int * 9))


def _glibc() -> Any:
    """The GNU C library; None on a system without it."""
    try:
        library = ctypes.CDLL("libc.so.6")
        library.mallinfo.restype = _MallocInfo
        library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
        library.free.restype, library.free.argtypes = None, (ctypes.c_void_p,)
    except (OSError, AttributeError):
        return None
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None
