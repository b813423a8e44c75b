"""What the rules record beside MACs, by hand: kinds, elements read, and how many go into one of the result."""

from math import prod

import numpy as np
import pytest
import sympy
import torch
from counting import Call, count_both_ways, zeros
from torch import nn
from torch.nn import functional as F

import ulsam_cost as uc
from ulsam_cost.cost import OpKind
from ulsam_cost.counting.rules import RULES
from ulsam_cost.formulas.layers import (
    adaptive_avg_pool2d_cost,
    amax_cost,
    global_avg_pool_cost,
    global_max_pool_cost,
    mean_cost,
    reduce_cost,
)


def rows(cost):
    return [(op.kind, op.output, op.macs, op.reads, op.reduction) for op in cost]


def wanting(*shape):
    return zeros(*shape).requires_grad_()


def test_the_backward_of_a_convolution():
    x, result, weight = 2 * 4 * 9 * 7, 2 * 6 * 7 * 5, 6 * 2 * 3 * 3
    macs = 2 * 6 * (7 * 5) * (2 * 3 * 3)
    backward = uc.count(nn.Conv2d(4, 6, 3, groups=2), wanting(2, 4, 9, 7), train=True).backward
    assert rows(backward) == [
        ("conv", (2, 4, 9, 7), macs, result + weight, macs // x),
        ("conv", (6, 2, 3, 3), macs, result + x, 2 * 7 * 5),  # each tap meets every position of every map
        ("reduce", (6,), 0, result, 2 * 7 * 5),
    ]


def test_the_backward_of_a_convolution_whose_input_and_bias_want_none():
    macs = 2 * 6 * (7 * 5) * (4 * 3 * 3)
    weights = [("conv", (6, 4, 3, 3), macs, 2 * 6 * 7 * 5 + 2 * 4 * 9 * 7, 2 * 7 * 5)]
    layer, x = nn.Conv2d(4, 6, 3), zeros(2, 4, 9, 7)
    assert rows(uc.count(nn.Conv2d(4, 6, 3, bias=False), x, train=True).backward) == weights
    bias = [("reduce", (6,), 0, 2 * 6 * 7 * 5, 2 * 7 * 5)]
    assert rows(uc.count(layer, x, train=True).backward) == weights + bias
    layer.weight.requires_grad_(False)
    assert rows(uc.count(layer, x, train=True).backward) == bias


def test_the_backward_of_a_transposed_convolution():
    x, result, weight = 2 * 4 * 9 * 7, 2 * 6 * 19 * 15, 4 * 3 * 3 * 3
    macs = 2 * 4 * (9 * 7) * (3 * 3 * 3)
    layer = nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2)
    assert rows(uc.count(layer, wanting(2, 4, 9, 7), train=True).backward) == [
        ("conv", (2, 4, 9, 7), macs, result + weight, 3 * 3 * 3),
        ("conv", (4, 3, 3, 3), macs, result + x, 2 * 9 * 7),
        ("reduce", (6,), 0, result, 2 * 19 * 15),
    ]


def gradients_of_attention(batch, queries, keys, width, out_width):
    """[l, d] = [l, s] @ [s, d], [s, d] = [s, l] @ [l, d], [s, v] = [s, l] @ [l, v], and of the scores what came in."""
    scores, pairs = batch * queries * keys, (queries, keys)
    key, query = batch * keys * width, batch * queries * width
    value, grad = batch * keys * out_width, batch * queries * out_width
    return [
        ("matmul", (2, 4, queries, width), scores * width, scores + key, keys),
        ("matmul", (2, 4, keys, width), scores * width, scores + query, queries),
        ("matmul", (2, 4, keys, out_width), scores * out_width, scores + grad, queries),
        ("matmul", (2, 4, *pairs), scores * out_width, grad + value, out_width),
        ("softmax", (2, 4, *pairs), 0, 2 * scores, keys),
    ]


