"""What becomes of freed memory: kept while models are timed, given back afterwards, and refused where it cannot be."""

import pytest
import torch

from ulsam_cost.errors import CostError
from ulsam_cost.profiler import allocator
from ulsam_cost.profiler.allocator import KEEP, SYSTEM, freed_memory, give_back, resolve_allocator
from ulsam_cost.profiler.runner import make_setting

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
