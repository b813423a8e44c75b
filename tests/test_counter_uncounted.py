"""Operations without a rule are listed with where, what, how often and how grave; a rule can be registered."""

import uuid

import pytest
import torch
from counting import Call, count_both_ways, zeros
from torch import nn
from torch.ao.quantization import FusedMovingAvgObsFakeQuantize, MovingAverageMinMaxObserver
from torch.nn import functional as F

import ulsam_cost as uc
from ulsam_cost.counting.severity import severity_of


def library(signature, implementation, *, fake=None, tags=()):
    """A new operator in a library of its own."""
    name = f"counter_{uuid.uuid4().hex}"
    lib = torch.library.Library(name, "DEF")
    operator, _, rest = signature.partition("(")
    lib.define(f"{operator}({rest}", tags=tags)
    lib.impl(operator, implementation, "CPU")
    if fake is not None:
        lib.impl(operator, fake, "Meta")
    return lib, name, getattr(getattr(torch.ops, name), operator)


def product(a, b):
    return a @ b


@pytest.mark.parametrize("fake", [None, product], ids=["without a meta kernel", "with a meta kernel"])
def test_a_custom_operator_is_uncounted_until_it_has_a_rule(fake):
    lib, name, operator = library("fused(Tensor a, Tensor b) -> Tensor", product, fake=fake)
    model = nn.Sequential(Call(lambda x: operator(operator(x, x), x)))
    count = uc.count(model, zeros(4, 4))
    assert count.macs == 0
    assert bool(count.real_run) == (fake is None)
    [found] = count.uncounted
    assert (found.operator, found.path, found.calls) == (f"{name}::fused", "0", 2)
    assert found.shapes == ((4, 4), (4, 4))
    assert found.severity == "product"

    def rule(record, out, a, b):
        record(uc.OpKind.MATMUL, out.shape, macs=out.numel() * a.shape[-1], reads=a.numel() + b.numel())

    uc.register_rule(f"{name}::fused", rule)
    assert uc.count(model, zeros(4, 4)).macs == 2 * (4 * 4 * 4)
    assert not uc.count(model, zeros(4, 4)).uncounted
    with pytest.raises(uc.CostError, match="has a rule already"):
        uc.register_rule(operator, rule)
    del lib


def test_a_rule_is_preferred_to_the_pieces_of_an_operator():
    name = f"counter_{uuid.uuid4().hex}"
    lib = torch.library.Library(name, "DEF")
    lib.define("pieces(Tensor a) -> Tensor")
    lib.impl("pieces", lambda a: a @ a + a, "CompositeImplicitAutograd")
    operator = getattr(torch.ops, name).pieces
    model = Call(operator)
    assert count_both_ways(model, zeros(4, 4)).macs == 4 * 4 * 4
    uc.register_rule(
        operator.default, lambda record, out, a: record(uc.OpKind.MATMUL, out.shape, macs=7, reads=a.numel())
    )
    assert count_both_ways(model, zeros(4, 4)).macs == 7
    del lib


@pytest.mark.parametrize("operator", ["nobody::knows", "nonsense", len])
def test_only_operators_take_rules(operator):
    with pytest.raises(uc.CostError, match="accepted"):
        uc.register_rule(operator, lambda record, out: None)


@pytest.mark.parametrize(
    ("forward", "operator", "severity"),
    [
        (torch.linalg.matrix_exp, "linalg_matrix_exp", "product"),
        (lambda x: torch.cross(x[:, :3], x[:, :3], dim=1), None, None),
    ],
    ids=["exponential", "cross"],
)
def test_severity(forward, operator, severity):
    count = count_both_ways(Call(forward), zeros(4, 4))
    found = {op.operator: op.severity for op in count.uncounted}
    if severity is None:
        assert "product" not in found.values()
    else:
        assert found[f"aten::{operator}"] == severity


