"""Sparse products are counted by the elements that are stored, or listed: never as if they were dense."""

from itertools import product

import pytest
import torch
from counting import Call, zeros
from torch import nn
from torch.nn import functional as F

import ulsam_cost as uc

STORED = [(0, 0), (0, 5), (3, 1), (3, 2), (4, 4), (7, 0), (7, 5)]  # rows and columns of [8, 6]
BLOCKS = {(row // 2, column // 2) for row, column in STORED}  # of 2 x 2


def dense():
    matrix = torch.zeros(8, 6)
    for number, (row, column) in enumerate(STORED, start=1):
        matrix[row, column] = number
    return matrix


LAYOUTS = {
    "coo": lambda: dense().to_sparse(),
    "csr": lambda: dense().to_sparse_csr(),
    "csc": lambda: dense().to_sparse_csc(),
    "bsr": lambda: dense().to_sparse_bsr((2, 2)),
}
ELEMENTS = {"coo": len(STORED), "csr": len(STORED), "csc": len(STORED), "bsr": len(BLOCKS) * 2 * 2}
# name: (function of the sparse [8, 6] and a dense [6, 5], MACs of each stored element)
PRODUCTS = {
    "@": (lambda s, x: s @ x, 5),
    "@ a vector": (lambda s, x: s @ x[:, 0], 1),
    "matmul": (torch.matmul, 5),
    "mm": (torch.mm, 5),
    "mv": (lambda s, x: torch.mv(s, x[:, 0]), 1),
    "sparse.mm": (torch.sparse.mm, 5),
    "addmm": (lambda s, x: torch.addmm(x.new_zeros(8, 5), s, x), 5),
    "sparse.addmm": (lambda s, x: torch.sparse.addmm(x.new_zeros(8, 5), s, x), 5),
    "linear": (lambda s, x: F.linear(x.T, s), 5),
    "linear on a map": (lambda s, x: F.linear(x.T[None].contiguous(), s), 5),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", PRODUCTS)
@pytest.mark.parametrize("place", ["input", "buffer", "parameter", "constant"])
def test_each_stored_element_meets_a_row_or_a_column(name, layout, place):
    function, times = PRODUCTS[name]
    sparse, x = LAYOUTS[layout](), torch.ones(6, 5)

    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            if place == "buffer":
                self.register_buffer("matrix", sparse)
            elif place == "parameter":
                self.matrix = nn.Parameter(sparse)

        def forward(self, x, *others):
            return function(sparse if place == "constant" else others[0] if others else self.matrix, x)

    model, inputs = Model(), (x, sparse) if place == "input" else (x,)
    count = uc.count(model, inputs)
    assert count.macs == ELEMENTS[layout] * times
    assert count.params == (ELEMENTS[layout] if place == "parameter" else 0)
    assert not count.uncounted
    assert "sparse" in count.real_run
    [op] = [op for op in count.cost if op.macs]
    assert op.reads == ELEMENTS[layout] + (6 * times)
    assert op.kind == ("linear" if place == "parameter" else "matmul")
    assert torch.equal(sparse.to_dense(), dense())


@pytest.mark.parametrize("layout", ["coo", "csr", "csc"])
def test_dense_by_sparse(layout):
    assert uc.count(Call(lambda x, s: x @ s), (torch.ones(3, 8), LAYOUTS[layout]())).macs == 3 * len(STORED)


@pytest.mark.parametrize("layout", ["coo", "csr", "csc"])
def test_sparse_by_sparse(layout):
    count = uc.count(Call(lambda s: s @ s.t()), LAYOUTS[layout]())
    pairs = sum(a[1] == b[1] for a, b in product(STORED, STORED))  # [8, 6] @ [6, 8]: a column meets a row
    assert count.macs == pairs
    assert not [op for op in count.uncounted if op.severity == "product"]


def test_a_stack_of_sparse_matrices():
    stack = torch.stack([dense(), dense()]).to_sparse()
    assert uc.count(Call(torch.bmm), (stack, torch.ones(2, 6, 5))).macs == 2 * len(STORED) * 5


def test_a_product_of_which_only_the_stored_elements_are_wanted():
    count = uc.count(Call(torch.sparse.sampled_addmm), (LAYOUTS["csr"](), torch.ones(8, 3), torch.ones(3, 6)))
    assert count.macs == len(STORED) * 3


def test_zeros_that_are_stored_count():
    matrix = torch.sparse_coo_tensor([[0, 1], [0, 2]], [0.0, 0.0], (4, 4))
    assert uc.count(Call(torch.mm), (matrix, torch.ones(4, 5))).macs == 2 * 5


def test_a_matrix_made_in_the_forward():
    count = uc.count(Call(lambda x: x.relu().to_sparse() @ x.T), dense())
    assert count.macs == len(STORED) * 8

    def forward(x):
        return torch.sparse_coo_tensor(torch.tensor([[0, 3], [5, 1]]), x[0, :2], (8, 6)) @ x

    assert uc.count(Call(forward), torch.ones(6, 5)).macs == 2 * 5


def test_a_sparse_layer():
    layer = nn.Linear(6, 8)
    layer.weight = nn.Parameter(LAYOUTS["csr"]())
    count = uc.count(nn.Sequential(layer, nn.ReLU(), nn.Linear(8, 3)), zeros(5, 6))
    assert count.macs == 5 * len(STORED) + 5 * 8 * 3
    assert count.params == len(STORED) + 8 + 8 * 3 + 3


def test_what_has_no_rule_is_listed():
    count = uc.count(Call(lambda s: torch.sparse.softmax(s, 1)), LAYOUTS["coo"]())
    assert [op.operator for op in count.uncounted] == ["aten::_sparse_softmax"]
    assert count.macs == 0


def test_without_values_a_sparse_product_is_refused():
    with torch.device("meta"):
        layer = nn.Linear(6, 3)
    model = nn.Sequential(Call(lambda x: LAYOUTS["coo"]() @ x.T), layer)
    with pytest.raises(uc.CostError, match=r"sparse tensor .* on the meta device"):
        uc.count(model, torch.ones(5, 6, device="meta"))


@pytest.mark.parametrize("reduce", ["sum", "amax"])
def test_a_product_of_what_is_stored_that_is_reduced_otherwise(reduce):
    stored = torch.eye(5).to_sparse_csr()
    count = uc.count(Call(lambda x: torch.sparse.mm(stored, x, reduce)), torch.ones(5, 3))
    assert (count.macs, count.uncounted) == (5 * 3, ())
