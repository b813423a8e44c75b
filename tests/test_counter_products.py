"""MACs of every way to call a product, against products written by hand."""

from math import prod

import pytest
import torch
from counting import Call, count_both_ways, zeros
from torch import nn
from torch.nn import functional as F

import ulsam_cost as uc
from ulsam_cost.counting.rules.registry import RULES

# name: (function, shapes of its inputs, MACs)
FUNCTIONS = {
    "conv1d": (F.conv1d, [(2, 4, 9), (6, 4, 3)], 2 * 6 * 7 * (4 * 3)),
    "conv2d": (F.conv2d, [(2, 4, 9, 7), (6, 4, 3, 3)], 2 * 6 * (7 * 5) * (4 * 3 * 3)),
    "conv2d with bias": (F.conv2d, [(2, 4, 9, 7), (6, 4, 3, 3), (6,)], 2 * 6 * (7 * 5) * (4 * 3 * 3)),
    "conv2d without a batch": (F.conv2d, [(4, 9, 7), (6, 4, 3, 3)], 6 * (7 * 5) * (4 * 3 * 3)),
    "conv2d, stride 2, padding 1": (
        lambda x, w: F.conv2d(x, w, stride=2, padding=1),
        [(1, 4, 9, 7), (6, 4, 3, 3)],
        6 * (5 * 4) * (4 * 3 * 3),
    ),
    "conv2d, same": (
        lambda x, w: F.conv2d(x, w, padding="same"),
        [(1, 4, 9, 7), (6, 4, 5, 3)],
        6 * (9 * 7) * (4 * 5 * 3),
    ),
    "conv2d, valid": (
        lambda x, w: F.conv2d(x, w, padding="valid"),
        [(1, 4, 9, 7), (6, 4, 3, 3)],
        6 * (7 * 5) * (4 * 3 * 3),
    ),
    "conv2d, dilated": (
        lambda x, w: F.conv2d(x, w, dilation=2),
        [(1, 4, 9, 7), (6, 4, 3, 3)],
        6 * (5 * 3) * (4 * 3 * 3),
    ),
    "conv2d, grouped": (
        lambda x, w: F.conv2d(x, w, groups=2),
        [(2, 4, 9, 7), (6, 2, 3, 3)],
        2 * 6 * (7 * 5) * (2 * 3 * 3),
    ),
    "conv2d, depthwise": (
        lambda x, w: F.conv2d(x, w, groups=4),
        [(2, 4, 9, 7), (8, 1, 3, 3)],
        2 * 8 * (7 * 5) * (3 * 3),
    ),
    "conv3d": (F.conv3d, [(2, 4, 5, 9, 7), (6, 4, 2, 3, 3)], 2 * 6 * (4 * 7 * 5) * (4 * 2 * 3 * 3)),
    "transposed conv1d": (F.conv_transpose1d, [(2, 4, 9), (4, 6, 3)], 2 * 4 * 9 * (6 * 3)),
    "transposed conv2d": (
        lambda x, w: F.conv_transpose2d(x, w, stride=2, padding=1, output_padding=1),
        [(2, 4, 5, 3), (4, 6, 3, 3)],
        2 * 4 * (5 * 3) * (6 * 3 * 3),
    ),
    "transposed conv2d, grouped": (
        lambda x, w: F.conv_transpose2d(x, w, stride=2, groups=2),
        [(2, 4, 5, 3), (4, 3, 3, 3)],
        2 * 4 * (5 * 3) * (3 * 3 * 3),
    ),
    "transposed conv3d": (F.conv_transpose3d, [(1, 4, 3, 5, 3), (4, 6, 2, 2, 2)], 4 * (3 * 5 * 3) * (6 * 2 * 2 * 2)),
    "linear": (F.linear, [(5, 4), (6, 4)], 5 * 6 * 4),
    "linear on a map": (F.linear, [(2, 5, 7, 4), (6, 4), (6,)], 2 * 5 * 7 * 6 * 4),
    "linear on a vector": (F.linear, [(4,), (6, 4)], 6 * 4),
    "bilinear": (F.bilinear, [(5, 3), (5, 4), (6, 3, 4)], 5 * 6 * 4 * 3 + 5 * 6 * 4),
    "matmul": (torch.matmul, [(5, 4), (4, 6)], 5 * 4 * 6),
    "@": (lambda a, b: a @ b, [(5, 4), (4, 6)], 5 * 4 * 6),
    "@ of vectors": (lambda a, b: a @ b, [(4,), (4,)], 4),
    "@ of a matrix and a vector": (lambda a, b: a @ b, [(5, 4), (4,)], 5 * 4),
    "@ of a vector and a matrix": (lambda a, b: a @ b, [(4,), (4, 6)], 4 * 6),
    "@ of stacks": (lambda a, b: a @ b, [(2, 3, 5, 4), (2, 3, 4, 6)], 2 * 3 * 5 * 4 * 6),
    "@ of a stack and a matrix": (lambda a, b: a @ b, [(2, 3, 5, 4), (4, 6)], 2 * 3 * 5 * 4 * 6),
    "@ of a matrix and a stack": (lambda a, b: a @ b, [(5, 4), (2, 3, 4, 6)], 2 * 3 * 5 * 4 * 6),
    "@ of a stack and a vector": (lambda a, b: a @ b, [(2, 3, 5, 4), (4,)], 2 * 3 * 5 * 4),
    "@ broadcast": (lambda a, b: a @ b, [(2, 1, 5, 4), (3, 4, 6)], 2 * 3 * 5 * 4 * 6),
    "mm": (torch.mm, [(5, 4), (4, 6)], 5 * 4 * 6),
    "mv": (torch.mv, [(5, 4), (4,)], 5 * 4),
    "dot": (torch.dot, [(4,), (4,)], 4),
    "bmm": (torch.bmm, [(2, 5, 4), (2, 4, 6)], 2 * 5 * 4 * 6),
    "addmm": (torch.addmm, [(6,), (5, 4), (4, 6)], 5 * 4 * 6),
    "baddbmm": (torch.baddbmm, [(2, 5, 6), (2, 5, 4), (2, 4, 6)], 2 * 5 * 4 * 6),
    "addbmm": (torch.addbmm, [(5, 6), (2, 5, 4), (2, 4, 6)], 2 * 5 * 4 * 6),
    "addmv": (torch.addmv, [(5,), (5, 4), (4,)], 5 * 4),
    "chain, in the cheaper order": (
        lambda *chain: torch.linalg.multi_dot(chain),
        [(5, 4), (4, 6), (6, 3)],
        4 * 6 * 3 + 5 * 4 * 3,
    ),
    "tensordot": (lambda a, b: torch.tensordot(a, b, dims=2), [(5, 3, 4), (3, 4, 6)], 5 * 3 * 4 * 6),
    "inner": (torch.inner, [(5, 4), (6, 4)], 5 * 4 * 6),
    "einsum": (lambda a, b: torch.einsum("bhnd,bhmd->bhnm", a, b), [(2, 3, 5, 4), (2, 3, 7, 4)], 2 * 3 * 5 * 7 * 4),
    "einsum with a sum": (lambda a, b: torch.einsum("bij,kj->bk", a, b), [(2, 3, 4), (5, 4)], 2 * 4 * 5),
    "einsum of three": (
        lambda a, b, c: torch.einsum("ij,jk,kl->il", a, b, c),
        [(5, 4), (4, 6), (6, 3)],
        5 * 4 * 6 + 5 * 6 * 3,
    ),
    "in place": (lambda c, a, b: c.addmm_(a, b), [(5, 6), (5, 4), (4, 6)], 5 * 4 * 6),
    "computed and not used": (lambda a, b: (a @ b, a.relu())[1], [(5, 4), (4, 6)], 5 * 4 * 6),
    "of views": (lambda a, b: a.transpose(0, 1) @ b.view(5, 6), [(5, 4), (30,)], 4 * 5 * 6),
    "into a given result": (lambda a, b: torch.matmul(a, b, out=a.new_empty(5, 6)), [(5, 4), (4, 6)], 5 * 4 * 6),
    "mm into a given result": (lambda a, b: torch.mm(a, b, out=a.new_empty(5, 6)), [(5, 4), (4, 6)], 5 * 4 * 6),
    "under vmap": (torch.vmap(lambda a, b: a @ b), [(7, 5, 4), (7, 4, 6)], 7 * 5 * 4 * 6),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function(name):
    function, shapes, macs = FUNCTIONS[name]
    inputs = tuple(zeros(*shape) for shape in shapes)
    count = count_both_ways(Call(function), inputs)
    assert count.macs == macs
    assert not [op for op in count.uncounted if op.severity == "product"]
    assert not count.real_run


def test_bias_is_an_operation_of_its_own():
    count = uc.count(Call(F.conv2d), (zeros(2, 4, 9, 7), zeros(6, 4, 3, 3), zeros(6)))
    assert [(op.kind, op.elements, op.reads, op.writes) for op in count.cost] == [
        ("conv", 2 * 6 * 7 * 5, 2 * 4 * 9 * 7 + 6 * 4 * 3 * 3, 2 * 6 * 7 * 5),
        ("bias", 2 * 6 * 7 * 5, 6, 0),
    ]


MODULES = {
    "Conv1d": (nn.Conv1d(4, 6, 3), (2, 4, 9), 2 * 6 * 7 * (4 * 3), 6 * 4 * 3 + 6),
    "Conv2d, circular": (
        nn.Conv2d(4, 6, 3, padding=1, padding_mode="circular"),
        (2, 4, 9, 7),
        2 * 6 * (9 * 7) * (4 * 3 * 3),
        6 * 4 * 3 * 3 + 6,
    ),
    "Conv2d, same": (
        nn.Conv2d(4, 6, 3, padding="same", bias=False),
        (2, 4, 9, 7),
        2 * 6 * (9 * 7) * (4 * 3 * 3),
        6 * 4 * 3 * 3,
    ),
    "Conv3d": (nn.Conv3d(4, 6, 2), (1, 4, 5, 3, 7), 6 * (4 * 2 * 6) * (4 * 2 * 2 * 2), 6 * 4 * 8 + 6),
    "ConvTranspose2d, grouped": (
        nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2),
        (2, 4, 5, 3),
        2 * 4 * (5 * 3) * (3 * 3 * 3),
        4 * 3 * 3 * 3 + 6,
    ),
    "Linear": (nn.Linear(4, 6), (2, 5, 4), 2 * 5 * 6 * 4, 6 * 4 + 6),
    "LSTM": (nn.LSTM(3, 5), (7, 2, 3), 7 * 2 * 4 * 5 * (3 + 5), 4 * 5 * (3 + 5) + 2 * 4 * 5),
    "LSTM, two ways, two layers": (
        nn.LSTM(3, 5, num_layers=2, bidirectional=True, batch_first=True),
        (2, 7, 3),
        2 * 7 * 2 * (4 * 5 * (3 + 5) + 4 * 5 * (10 + 5)),
        2 * (4 * 5 * (3 + 5) + 4 * 5 * (10 + 5) + 2 * 2 * 4 * 5),
    ),
    "LSTM with a projection": (
        nn.LSTM(3, 5, proj_size=2),
        (7, 1, 3),
        7 * (4 * 5 * (3 + 2) + 2 * 5),
        4 * 5 * (3 + 2) + 2 * 4 * 5 + 2 * 5,
    ),
    "GRU": (nn.GRU(3, 5), (7, 2, 3), 7 * 2 * 3 * 5 * (3 + 5), 3 * 5 * (3 + 5) + 2 * 3 * 5),
    "RNN": (nn.RNN(3, 5), (7, 2, 3), 7 * 2 * 5 * (3 + 5), 5 * (3 + 5) + 2 * 5),
    "LSTMCell": (nn.LSTMCell(3, 5), (2, 3), 2 * 4 * 5 * (3 + 5), 4 * 5 * (3 + 5) + 2 * 4 * 5),
    "GRUCell": (nn.GRUCell(3, 5), (2, 3), 2 * 3 * 5 * (3 + 5), 3 * 5 * (3 + 5) + 2 * 3 * 5),
    "weight_norm": (
        nn.utils.parametrizations.weight_norm(nn.Linear(4, 6)),
        (5, 4),
        5 * 6 * 4,
        6 * 4 + 6 + 6,
    ),
    "spectral_norm": (nn.utils.parametrizations.spectral_norm(nn.Linear(4, 6)).eval(), (5, 4), None, 6 * 4 + 6),
}


