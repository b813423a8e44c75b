"""Ways to spell a call: results written into a given tensor, operands under their names, rules that fail."""

import uuid

import pytest
import torch
from counting import Call, count_both_ways, zeros
from torch import nn
from torch.nn import functional as F

import ulsam_cost as uc

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

    monkeypatch.setitem(uc.profiler.rules.RULES, torch.ops.aten.tanh, fails)
    count = count_both_ways(Call(torch.tanh), zeros(4, 4))
    assert [(op.operator, op.severity) for op in count.uncounted] == [("aten::tanh", "product")]


def test_an_error_of_the_models_stays_its_own():
    with pytest.raises(TypeError, match="required positional"):
        uc.count(Call(lambda x: torch.matmul(x, nobody=x)), zeros(4, 4))
