"""Models on a CUDA device: the same count, nothing computed, and the kernels that a real run takes."""

import pytest
import torch
from counting import Call
from torch import nn
from torch.nn import functional as F

import ulsam_cost as uc

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def test_a_model_on_the_device_costs_what_it_costs_elsewhere():
    model, x = uc.build("mv2", positions="14,17"), torch.zeros(1, 3, 64, 64)
    expected = uc.count(model, x)
    allocated = torch.cuda.memory_allocated()
    on_device, image = model.cuda(), x.cuda()
    state, held = torch.cuda.get_rng_state(), torch.cuda.memory_allocated()
    for fast in (True, False):
        assert uc.count(on_device, image, fast=fast).cost == expected.cost
    assert torch.cuda.memory_allocated() == held > allocated
    assert torch.equal(torch.cuda.get_rng_state(), state)
    assert uc.count(on_device, image, train=True).macs == uc.count(model.cpu(), x, train=True).macs


def really(function):
    """A model that runs for real, because it looks at a value."""
    return Call(lambda *args: function(*args) if args[0].sum() >= 0 else args[0])


def test_the_devices_recurrent_kernel():
    layer = nn.LSTM(3, 5, num_layers=2).cuda()
    count = uc.count(nn.Sequential(really(lambda x: x), layer), torch.zeros(7, 2, 3, device="cuda"))
    assert count.real_run
    assert count.macs == 7 * 2 * (4 * 5 * (3 + 5) + 4 * 5 * (5 + 5))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_devices_attention_kernels(dtype):
    query, key = (torch.zeros(2, 4, length, 64, device="cuda", dtype=dtype) for length in (16, 24))
    count = uc.count(really(F.scaled_dot_product_attention), (query, key, key))
    assert count.real_run
    assert count.macs == 2 * (2 * 4 * 16 * 24 * 64)
    layer = nn.MultiheadAttention(64, 4, batch_first=True).to("cuda", dtype).eval()
    model = really(lambda x: layer(x, x, x, need_weights=False)[0])
    count = uc.count(model, torch.zeros(2, 16, 64, device="cuda", dtype=dtype))
    assert count.macs == 4 * 2 * 16 * 64 * 64 + 2 * (2 * 16 * 16 * 64)


def test_a_real_run_leaves_the_devices_random_numbers_alone():
    state = torch.cuda.get_rng_state()
    model = nn.Sequential(nn.Linear(4, 4).cuda(), nn.Dropout(), really(lambda x: x)).train()
    assert uc.count(model, torch.zeros(2, 4, device="cuda")).real_run
    assert torch.equal(torch.cuda.get_rng_state(), state)