@pytest.mark.parametrize("training", [False, True], ids=["eval", "train"])
@pytest.mark.parametrize("name", MODULES)
def test_module(name, training):
    module, shape, macs, params = MODULES[name]
    count = count_both_ways(module.train(training and macs is not None), zeros(*shape))
    assert count.params == params
    if macs is None:  # spectral norm: sigma = u @ (W @ v), then the layer
        macs = 5 * 6 * 4 + 6 * 4 + 6
    assert count.macs == macs
    assert not count.uncounted
    assert not count.real_run


def test_embedding_moves_rows_and_multiplies_nothing():
    count = count_both_ways(nn.Embedding(10, 4), torch.zeros(2, 5, dtype=torch.int64))
    assert (count.macs, count.params) == (0, 10 * 4)
    assert [(op.kind, op.output) for op in count.cost] == [("movement", (2, 5, 4))]


@pytest.mark.parametrize(
    ("mode", "taps"), [("nearest", 1), ("nearest-exact", 1), ("bilinear", 4), ("bicubic", 16)], ids=str
)
def test_interpolation_writes_the_larger_map(mode, taps):
    count = count_both_ways(Call(lambda x: F.interpolate(x, scale_factor=2, mode=mode)), zeros(2, 3, 5, 7))
    assert [(op.kind, op.operator, op.output, op.reads, op.reduction) for op in count.cost] == [
        ("upsample", "interpolate", (2, 3, 10, 14), 2 * 3 * 5 * 7, taps)
    ]


