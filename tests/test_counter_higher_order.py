"""Operators that run functions are followed: conditions, loops, attention with functions of its scores."""

import pytest
import torch
from counting import Call
from torch import nn

import ulsam_cost as uc

flex = pytest.importorskip("torch.nn.attention.flex_attention")
while_loop = torch._higher_order_ops.while_loop
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


def test_attention_in_full():
    query, key = torch.zeros(1, 2, 5, 8), torch.zeros(1, 2, 7, 8)
    count = uc.count(Call(lambda q, k: flex.flex_attention(q, k, k)), (query, key))
    assert (count.macs, count.uncounted) == (2 * (5 * 7 * 8) + 2 * (5 * 7 * 8), ())
    assert count.real_run


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


def test_what_is_done_to_the_scores():
    def change(score, batch, head, i, j):
        return score * 2.0

    x = torch.zeros(1, 2, 5, 8)
    plain, changed = (
        uc.count(Call(lambda x, how=how: flex.flex_attention(x, x, x, score_mod=how)), x) for how in (None, change)
    )
    assert changed.macs == plain.macs
    assert changed.number("strict") - plain.number("strict") == 2 * 5 * 5


def test_the_backward_pass_of_attention_is_refused():
    x = torch.zeros(1, 2, 5, 8, requires_grad=True)
    # On a CPU, PyTorch refuses it itself.
    with pytest.raises((uc.CostError, NotImplementedError), match="backward"):
        uc.count(Call(lambda x: flex.flex_attention(x, x, x)), x, train=True)


def test_compiling_goes_on_as_before():
    uc.count(Call(condition), (torch.zeros(6, 6), torch.ones(3)))
    compiled = []

    def backend(graph, inputs):
        compiled.append(graph)
        return graph.forward

    torch.compile(lambda x: x + 1, backend=backend)(torch.zeros(2))
    assert len(compiled) == 1
