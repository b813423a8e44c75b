"""Operators that run functions are followed: conditions, loops, attention with functions of its scores."""

from collections import Counter
from importlib import import_module

import pytest
import torch
from counting import Call
from torch import nn
from torch.utils.checkpoint import checkpoint

import ulsam_cost as uc
from ulsam_cost.cost import OpKind

flex = pytest.importorskip("torch.nn.attention.flex_attention")
while_loop = torch._higher_order_ops.while_loop
map_rows = import_module("torch._higher_order_ops.map").map
scan = import_module("torch._higher_order_ops.scan").scan
PRODUCT = 6 * 6 * 6

pytestmark = [
    pytest.mark.filterwarnings("ignore:flex_attention called without"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
]


def condition(x, asked):
    return torch.cond(asked.sum() > 0, lambda x: x @ x, lambda x: x @ x @ x, (x,))


@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize(("asked", "products"), [(1, 1), (0, 2)])
def test_one_of_two_functions(device, asked, products):
    inputs = torch.zeros(6, 6, device=device), torch.full((3,), asked)
    count = uc.count(Call(condition), inputs)
    assert (count.macs, count.uncounted) == (products * PRODUCT, ())
    assert bool(count.real_run) == (device == "cpu")
    assert bool(count.inputs_read) == (device == "meta")


def test_a_condition_without_values():
    with pytest.raises(uc.CostError, match="asks for values"):
        uc.count(Call(condition), (torch.zeros(6, 6, device="meta"), torch.ones(3, device="meta")))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_loop(device):
    def forward(x):
        return while_loop(lambda i, x: i < 3, lambda i, x: (i + 1, x @ x), (torch.tensor(0), x))

    count = uc.count(Call(forward), torch.zeros(6, 6, device=device))
    assert (count.macs, count.uncounted, count.real_run) == (3 * PRODUCT, (), "")


def test_a_loop_is_followed_backwards():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(6, 6, bias=False)

        def forward(self, x):
            return torch.cond(torch.tensor(True), self.layer, torch.relu, (x,))

    assert uc.count(Model(), torch.zeros(5, 6), train=True).macs == 2 * (5 * 6 * 6)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_rows_of_a_map(device):
    rows, others = torch.zeros(4, 5, 6, device=device), torch.zeros(6, 7, device=device)
    count = uc.count(Call(lambda x, y: map_rows(lambda row, y: row @ y, x, y)), (rows, others))
    assert (count.macs, count.uncounted, count.outputs) == (4 * (5 * 6 * 7), (), ((4, 5, 7),))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_steps_of_a_scan(device):
    def forward(x, y):
        return scan(lambda carried, row: (carried @ y, row.sum()), x[0], x)

    count = uc.count(Call(forward), (torch.zeros(4, 5, 6, device=device), torch.zeros(6, 6, device=device)))
    assert (count.macs, count.uncounted, count.outputs) == (4 * (5 * 6 * 6), (), ((5, 6), (4,)))


def test_functions_that_are_not_followed_are_named_beside_those_that_are():
    def forward(x):
        return torch.ops.higher_order.associative_scan(lambda a, b: [a + b], [x], ())

    with pytest.raises(uc.CostError, match=r"'associative_scan'.*torch\.cond, while_loop, map, scan"):
        uc.count(Call(forward), torch.zeros(4, 5))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_attention_in_full(device):
    query, key = torch.zeros(1, 2, 5, 8, device=device), torch.zeros(1, 2, 7, 8, device=device)
    count = uc.count(Call(lambda q, k: flex.flex_attention(q, k, k)), (query, key))
    assert (count.macs, count.uncounted) == (2 * (5 * 7 * 8) + 2 * (5 * 7 * 8), ())
    assert (count.outputs, count.real_run) == (((1, 2, 5, 8),), "")


def test_attention_without_values_where_queries_share_keys_under_a_mask():
    def forward(x, keys):
        mask = flex.create_block_mask(lambda b, h, i, j: i >= j, None, None, 128, 128, device=x.device)
        return flex.flex_attention(x, keys, keys, block_mask=mask, enable_gqa=True)

    inputs = torch.zeros(2, 4, 128, 8, device="meta"), torch.zeros(2, 2, 128, 8, device="meta")
    count = uc.count(Call(forward), inputs)
    assert (count.macs, count.uncounted, count.outputs) == (2 * 2 * 4 * (128 * 128 * 8), (), ((2, 4, 128, 8),))


def test_attention_refuses_the_meta_device_as_before():
    x = torch.zeros(1, 2, 5, 8, device="meta")
    model = Call(lambda x: flex.flex_attention(x, x, x))
    uc.count(model, x)
    with pytest.raises(ValueError, match="meta device"):
        model(x)


def test_attention_of_what_a_layer_gives():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(8, 8, bias=False)

        def forward(self, x):
            x = self.layer(x)
            return flex.flex_attention(x, x, x)

    count = uc.count(Model(), torch.zeros(1, 2, 5, 8))  # which wants gradients, and they are not there on a CPU
    assert count.macs == 2 * 5 * 8 * 8 + 2 * (2 * (5 * 5 * 8))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_is_done_to_the_scores(device):
    def change(score, batch, head, i, j):
        return score * 2.0

    x = torch.zeros(1, 2, 5, 8, device=device)
    plain, changed = (
        uc.count(Call(lambda x, how=how: flex.flex_attention(x, x, x, score_mod=how)), x) for how in (None, change)
    )
    assert changed.macs == plain.macs
    assert changed.number("strict") - plain.number("strict") == 2 * 5 * 5


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_what_the_scores_are_given_of_a_tensor(device):
    slopes, x = torch.zeros(2, device=device), torch.zeros(1, 2, 5, 8, device=device)
    changed = uc.count(Call(lambda x: flex.flex_attention(x, x, x, lambda s, b, h, i, j: s * slopes[h])), x)
    plain = uc.count(Call(lambda x: flex.flex_attention(x, x, x)), x)
    assert changed.uncounted == ()
    assert changed.number("strict") - plain.number("strict") == 2 * 5 * 5


class Attention(nn.Module):
    """Attention whose scores are multiplied by what the model has learned: fused, and written out."""

    def __init__(self, *, fused, device):
        super().__init__()
        self.fused = fused
        self.slopes = nn.Parameter(torch.zeros(4, device=device))

    def forward(self, query, key, value):
        if self.fused:
            return flex.flex_attention(query, key, value, lambda score, b, h, i, j: score * self.slopes[h])
        return ((query @ key.transpose(-2, -1)) * self.slopes[:, None, None]).softmax(-1) @ value


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_backward_pass_of_attention(device):
    shapes = (2, 4, 5, 8), (2, 4, 7, 8), (2, 4, 7, 4)
    inputs = tuple(torch.zeros(shape, device=device, requires_grad=True) for shape in shapes)
    fused, plain = (uc.count(Attention(fused=fused, device=device), inputs, train=True) for fused in (True, False))
    assert (fused.macs, fused.uncounted) == (3 * 2 * 4 * 5 * 7 * (8 + 4), ())
    assert fused.macs == plain.macs
    fused_ops, plain_ops = (
        Counter(
            (op.kind, op.output) for op in count.backward if op.kind in (OpKind.SOFTMAX, OpKind.MULTIPLY, OpKind.REDUCE)
        )
        for count in (fused, plain)
    )
    assert fused_ops == plain_ops


def test_the_backward_pass_of_attention_belongs_to_its_module_and_goes_on_to_those_before_it():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, self.mix = nn.ModuleList(nn.Linear(8, 8) for _ in range(3)), Call(flex.flex_attention)

        def forward(self, x):
            return self.mix(*(layer(x) for layer in self.layers))

    count = uc.count(Model(), torch.zeros(1, 2, 5, 8), train=True)
    macs = Counter()
    for op in count.backward:
        macs[op.path] += op.macs
    layers = {f"layers.{number}": 2 * (5 * 8 * 8) for number in range(3)}
    assert macs == {"mix": 4 * 2 * (5 * 5 * 8), **layers}


@pytest.mark.skipif(not hasattr(flex, "AuxRequest"), reason="this PyTorch does not return the largest scores")
def test_the_largest_scores_have_no_gradients():
    asked = flex.AuxRequest(max_scores=True)
    model = Call(lambda x: flex.flex_attention(x, x, x, return_aux=asked)[1].max_scores)
    with pytest.raises(uc.CostError, match="no result requires gradients"):
        uc.count(model, torch.zeros(1, 2, 5, 8, device="meta", requires_grad=True), train=True)


@pytest.mark.parametrize("wanted", [0, 1, 2])
def test_the_kernel_gives_all_gradients_of_attention(wanted):
    inputs = [torch.zeros(1, 2, 5, 8) for _ in range(3)]
    inputs[wanted].requires_grad_()
    count = uc.count(Call(flex.flex_attention), tuple(inputs), train=True)
    assert count.macs == 6 * 2 * (5 * 5 * 8)


def test_the_kernel_gives_all_gradients_where_only_a_change_of_the_scores_is_learned():
    inputs = torch.zeros(2, 4, 5, 8), torch.zeros(2, 4, 7, 8), torch.zeros(2, 4, 7, 4)
    count = uc.count(Attention(fused=True, device="cpu"), inputs, train=True)
    assert count.macs == 3 * 2 * 4 * 5 * 7 * (8 + 4)


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_the_backward_pass_of_attention_whose_scores_are_the_same_for_all(device):
    x = torch.zeros(2, 4, 5, 8, device=device, requires_grad=True)
    count = uc.count(Call(lambda x: flex.flex_attention(x, x, x, lambda s, b, h, i, j: 1.0 * h)), x, train=True)
    assert count.macs == 6 * 2 * 4 * (5 * 5 * 8)


def test_attention_that_is_run_again_in_the_backward_pass():
    def forward(x):
        return checkpoint(lambda x: flex.flex_attention(x, x, x), x, use_reentrant=False)

    count = uc.count(Call(forward), torch.zeros(1, 2, 5, 8, device="meta", requires_grad=True), train=True)
    assert count.macs == (2 + 2 + 4) * 2 * (5 * 5 * 8)


def test_attention_has_no_gradients_of_its_gradients():
    def forward(x):
        attended = flex.flex_attention(x, x, x).sum()
        (given,) = torch.autograd.grad(attended, x, create_graph=True)
        return attended + given.sum()

    with pytest.raises(uc.CostError, match="gradients of flex_attention's gradients"):
        uc.count(Call(forward), torch.zeros(1, 2, 5, 8, requires_grad=True), train=True)


def test_the_backward_pass_of_attention_where_queries_share_keys():
    query, key = torch.zeros(2, 4, 5, 8, requires_grad=True), torch.zeros(2, 2, 7, 8)
    model = Call(lambda query, key: flex.flex_attention(query, key, key, enable_gqa=True, return_lse=True))
    count = uc.count(model, (query, key), train=True)
    assert (count.macs, count.outputs) == (3 * 2 * 4 * 5 * 7 * (8 + 8), ((2, 4, 5, 8), (2, 4, 5)))


def test_a_condition_is_exported_as_before():
    inputs = torch.zeros(6, 6), torch.ones(3)
    assert uc.count(Call(condition), inputs).macs == PRODUCT
    exported = torch.export.export(Call(condition), inputs, strict=False)
    assert uc.count(exported, inputs).macs == PRODUCT


def test_compiling_goes_on_as_before():
    uc.count(Call(condition), (torch.zeros(6, 6), torch.ones(3)))
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    torch.compile(lambda x: x + 1, backend=backend)(torch.zeros(2))
    assert len(compiled) == 1


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_mask_that_looks_up_documents(device):
    documents = torch.arange(130, device=device) // 50

    def forward(x):
        mask = flex.create_block_mask(lambda b, h, i, j: documents[i] == documents[j], None, None, 130, 130, x.device)
        return flex.flex_attention(x, x, x, block_mask=mask)

    count = uc.count(Call(forward), torch.zeros(2, 4, 130, 8, device=device))
    assert (count.macs, count.uncounted) == (2 * 2 * 4 * (130 * 130 * 8), ())


class Product(torch.autograd.Function):
    """A product with a backward pass of its own."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x, weight):
        return x @ weight

    @staticmethod
    def setup_context(context, inputs, output):
        context.save_for_backward(*inputs)

    @staticmethod
    def backward(context, grad):
        x, weight = context.saved_tensors
        return grad @ weight.mT, x.mT @ grad


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_function_of_autograd_for_each_row(device):
    weight, x = torch.zeros(6, 7, device=device), torch.zeros(3, 5, 6, device=device)
    one = Call(torch.vmap(lambda row: Product.apply(row, weight)))
    assert uc.count(one, x).macs == 3 * (5 * 6 * 7)
    gradient = torch.func.grad(lambda row: Product.apply(row, weight).sum())
    assert uc.count(Call(torch.vmap(gradient)), x).macs == 3 * (3 * (5 * 6 * 7))
