"""A complex MAC is four real ones under this project's conventions, and one MAC to every other tool."""

import pytest
import torch
from counting import Call, count_both_ways, zeros
from torch import nn
from torch.nn import functional as F

import ulsam_cost as uc
from ulsam_cost.peers import run_peer

COMPLEX = torch.complex64
# name: (function, shapes, complex MACs)
PRODUCTS = {
    "mm": (torch.mm, [(5, 4), (4, 6)], 5 * 4 * 6),
    "@": (lambda a, b: a @ b, [(2, 5, 4), (4, 6)], 2 * 5 * 4 * 6),
    "bmm": (torch.bmm, [(2, 5, 4), (2, 4, 6)], 2 * 5 * 4 * 6),
    "linear": (F.linear, [(5, 4), (6, 4), (6,)], 5 * 4 * 6),
    "addmm": (torch.addmm, [(6,), (5, 4), (4, 6)], 5 * 4 * 6),
    "einsum": (lambda a, b: torch.einsum("bij,bjk->bik", a, b), [(2, 5, 4), (2, 4, 6)], 2 * 5 * 4 * 6),
    "dot": (torch.dot, [(4,), (4,)], 4),
    "vdot": (torch.vdot, [(4,), (4,)], 4),
    "bilinear": (F.bilinear, [(5, 3), (5, 4), (6, 3, 4)], 5 * 6 * 4 * 3 + 5 * 6 * 4),
    "under vmap": (torch.vmap(torch.mm), [(3, 5, 4), (3, 4, 6)], 3 * 5 * 4 * 6),
}


def _by_hand(a, b):
    """Real multiplications and additions of a complex matrix product, number by number."""
    multiplications = additions = 0
    for row in a:
        for column in zip(*b, strict=True):
            real = imaginary = 0.0
            for (x, y), (u, v) in zip(row, column, strict=True):
                real += x * u - y * v
                imaginary += x * v + y * u
                multiplications += 4
                additions += 4  # one of them joins the two products, one adds to the sum, for each part
            assert real == imaginary == 0
    return multiplications, additions


def test_the_real_operations_of_a_complex_product():
    a, b = [[(0.0, 0.0)] * 4] * 5, [[(0.0, 0.0)] * 6] * 4
    multiplications, additions = _by_hand(a, b)
    count = uc.count(Call(torch.mm), (zeros(5, 4, dtype=COMPLEX), zeros(4, 6, dtype=COMPLEX)))
    assert count.macs == count.number("macs") == multiplications
    assert count.number("flops") == count.number("strict") == multiplications + additions


@pytest.mark.parametrize("tool", ["torch", "fvcore"])
@pytest.mark.parametrize("name", PRODUCTS)
def test_products(name, tool):
    function, shapes, macs = PRODUCTS[name]
    inputs = tuple(zeros(*shape, dtype=COMPLEX) for shape in shapes)
    count = count_both_ways(Call(function), inputs)
    assert count.macs == 4 * macs
    assert [op.own_macs for op in count.cost if op.macs] == [macs]
    assert not count.uncounted
    if name != "bilinear":  # which fvcore traces into its pieces
        assert count.number(tool) == run_peer(tool, Call(function), inputs)


@pytest.mark.parametrize("tool", ["torch", "fvcore", "thop"])
def test_layers(tool):
    model, x = nn.Sequential(nn.Linear(4, 6, dtype=COMPLEX), nn.Linear(6, 3, dtype=COMPLEX)), zeros(5, 4, dtype=COMPLEX)
    count = count_both_ways(model, x)
    assert (count.macs, count.params) == (4 * (5 * 4 * 6 + 5 * 6 * 3), 4 * 6 + 6 + 6 * 3 + 3)
    assert count.number(tool) == run_peer(tool, model, x)


def test_the_backward_of_a_complex_product_is_complex():
    layer = nn.Linear(4, 6, dtype=COMPLEX)
    count = uc.count(layer, zeros(5, 4, dtype=COMPLEX).requires_grad_(), train=True)
    assert count.macs == 3 * 4 * (5 * 4 * 6)


def test_a_rule_of_ones_own_gives_macs_of_its_operands_numbers():
    with torch.library._scoped_library("complex_rule", "DEF") as library:
        library.define("product(Tensor a, Tensor b) -> Tensor")
        library.impl("product", torch.mm, "CompositeExplicitAutograd")
        uc.register_rule(
            "complex_rule::product",
            lambda record, out, a, b: record(uc.OpKind.MATMUL, out.shape, macs=out.numel() * a.shape[1], reads=0),
        )
        model = Call(torch.ops.complex_rule.product)
        assert uc.count(model, (zeros(5, 4), zeros(4, 6))).macs == 5 * 4 * 6
        assert uc.count(model, (zeros(5, 4, dtype=COMPLEX), zeros(4, 6, dtype=COMPLEX))).macs == 4 * (5 * 4 * 6)


def test_a_complex_convolution_is_three_real_ones_as_pytorch_runs_it():
    layer, x = nn.Conv2d(4, 6, 3, bias=False).to(COMPLEX), zeros(2, 4, 9, 7, dtype=COMPLEX)
    count = count_both_ways(layer, x)
    assert count.macs == 3 * (2 * 6 * (7 * 5) * (4 * 3 * 3))
    assert count.number("torch") == run_peer("torch", layer, x)