HALF, EIGHTH = torch.bfloat16, torch.float8_e4m3fn
ENDS = torch.tensor([8, 16, 24, 32], dtype=torch.int32)
# name: (function, shapes and dtypes of its inputs, MACs); on the meta device, where the kernels need no GPU
LOW_PRECISION = {
    "rows in groups": (
        lambda a, b: torch._grouped_mm(a, b, offs=ENDS.to(a.device)),
        [((32, 16), HALF), ((4, 16, 24), HALF)],
        32 * 16 * 24,
    ),
    "columns in groups": (
        lambda a, b: torch._grouped_mm(a, b, offs=ENDS.to(a.device)),
        [((4, 8, 16), HALF), ((16, 32), HALF)],
        8 * 16 * 32,
    ),
    "sums in groups": (
        lambda a, b: torch._grouped_mm(a, b, offs=ENDS.to(a.device)),
        [((8, 32), HALF), ((32, 24), HALF)],
        8 * 32 * 24,
    ),
    "a stack": (
        lambda a, b: torch._grouped_mm(a, b, offs=None),
        [((4, 8, 16), HALF), ((4, 16, 24), HALF)],
        4 * (8 * 16 * 24),
    ),
    "scaled": (
        lambda a, b: torch._scaled_mm(
            a, b.t(), a.new_ones((), dtype=torch.float32), b.new_ones((), dtype=torch.float32)
        ),
        [((32, 16), EIGHTH), ((48, 16), EIGHTH)],
        32 * 16 * 48,
    ),
    "scaled, rows in groups": (
        lambda a, b: torch._scaled_grouped_mm(
            a,
            b.transpose(-2, -1),
            torch.ones(32, device=a.device),
            torch.ones(4, 48, device=a.device),
            offs=ENDS.to(a.device),
            out_dtype=HALF,
        ),
        [((32, 16), EIGHTH), ((4, 48, 16), EIGHTH)],
        32 * 16 * 48,
    ),
    "weights of 8 bits": (
        lambda a, b: torch._weight_int8pack_mm(a, b, a.new_ones(24)),
        [((32, 16), HALF), ((24, 16), torch.int8)],
        32 * 16 * 24,
    ),
    "outer product": (torch.addr, [((5, 6), HALF), ((5,), HALF), ((6,), HALF)], 5 * 6),
    "convolution, time first": (
        torch.conv_tbc,
        [((9, 2, 4), HALF), ((3, 4, 6), HALF), ((6,), HALF)],
        7 * 2 * 6 * (3 * 4),
    ),
}