@pytest.mark.parametrize(
    ("shapes", "results", "severity"),
    [
        (((2, 3), (2, 3)), ((2, 3),), "elementwise"),
        (((2, 3), (3,)), ((2, 3),), "elementwise"),
        (((2, 3), (3, 4)), ((2, 4),), "product"),
        (((2, 3),), ((3, 2),), "movement"),
        (((2, 3),), (), "movement"),
    ],
)
def test_severity_by_shapes(shapes, results, severity):
    assert severity_of("aten::op", shapes, results) == severity


def test_two_matrices_in_a_foreign_operator_could_be_a_product():
    assert severity_of("own::op", ((2, 2), (2, 2)), ((2, 2),)) == "product"
    assert severity_of("own::op", ((2, 2), (2,)), ((2, 2),)) == "elementwise"


def test_operations_that_give_no_tensor_have_rules():
    count = uc.count(Call(lambda x: x if torch.equal(x, x.clone()) else x @ x.T), zeros(4, 6))
    assert count.uncounted == ()
    # of 24 pairs a comparison each, and 23 times two of them taken together
    assert [(op.reads, count.number("strict")) for op in count.cost if op.operator == "equal"] == [(24 + 24, 24 + 23)]

    lib, _, operator = library("double_(Tensor(a!) a) -> ()", lambda a: None, fake=lambda a: None)
    uc.register_rule(operator, lambda record, out, a: record(uc.OpKind.MULTIPLY, a.shape, reads=a.numel()))
    count = uc.count(Call(lambda x: (operator(x), x)[1]), zeros(4, 6))
    assert (count.cost.writes, count.uncounted) == (24, ())
    del lib


NOT_PRODUCTS = {
    "unpacked factors": (lambda x: torch.lu_unpack(*torch.linalg.lu_factor(x))[1], zeros(2, 5, 5)),
    "rows made shorter": (nn.Embedding(10, 4, max_norm=1.0), zeros(2, 3, dtype=torch.int64)),
    "frequencies": (lambda x: x * torch.fft.fftfreq(4, device=x.device), zeros(2, 4)),
    "membership": (lambda x: torch.isin(x, x[0]), zeros(2, 4)),
    "a copy of a view": (torch.alias_copy, zeros(2, 4)),
    "quantized while it learns": (
        FusedMovingAvgObsFakeQuantize(quant_min=0, quant_max=255, observer=MovingAverageMinMaxObserver),
        zeros(2, 4),
    ),
}


@pytest.mark.parametrize("name", NOT_PRODUCTS)
def test_what_is_no_product_has_a_rule(name):
    function, x = NOT_PRODUCTS[name]
    count = uc.count(function if isinstance(function, nn.Module) else Call(function), x)
    assert count.uncounted == ()


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (F.bilinear, [(0, 3), (0, 4), (5, 3, 4)]),
        (lambda x: F.max_pool2d(x, 2), [(0, 4, 8, 8)]),
        (lambda x: F.adaptive_avg_pool2d(x, 1), [(0, 4, 8, 8)]),
        (lambda x: F.avg_pool1d(x, 2), [(0, 4, 8)]),
    ],
    ids=["bilinear", "max_pool2d", "adaptive_avg_pool2d", "avg_pool1d"],
)
def test_no_rows_cost_nothing(device, function, shapes):
    inputs = [torch.zeros(shape, device=device) for shape in shapes]
    count = uc.count(Call(function), tuple(inputs))
    assert (count.macs, count.uncounted, count.real_run) == (0, (), "")
    assert count.outputs == (tuple(function(*inputs).shape),)


def test_a_rectifier_of_whole_numbers_without_values():
    x = torch.zeros(2, 4, dtype=torch.int64, device="meta")
    assert uc.count(Call(lambda x: F.relu6(F.relu(x))), x).outputs == ((2, 4),)


def test_a_rule_of_an_overload_that_fails_is_listed_under_the_operators_name():
    _lib, name, op = library("double(Tensor x) -> Tensor", lambda x: 2 * x)

    def failing(record, out, x):
        raise ValueError("no rule for these")

    uc.register_rule(op, failing)
    [row] = uc.count(Call(op.default), zeros(2, 3)).uncounted
    assert (row.operator, row.error) == (f"{name}::double", "ValueError: no rule for these")
