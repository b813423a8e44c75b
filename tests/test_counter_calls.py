"""Ways to spell a call: results written into a given tensor, operands under their names, rules that fail."""

import sys
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from counting import Call, count_both_ways, zeros
from torch import nn
from torch.nn import functional as F

import ulsam_cost as uc
from ulsam_cost.errors import CostError

# name: (function of x [4, 5] that writes into a given result, MACs, kinds)
INTO_A_RESULT = {
    "mm": (lambda x: torch.mm(x, x.T, out=x.new_empty(4, 4)), 4 * 4 * 5, {"matmul"}),
    "bmm": (lambda x: torch.bmm(x[None], x.T[None], out=x.new_empty(1, 4, 4)), 4 * 4 * 5, {"matmul"}),
    "matmul": (lambda x: torch.matmul(x, x.T, out=x.new_empty(4, 4)), 4 * 4 * 5, {"matmul"}),
    "mv": (lambda x: torch.mv(x, x[0], out=x.new_empty(4)), 4 * 5, {"matmul"}),
    "addmm": (lambda x: torch.addmm(x[0, :4], x, x.T, out=x.new_empty(4, 4)), 4 * 4 * 5, {"matmul", "bias"}),
    "add": (lambda x: torch.add(x, x, out=torch.empty_like(x)), 0, {"add"}),
    "div": (lambda x: torch.div(x, x, out=torch.empty_like(x)), 0, {"multiply"}),
    "sum": (lambda x: torch.sum(x, 0, out=x.new_empty(5)), 0, {"reduce"}),
    "sigmoid": (lambda x: torch.sigmoid(x, out=torch.empty_like(x)), 0, {"activation"}),
    "cat": (lambda x: torch.cat([x, x], out=x.new_empty(8, 5)), 0, {"movement"}),
}


@pytest.mark.parametrize("name", INTO_A_RESULT)
def test_a_result_that_is_given_is_not_read(name):
    forward, macs, kinds = INTO_A_RESULT[name]
    count = count_both_ways(Call(forward), zeros(4, 5))
    assert (count.macs, set(count.by_kind())) == (macs, kinds)
    assert not count.uncounted
    if name in ("add", "div"):
        assert [op.reads for op in count.cost] == [2 * (4 * 5)]


def test_normalize_into_a_result():
    count = count_both_ways(Call(lambda x: F.normalize(x, out=torch.empty_like(x))), zeros(4, 5))
    assert [op.output for op in count.cost if op.kind == "multiply"] == [(4, 5)]
    assert not count.uncounted


def test_spectral_norm_in_training():
    layer = nn.utils.parametrizations.spectral_norm(nn.Linear(4, 6)).train()
    power_iteration, sigma = 6 * 4 + 4 * 6, 6 * 4 + 6
    count = count_both_ways(layer, zeros(5, 4))
    assert count.macs == 5 * 6 * 4 + power_iteration + sigma
    assert not count.uncounted


@pytest.mark.parametrize(
    ("forward", "macs"),
    [
        (lambda x: torch.matmul(input=x, other=x.T), 4 * 4 * 5),
        (lambda x: torch.matmul(x, other=x.T), 4 * 4 * 5),
        (lambda x: x.matmul(other=x.T), 4 * 4 * 5),
        (lambda x: x.matmul(other=x[0]), 4 * 5),
        (lambda x: F.linear(input=x, weight=x), 4 * 4 * 5),
        (lambda x: F.linear(x, weight=x, bias=x[0, :4]), 4 * 4 * 5),
        (lambda x: torch.bmm(input=x[None], mat2=x.T[None]), 4 * 4 * 5),
        (lambda x: torch.addmm(x[0, :4], mat1=x, mat2=x.T), 4 * 4 * 5),
        (lambda x: F.conv2d(input=x[None, None], weight=x[None, None, :3, :3]), 2 * 3 * (3 * 3)),
        (
            lambda x: F.scaled_dot_product_attention(query=x[None], key=x[None], value=x[None]),
            2 * (4 * 4 * 5),
        ),
    ],
)
def test_operands_under_their_names(forward, macs):
    count = count_both_ways(Call(forward), zeros(4, 5))
    assert count.macs == macs
    assert not count.uncounted