def needs_grouped_products():
    if not hasattr(torch, "_grouped_mm"):
        pytest.skip("this PyTorch has no grouped products")


@pytest.mark.parametrize("name", LOW_PRECISION)
def test_products_of_groups_and_of_few_bits(name):
    if "group" in name or "stack" in name:
        needs_grouped_products()
    function, operands, macs = LOW_PRECISION[name]
    count = count_both_ways(
        Call(function), tuple(torch.empty(shape, dtype=dtype, device="meta") for shape, dtype in operands)
    )
    assert (count.macs, count.real_run) == (macs, "")
    assert not count.uncounted_products


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_groups_that_the_meta_device_refuses(dtype):
    needs_grouped_products()
    inputs = torch.zeros(32, 16, dtype=dtype), torch.zeros(4, 16, 24, dtype=dtype)
    count = count_both_ways(Call(lambda a, b: torch._grouped_mm(a, b, offs=ENDS)), inputs)
    assert (count.macs, count.real_run, count.uncounted) == (32 * 16 * 24, "", ())


def test_a_product_with_its_activation_is_both():
    count = count_both_ways(Call(torch._addmm_activation), (zeros(6), zeros(5, 4), zeros(4, 6)))
    assert [(op.kind, op.macs) for op in count.cost.ops] == [("matmul", 5 * 4 * 6), ("bias", 0), ("activation", 0)]


