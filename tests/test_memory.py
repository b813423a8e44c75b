"""Memory: the largest live set of graphs small enough to draw, and peaks of known allocations."""

import pytest
import torch
from torch import nn

from ulsam_cost.errors import DeviceError
from ulsam_cost.measuring import memory, resident
from ulsam_cost.measuring.memory import LABELS, Memory, largest_live_set, measure_memory, require_memory_for
from ulsam_cost.measuring.resident import resident_peak
from ulsam_cost.measuring.runner import make_setting
from ulsam_cost.nn.networks import build

X = torch.ones(3, 4)
FLOAT, N = 4, 3  # bytes of an element, batch
CHAIN = nn.Sequential(nn.Linear(4, 8, bias=False), nn.ReLU(), nn.Linear(8, 2, bias=False))


def test_a_chain_holds_two_maps_at_most():
    # product: 3x8; ReLU: 3x8 and 3x8; product: 3x8 and 3x2
    assert largest_live_set(CHAIN, (X,)).bytes == (N * 8 + N * 8) * FLOAT
    assert largest_live_set(CHAIN, (X,)).operator == "relu"


def test_an_operation_in_place_needs_no_second_map():
    in_place = nn.Sequential(nn.Linear(4, 8, bias=False), nn.ReLU(inplace=True), nn.Linear(8, 2, bias=False))
    assert largest_live_set(in_place, (X,)).bytes == (N * 8 + N * 2) * FLOAT


def test_a_skip_keeps_its_map_alive():
    class Skip(nn.Module):
        def forward(self, x):
            y = x.exp()
            return y + y.exp().exp()  # y, and the two that lie between, at the second exp and at the addition

    assert largest_live_set(Skip(), (X,)).bytes == 3 * (N * 4) * FLOAT


def test_a_view_is_no_map_of_its_own():
    class Views(nn.Module):
        def forward(self, x):
            return x.exp().view(4, 3).t().exp()

    assert largest_live_set(Views(), (X,)).bytes == 2 * (N * 4) * FLOAT


def test_a_step_keeps_what_the_backward_pass_reads():
    # at the ReLU's backward: gradient of the second weights, the ReLU's result, and the gradients around it
    live = largest_live_set(CHAIN, (X,), train=True)
    drawn = (2 * 8 + N * 8 + N * 8 + N * 8) * FLOAT
    assert live.bytes == drawn
    assert live.operator == "threshold_backward"


def test_a_smaller_dtype_takes_less():
    assert largest_live_set(CHAIN, (X,), dtype=torch.bfloat16).bytes == (N * 8 + N * 8) * 2


def test_inputs_may_be_named():
    class Named(nn.Module):
        def forward(self, *, x):
            return x.exp()

    assert largest_live_set(Named(), (), {"x": X}).bytes == N * 4 * FLOAT


def test_a_model_that_needs_data_has_no_bound():
    class Looks(nn.Module):
        def forward(self, x):
            return x * x.sum().item()

    assert largest_live_set(Looks(), (X,)) is None
    assert measure_memory(Looks(), X, setting=make_setting(device="cpu")).bound_bytes is None


def test_the_allocators_peak_is_that_of_known_blocks():
    def run():
        a = torch.ones(10_000)
        b = a + 1
        del a
        c = b + 1
        return c.sum()

    peak = memory._allocated_peak(run)
    assert 2 * 10_000 * FLOAT <= peak <= 2 * 10_000 * FLOAT + 1000


@pytest.mark.parametrize("train", [False, True])
def test_no_run_takes_less_than_the_bound(train):
    model, x = build("mv2", width=0.35, resolution=64), torch.ones(2, 3, 64, 64)
    found = measure_memory(model, x, setting=make_setting(device="cpu", train=train))
    assert 0 < found.bound_bytes <= found.peak_bytes < 2 * found.bound_bytes
    assert found.inputs_bytes == 2 * 3 * 64 * 64 * FLOAT
    tensors = (*model.parameters(), *model.buffers())
    assert found.weights_bytes == sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    assert found.reserved_bytes is None


def test_the_resident_peak_sees_a_large_block():
    peak = resident_peak(lambda: torch.ones(2**24))
    assert peak is None or peak > 0.9 * 2**24 * FLOAT  # the system counts pages in batches


def test_a_system_that_does_not_tell_is_none(monkeypatch, tmp_path):
    monkeypatch.setattr(resident, "_CLEAR_PEAK", tmp_path / "missing" / "clear_refs")
    assert resident_peak(lambda: None) is None


def test_a_batch_that_does_not_fit_is_refused_before_it_runs(monkeypatch):
    setting = make_setting(device="cpu")
    monkeypatch.setattr(memory, "free_memory", lambda: N * 8 * 2 * FLOAT)
    require_memory_for(CHAIN, X, setting)
    monkeypatch.setattr(memory, "free_memory", lambda: N * 8 * 2 * FLOAT - 1)
    with pytest.raises(DeviceError, match="192 bytes and 191 are free; a smaller batch is accepted"):
        require_memory_for(CHAIN, X, setting)


def test_every_number_has_a_label():
    assert set(LABELS) == set(Memory.__dataclass_fields__)
