"""What becomes of freed memory: kept while models are timed, given back afterwards, and refused where it cannot be."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ulsam_cost.errors import CostError
from ulsam_cost.measuring import allocator
from ulsam_cost.measuring.allocator import KEEP, SYSTEM, freed_memory, give_back, resolve_allocator
from ulsam_cost.measuring.runner import make_setting

resource = pytest.importorskip("resource")
CPU = torch.device("cpu")
BLOCK_BYTES, RUNS = 2**26, 5  # larger than any block that glibc keeps by itself: 2**25
LARGEST_PAGE = 2**21

needs_glibc = pytest.mark.skipif(allocator._glibc() is None, reason="needs glibc")


def page_faults_of(run):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    run()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def fill_and_free():
    for _ in range(RUNS):
        torch.ones(BLOCK_BYTES // 4)


@needs_glibc
def test_kept_memory_is_not_asked_for_again():
    with freed_memory(SYSTEM, CPU):
        fill_and_free()
        assert page_faults_of(fill_and_free) >= RUNS * BLOCK_BYTES // LARGEST_PAGE
    with freed_memory(KEEP, CPU):
        for _ in range(4):  # an aligned block needs a little more than the one that was freed, until two have merged
            fill_and_free()
        assert page_faults_of(fill_and_free) < BLOCK_BYTES // LARGEST_PAGE


@needs_glibc
def test_afterwards_the_memory_is_the_systems_again():
    with freed_memory(KEEP, CPU):
        fill_and_free()
    assert page_faults_of(fill_and_free) >= RUNS * BLOCK_BYTES // LARGEST_PAGE


def test_without_glibc_memory_is_left_to_the_system(monkeypatch):
    monkeypatch.setattr(allocator, "_glibc", lambda: None)
    assert make_setting(device="cpu").allocator == SYSTEM
    with freed_memory(KEEP, CPU):
        give_back()
    with pytest.raises(CostError, match="system is accepted"):
        make_setting(device="cpu", allocator=KEEP)


def test_on_cuda_pytorch_keeps_it():
    assert resolve_allocator(None, torch.device("cuda")) == KEEP
    with pytest.raises(CostError, match="keep is accepted"):
        resolve_allocator(SYSTEM, torch.device("cuda"))


def test_an_unknown_allocator_is_refused():
    with pytest.raises(CostError, match="keep, system"):
        make_setting(device="cpu", allocator="jemalloc")


# A process of its own: which blocks its malloc maps, and how much it keeps free at the heap's end, by what it does.
PROGRAM = """
import ctypes, json, sys
import torch
from ulsam_cost.measuring.allocator import KEEP, SYSTEM, freed_memory

NAMES = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
class Info(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in NAMES.split()]

libc = ctypes.CDLL("libc.so.6")
libc.mallinfo2.restype = Info
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
libc.free.argtypes = (ctypes.c_void_p,)
CPU, never_freed = torch.device("cpu"), []

def is_mapped(size):
    before = libc.mallinfo2().hblks
    never_freed.append(libc.malloc(size))
    return libc.mallinfo2().hblks > before

def most_kept():
    blocks, most = [libc.malloc(100_000) for _ in range(1_000)], 0
    for block in reversed(blocks):
        libc.free(block)
        most = max(most, libc.mallinfo2().keepcost)
    return most

def thresholds():
    return {"kept": most_kept(), "mapped": [is_mapped(n) for n in (150_000, 1_500_000, 3_000_000, 7_000_000, 2**26)]}

for size in map(int, sys.argv[1:]):
    libc.free(libc.malloc(size))
before = thresholds()
with freed_memory(KEEP, CPU):
    with freed_memory(KEEP, CPU):
        pass
    within = most_kept()
    with freed_memory(SYSTEM, CPU):
        system = most_kept()
    again = most_kept()
print(json.dumps({"before": before, "within": [within, again], "system": system, "after": thresholds()}))
"""
ALL_BLOCKS, BLOCK = 100_000_000, 100_000


def thresholds(*freed, **environment):
    """The thresholds of a fresh process before, within and after a measurement."""
    unset = {name: value for name, value in os.environ.items() if not name.startswith(("MALLOC_", "GLIBC_"))}
    place = {"PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, "-c", PROGRAM, *map(str, freed)]
    done = subprocess.run(command, env=unset | place | environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@needs_glibc
@pytest.mark.skipif(not hasattr(allocator._glibc(), "mallinfo2"), reason="the test's own look needs glibc 2.33")
@pytest.mark.parametrize(
    ("freed", "environment", "smallest_mapped", "kept"),
    [
        ((), {}, None, None),
        ((5_000_000,), {}, 7_000_000, 10_000_000),  # glibc maps what is larger than what was freed, keeps twice that
        ((), {"MALLOC_MMAP_MAX_": "0"}, None, None),
        ((), {"MALLOC_MMAP_THRESHOLD_": "2000000"}, 3_000_000, None),
        ((), {"MALLOC_TRIM_THRESHOLD_": "20000000"}, None, 20_000_000),
        ((), {"MALLOC_TRIM_THRESHOLD_": "0x1312d00", "MALLOC_MMAP_MAX_": "5"}, None, 20_000_000),
        (
            (),
            {"GLIBC_TUNABLES": "glibc.malloc.trim_threshold=8388608:glibc.malloc.mmap_threshold=4194304"},
            7_000_000,
            8_388_608,
        ),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_the_thresholds_are_as_they_were(freed, environment, smallest_mapped, kept):
    found = thresholds(*freed, **environment)
    assert found["after"]["mapped"] == found["before"]["mapped"]
    assert found["after"]["kept"] == pytest.approx(found["before"]["kept"], abs=2 * BLOCK)
    assert found["system"] == pytest.approx(found["before"]["kept"], abs=2 * BLOCK)
    assert min(found["within"]) > 0.9 * ALL_BLOCKS
    if smallest_mapped:  # that the look sees what was asked for
        sizes = (150_000, 1_500_000, 3_000_000, 7_000_000, 2**26)
        assert found["before"]["mapped"] == [size >= smallest_mapped for size in sizes]
    if kept:
        assert found["before"]["kept"] == pytest.approx(kept, abs=2 * BLOCK)


@needs_glibc
def test_an_error_within_restores_them_too():
    with pytest.raises(ZeroDivisionError), freed_memory(KEEP, CPU), freed_memory(KEEP, CPU):
        _ = 1 / 0
    assert allocator._in_force == []


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, {}),
        ({"MALLOC_ARENA_MAX": "1", "GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}, {}),
        ({"MALLOC_TOP_PAD_": "010"}, {}),
        ({"MALLOC_TOP_PAD_": "4096", "MALLOC_MMAP_MAX_": "many"}, {"top_pad": 4096}),
        ({"GLIBC_TUNABLES": "glibc.malloc.mmap_max=7", "MALLOC_MMAP_MAX_": "9"}, {"mmap_max": 7}),
    ],
)
def test_settings_of_the_environment_are_read_as_glibc_reads_them(environment, found):
    assert allocator._settings(environment) == found