@pytest.mark.parametrize(
    ("forward", "macs"),
    [
        (lambda x: torch.linalg.vecdot(x, x), 4 * 5),
        (lambda x: torch.linalg.vecdot(x, x[0]), 4 * 5),
        (lambda x: torch.linalg.vecdot(x[None], y=x[:, None]), 4 * 4 * 5),
        (lambda x: torch.linalg.vecdot(x, x, dim=0), 5 * 4),
        (lambda x: torch.linalg.vecdot(x, x, out=x.new_empty(4)), 4 * 5),
    ],
    ids=["rows", "one row", "pairs", "columns", "into a result"],
)
def test_dots(forward, macs):
    count = count_both_ways(Call(forward), zeros(4, 5))
    assert (count.macs, set(count.by_kind())) == (macs, {"matmul"})


def test_a_rule_that_fails_leaves_a_row():
    name = f"counter_{uuid.uuid4().hex}"
    lib = torch.library.Library(name, "DEF")
    lib.define("fused(Tensor a, Tensor b) -> Tensor")
    for device in ("CPU", "Meta"):
        lib.impl("fused", lambda a, b: a @ b, device)
    operator = getattr(torch.ops, name).fused

    def rule(record, out, a):
        raise AssertionError("not called with one operand")

    uc.register_rule(operator, rule)
    count = count_both_ways(nn.Sequential(Call(lambda x: operator(x, x)), nn.Linear(4, 3)), zeros(4, 4))
    assert count.macs == 4 * 4 * 3
    [found] = count.uncounted
    assert (found.operator, found.path, found.shapes) == (f"{name}::fused", "0", ((4, 4), (4, 4)))
    assert found.severity == "product"
    del lib


def test_a_rule_of_this_packages_that_fails_leaves_a_row(monkeypatch):
    def fails(*_, **__):
        raise KeyError("shape")

    monkeypatch.setitem(uc.counting.rules.RULES, torch.ops.aten.cumsum, fails)
    count = count_both_ways(Call(lambda x: x.cumsum(0)), zeros(4, 4))
    assert [(op.operator, op.severity) for op in count.uncounted] == [("aten::cumsum", "product")]


def test_an_error_of_the_models_stays_its_own():
    with pytest.raises(TypeError, match="required positional"):
        uc.count(Call(lambda x: torch.matmul(x, nobody=x)), zeros(4, 4))


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
def test_modules_that_other_threads_run(device, fast):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Linear(4, 5, bias=False), nn.Linear(5, 6, bias=False)
            self.pool = ThreadPoolExecutor(1)

        def forward(self, x):
            x, found = self.first(x), []
            thread = threading.Thread(target=lambda: found.append(self.second(x)))
            thread.start()
            thread.join()
            return found[0] + self.pool.submit(self.second, x).result()

    count = uc.count(Model().to(device), torch.zeros(3, 4, device=device), fast=fast)
    assert [(op.path, op.macs) for op in count.cost if op.macs] == [
        ("first", 3 * 4 * 5),
        ("second", 3 * 5 * 6),
        ("second", 3 * 5 * 6),
    ]
    assert not count.real_run


@pytest.mark.parametrize("options", [{}, {"fast": False}, {"train": True}], ids=["fast", "slow", "train"])
def test_modules_nested_as_deep_as_pytorch_runs_them(options):
    model = nn.Linear(2, 3)
    for _ in range(190):
        model = nn.Sequential(model)
    limit = sys.getrecursionlimit()
    model(zeros(5, 2))
    assert uc.count(model, zeros(5, 2), **options).macs == (1 + ("train" in options)) * 5 * 2 * 3
    assert sys.getrecursionlimit() == limit


@pytest.mark.parametrize("options", [{}, {"fast": False}, {"train": True}], ids=["fast", "slow", "train"])
def test_a_forward_that_ends_the_program(options):
    with pytest.raises(CostError, match=r"calls sys\.exit\(0\)"):
        uc.count(Call(lambda x: sys.exit(0)), zeros(2), **options)