@pytest.mark.parametrize(
    ("operator", "a", "b"),
    [("_scaled_mm_v2", (5, 4), (4, 6)), ("_scaled_grouped_mm_v2", (5, 4), (2, 4, 6))],
)
@pytest.mark.parametrize("biased", [True, False])
def test_the_rules_of_scaled_products_by_recipe_which_run_on_cuda_alone(operator, a, b, biased):
    biases, taken = [], []

    class Record:
        def __call__(self, kind, output, *, macs, reads, reduction, params):
            taken.append((macs, reads, reduction))

        def is_parameter(self, tensor):
            return False

        def bias(self, output, bias):
            biases.append(bias)

    scales, bias = [zeros(1)], zeros(6) if biased else None
    offsets = [zeros(2)] if "grouped" in operator else []
    others = [scales, [0], [0], scales, [0], [0], *offsets, bias]
    RULES[getattr(torch.ops.aten, operator)](Record(), zeros(5, 6), zeros(*a), zeros(*b), *others, torch.bfloat16)
    assert taken == [(5 * 4 * 6, 5 * 4 + prod(b), 4)]
    assert (len(biases), biases[0] is bias) == (1, True)


def rule_of_cudnn(record, x, weights):
    RULES[torch.ops.aten._cudnn_rnn](record, None, x, [*weights, zeros(0)])


def rule_of_mkldnn(record, x, weights):
    RULES[torch.ops.aten.mkldnn_rnn_layer](record, None, x, *weights, zeros(1), zeros(1), False)


@pytest.mark.parametrize("rule", [rule_of_cudnn, rule_of_mkldnn])
def test_the_rules_of_recurrent_layers_that_run_with_values_alone(rule):
    taken = []

    class Record:
        def __call__(self, kind, output, *, macs, reads, reduction, params):
            taken.append((output, macs, reads, reduction))

        def bias(self, output, bias):
            taken.append((output, bias.numel()))

    steps, n, length, hidden = 5, 2, 3, 7
    gates = 4 * hidden
    weights = [zeros(gates, length), zeros(gates, hidden), zeros(gates), zeros(gates)]
    rule(Record(), zeros(steps, n, length), weights)
    rows = steps * n
    assert taken == [
        ((rows, gates), rows * length * gates, rows * length + length * gates, length),
        ((rows, gates), rows * hidden * gates, rows * hidden + hidden * gates, hidden),
        ((rows, gates), gates),
        ((rows, gates), gates),
    ]