def test_the_backward_of_attention_as_a_cpu_runs_it():
    def forward(q, k, v):
        return F.scaled_dot_product_attention(q, k, v) if q.sum() >= 0 else q  # makes the run a real one

    inputs = wanting(2, 4, 5, 8), wanting(2, 4, 7, 8), wanting(2, 4, 7, 8)
    count = uc.count(Call(forward), inputs, train=True)
    assert count.real_run
    products = [op for op in count.backward if op.kind in ("matmul", "softmax")]
    assert rows(products) == gradients_of_attention(2 * 4, 5, 7, 8, 8)


def test_the_backward_of_attention_with_values_of_another_width():
    kernel = torch.ops.aten._scaled_dot_product_efficient_attention_backward

    def backward(grad, q, k, v, seed):
        return kernel(grad, q, k, v, None, grad, grad[..., 0], seed, seed, 0.0, [True] * 3 + [False], False)

    inputs = zeros(2, 4, 5, 6), zeros(2, 4, 5, 8), zeros(2, 4, 7, 8), zeros(2, 4, 7, 6), torch.tensor(0)
    cost = uc.count(Call(backward), inputs).cost
    assert rows(cost)[-5:] == gradients_of_attention(2 * 4, 5, 7, 8, 6)


def test_the_fused_encoder_layer():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    with torch.no_grad():
        traced = torch.jit.trace(layer, zeros(3, 5, 8))
    n, length, d, f, heads = 3, 5, 8, 16, 2
    x, scores, hidden = n * length * d, n * heads * length * length, n * length * f
    shape = (n, length, d)
    assert rows(uc.count(traced, zeros(3, 5, 8)).cost) == [
        ("linear", (n, length, 3 * d), x * 3 * d, x + d * 3 * d, d),
        ("bias", (n, length, 3 * d), 0, 3 * d, 1),
        ("matmul", (n, heads, length, length), scores * d // heads, x + x, d // heads),
        ("softmax", (n, heads, length, length), 0, scores, length),
        ("matmul", (n, heads, length, d // heads), scores * d // heads, scores + x, length),
        ("linear", shape, x * d, x + d * d, d),
        ("bias", shape, 0, d, 1),
        ("linear", (n, length, f), x * f, x + d * f, d),
        ("bias", (n, length, f), 0, f, 1),
        ("activation", (n, length, f), 0, hidden, 1),
        ("linear", shape, hidden * d, hidden + f * d, f),
        ("bias", shape, 0, d, 1),
        *[("add", shape, 0, x + x, 1), ("norm", shape, 0, x + 2 * d, d)] * 2,
    ]


def test_a_bilinear_form_is_linear_where_its_weight_is_a_parameter():
    inputs, weight = (zeros(5, 3), zeros(5, 4)), zeros(6, 3, 4)
    macs = 5 * 6 * 3 * 4 + 5 * 6 * 4  # the first input and the weight, summed; then the second
    expected = ((5, 6), macs, 5 * 3 + 5 * 4 + 6 * 3 * 4, 3 * 4)
    assert rows(count_both_ways(Call(F.bilinear), (*inputs, weight)).cost) == [("matmul", *expected)]
    layer = nn.Bilinear(3, 4, 6, bias=False)
    assert rows(count_both_ways(layer, inputs).cost) == [("linear", *expected)]


POOLS = {
    F.max_pool1d: ("pool_max", (8,)),
    F.avg_pool1d: ("pool_avg", (8,)),
    F.max_pool2d: ("pool_max", (8, 9)),
    F.avg_pool2d: ("pool_avg", (8, 9)),
    F.max_pool3d: ("pool_max", (8, 9, 10)),
    F.avg_pool3d: ("pool_avg", (8, 9, 10)),
}


@pytest.mark.parametrize("batch", [(2, 3), (3,)], ids=["batch", "one map"])
@pytest.mark.parametrize("pool", POOLS, ids=lambda pool: pool.__name__)
def test_the_window_of_a_pool(pool, batch):
    kind, size = POOLS[pool]
    result = tuple(length // 2 for length in size)
    for kernel in (2, [2], (2,) * len(size)):
        cost = count_both_ways(Call(lambda x, kernel=kernel: pool(x, kernel)), zeros(*batch, *size)).cost
        assert rows(cost) == [(kind, (*batch, *result), 0, prod(batch) * prod(size), 2 ** len(size))]


@pytest.mark.parametrize("kernel", [2, [2], [2, 2, 2]])
def test_the_window_of_a_pool_that_the_dispatcher_shows_with_one_number(kernel):
    taken = []
    rule = RULES[torch.ops.aten.avg_pool3d]
    rule(lambda *_, **sizes: taken.append(sizes["reduction"]), zeros(2, 3, 4, 4, 5), zeros(2, 3, 8, 9, 10), kernel)
    assert taken == [2 * 2 * 2]


def test_a_window_with_different_sides():
    cost = count_both_ways(Call(lambda x: F.max_pool2d(x, (3, 2))), zeros(2, 3, 9, 8)).cost
    assert rows(cost) == [("pool_max", (2, 3, 3, 4), 0, 2 * 3 * 9 * 8, 3 * 2)]


def test_each_of_many_operands_is_read():
    shapes = [(length, 3) for length in range(1, 7)]
    cost = count_both_ways(Call(lambda *tensors: torch.cat(tensors)), tuple(zeros(*shape) for shape in shapes)).cost
    assert rows(cost) == [("movement", (1 + 2 + 3 + 4 + 5 + 6, 3), 0, 3 * (1 + 2 + 3 + 4 + 5 + 6), 1)]
    cost = count_both_ways(Call(torch.addcmul), (zeros(2, 3), zeros(2, 1), zeros(3))).cost
    assert rows(cost) == [("elementwise", (2, 3), 0, 2 * 3 + 2 + 3, 1)]


# Statistics, scale and shift: each present or absent.
@pytest.mark.parametrize("given", [(True, True), (True, False), (False, True), (False, False)])
@pytest.mark.parametrize("training", [False, True])
def test_a_batch_norm_reads_each_operand_that_it_has(given, training):
    statistics, affine = given
    if not statistics and not training:
        training = True  # without statistics it takes its own
    layer = nn.BatchNorm2d(4, track_running_stats=statistics, affine=affine).train(training)
    norms = count_both_ways(layer, zeros(2, 4, 5, 7)).cost.of_kind("norm")
    maps = 2 * 4 * 5 * 7
    assert rows(norms) == [
        ("norm", (2, 4, 5, 7), 0, maps + 4 * 2 * (statistics + affine), 2 * 5 * 7 if training else 1)
    ]


X = 2 * 4 * 6 * 8
# name: (function of a map [2, 4, 6, 8], kind of its gradient, elements that the gradient reads)
GRADIENTS = {
    "relu": (F.relu, "activation", X + X),  # what came in, and the result
    "sigmoid": (torch.sigmoid, "activation", X + X),
    "tanh": (torch.tanh, "activation", X + X),
    "silu": (F.silu, "activation", X + X),
    "gelu": (F.gelu, "activation", X + X),
    "hardswish": (F.hardswish, "activation", X + X),
    "leaky_relu": (F.leaky_relu, "activation", X + X),
    "softmax": (lambda x: x.softmax(1), "softmax", X + X),
    "log_softmax": (lambda x: x.log_softmax(-1), "softmax", X + X),
    "max pool": (lambda x: F.max_pool2d(x, 2), "pool_max", X // 4 + X + X // 4),  # and where each maximum was
    "average pool": (lambda x: F.avg_pool2d(x, 2), "pool_avg", X // 4 + X),
    "adaptive pool": (lambda x: F.adaptive_avg_pool2d(x, (2, 4)), "pool_avg", 2 * 4 * 2 * 4 + X),
    "interpolation": (lambda x: F.interpolate(x, scale_factor=2, mode="nearest"), "upsample", 4 * X),
    "batch norm": (lambda x: F.batch_norm(x, None, None, training=True), "norm", X + X + 4 + 4),
    "layer norm": (lambda x: F.layer_norm(x, (8,)), "norm", X + X + 2 * 4 * 6 + 2 * 4 * 6),
    "group norm": (lambda x: F.group_norm(x, 2), "norm", X + X + 2 * 2 + 2 * 2),
    "mean square": (lambda x: F.mse_loss(x, torch.zeros_like(x)), "elementwise", 1 + X + X),
    "padding": (lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect"), "movement", 2 * 4 * 8 * 10 + X),
    "part": (lambda x: x[:, 1:3], "movement", X // 2),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_the_gradient_of_a_function(name):
    function, kind, reads = GRADIENTS[name]
    backward = uc.count(Call(function), wanting(2, 4, 6, 8), train=True).backward
    assert (kind, (2, 4, 6, 8), reads) in [(op.kind, op.output, op.reads) for op in backward if op.writes == X]
    assert not backward.macs


@pytest.mark.parametrize(
    ("function", "shapes"),
    [
        (lambda x, w: F.conv2d(x, w, groups=3), [(2, 5, 9, 7), (6, 2, 3, 3)]),  # 5 channels, 2 + 3: not 2 x 3
        (lambda x, w: F.conv2d(x, w, groups=2), [(2, 6, 9, 7), (5, 3, 3, 3)]),  # 6 channels, 2 x 3, but 5 outputs
        (lambda x, w: F.conv_transpose2d(x, w, groups=4), [(2, 6, 9, 7), (6, 3, 3, 3)]),
        (F.scaled_dot_product_attention, [(2, 4, 5, 8), (2, 4, 7, 6), (2, 4, 7, 6)]),
    ],
    ids=["groups", "outputs of groups", "channels of groups, transposed", "widths"],
)
def test_operands_that_do_not_fit_are_refused(function, shapes):
    with pytest.raises(RuntimeError):
        uc.count(Call(function), tuple(zeros(*shape) for shape in shapes))


@pytest.mark.parametrize("dim", [0, -1])
def test_softmax_of_a_number_raises_nothing_that_a_model_could_catch(dim):
    def forward(x):
        try:
            return F.softmax(x.sum(), dim)
        except IndexError:
            return x @ x

    count = count_both_ways(Call(forward), zeros(3, 3))
    assert [op.kind for op in count.cost] == [OpKind.REDUCE, OpKind.SOFTMAX]


@pytest.mark.parametrize(
    ("forward", "shape", "expected"),
    [
        (lambda x: F.adaptive_avg_pool2d(x, (4, 6)), (1, 3, 2, 3), ("pool_avg", (1, 3, 4, 6), 0, 3 * 2 * 3, 1)),
        (lambda x: x.sum(dim=1), (0, 3), ("reduce", (0,), 0, 0, 1)),
    ],
    ids=["a map that is spread", "an empty map"],
)
def test_a_result_is_made_of_one_element_at_least(forward, shape, expected):
    count = uc.count(Call(forward), zeros(*shape))
    assert (rows(count.cost), count.uncounted) == ([expected], ())


def test_a_map_that_is_spread_is_derived_alike():
    derived = adaptive_avg_pool2d_cost("", (1, 3, 2, 3), (4, 6))
    assert rows(derived) == [("pool_avg", (1, 3, 4, 6), 0, 3 * 2 * 3, 1)]


@pytest.mark.parametrize("maps", [np.array([1, 3]), sympy.Symbol("n", integer=True)], ids=["an array", "a symbol"])
def test_a_map_that_is_spread_is_derived_alike_for_any_number_of_maps(maps):
    (op,) = adaptive_avg_pool2d_cost("", (maps, 3, 2, 3), (4, 6))
    assert op.reduction == 1


@pytest.mark.parametrize("pool", [global_avg_pool_cost, global_max_pool_cost])
def test_the_pool_of_a_whole_map_is_made_of_height_times_width(pool):
    height, width = sympy.symbols("h w")  # of which nothing is known
    (op,) = pool("", (2, 3, height, width))
    assert op.reduction == height * width


@pytest.mark.parametrize("reduced", [mean_cost, amax_cost, reduce_cost])
@pytest.mark.parametrize(
    ("height", "width"),
    [sympy.symbols("h w", integer=True), (np.array([4, 6]), np.array([5, 7]))],
    ids=["symbols", "arrays"],
)
def test_a_number_for_each_map_is_made_of_height_times_width(reduced, height, width):
    (op,) = reduced("", (2, 3, height, width), (2, 3))
    assert np.all(op.reduction == height * width)
