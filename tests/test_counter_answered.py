"""Common functions are answered from shapes: on maps in order, none of their operations runs on the meta device."""

from functools import partial
from typing import NamedTuple

import pytest
import torch
from counting import Call
from torch import Tensor
from torch.nn import functional as F

import ulsam_cost as uc
from ulsam_cost.counting.dispatch_mode import DispatchMode
from ulsam_cost.counting.fast import FAST


class Map(NamedTuple):
    """A tensor to be made on the meta device, whose dimensions lie in memory in this order."""

    shape: tuple[int, ...]
    dtype: torch.dtype = torch.float32
    order: tuple[int, ...] = ()

    def make(self) -> Tensor:
        order = self.order or tuple(range(len(self.shape)))
        whole = torch.empty([self.shape[dim] for dim in order], dtype=self.dtype, device="meta")
        return whole.permute([order.index(dim) for dim in range(len(order))])


ROWS, MAPS = Map((2, 3, 4)), Map((2, 4, 8, 9))
STATISTICS = (Map((4,)),) * 4
TYPICAL = {
    F.conv1d: [(ROWS, Map((6, 3, 2)), Map((6,)), 2), (ROWS, Map((3, 1, 2)), None, 1, (1,), 1, 3)],
    F.conv2d: [(MAPS, Map((6, 2, 3, 3)), None, 2, 1, 1, 2), (MAPS, Map((6, 4, 3, 3)), Map((6,)), (2, 1), (1, 0))],
    F.conv3d: [(Map((1, 2, 5, 6, 7)), Map((4, 2, 3, 3, 3)), None, 1, 1)],
    F.conv_transpose1d: [(ROWS, Map((3, 5, 2)), Map((5,)), 2)],
    F.conv_transpose2d: [(MAPS, Map((4, 6, 2, 2)), None, 2), (MAPS, Map((4, 6, 3, 3)), None, 2, 1, 1)],
    F.conv_transpose3d: [(Map((1, 2, 5, 6, 7)), Map((2, 4, 2, 2, 2)), None, 2)],
    F.linear: [(ROWS, Map((5, 4)), Map((5,))), (Map((4,)), Map((5, 4)))],
    F.scaled_dot_product_attention: [(MAPS, MAPS, MAPS)],
    F.batch_norm: [(MAPS, *STATISTICS), (ROWS, None, None, None, None, True)],
    F.layer_norm: [(ROWS, (4,), Map((4,)), Map((4,))), (MAPS, (8, 9))],
    F.group_norm: [(MAPS, 2, Map((4,)), Map((4,))), (Map((3, 4)), 2)],
    torch.max_pool2d: [(MAPS, 3, 2, 1), (MAPS, (2, 3))],
    F.avg_pool2d: [(MAPS, 2), (MAPS, (3, 2), 1, (1, 0))],
    F.adaptive_avg_pool2d: [(MAPS, 1), (MAPS, (None, 3))],
    F.interpolate: [(MAPS, 16), (MAPS, None, 2.0, "bilinear", False), (MAPS, (4, 5), None, "bicubic")],
    F.pad: [(MAPS, (1, 2)), (MAPS, (1, 1, 0, 2))],
    F.dropout: [(MAPS, 0.1, False)],
    Tensor.float: [(MAPS,)],
    **dict.fromkeys((F.softmax, torch.softmax, Tensor.softmax), ((ROWS, -1), (ROWS, 0))),
    **dict.fromkeys((torch.mean, Tensor.mean, torch.sum, Tensor.sum), ((MAPS,), (MAPS, (2, 3)), (MAPS, 1, True))),
    **dict.fromkeys((torch.amax, Tensor.amax, torch.amin, Tensor.amin), ((MAPS, (2, 3)), (MAPS, 1, True))),
    **dict.fromkeys((torch.matmul, Tensor.matmul), ((ROWS, Map((4, 5))), (MAPS, Map((4, 9, 2))))),
    **dict.fromkeys((torch.bmm, Tensor.bmm), ((ROWS, Map((2, 4, 5))),)),
    **dict.fromkeys((torch.cat, torch.stack), (([ROWS, ROWS, ROWS], 1), ([ROWS, ROWS],))),
    **dict.fromkeys((torch.roll, Tensor.roll), ((MAPS, (1, -1), (2, 3)),)),
    **dict.fromkeys((torch.clamp, Tensor.clamp), ((MAPS, 0.0, 1.0), (MAPS, 0))),
    **dict.fromkeys((torch.pow, Tensor.pow), ((MAPS, 2), (MAPS, 0.5))),
}
INT, BOOL, DOUBLE = torch.int64, torch.bool, torch.float64
LAST = (0, 2, 3, 1)  # channels innermost in memory
SCORES = Map((2, 4, 8, 8))
# Calls at the edge of what is answered: at the first and the last dimension, of single elements, with every option.
EDGES = {
    F.conv1d: [(Map((1, 1, 1)), Map((1, 1, 1))), (Map((1, 1, 5)), Map((1, 1, 3)), None, [2], [0], [2])],
    F.conv2d: [
        (Map((1, 1, 3, 3)), Map((1, 1, 3, 3))),
        (MAPS, Map((8, 1, 1, 1)), Map((8,)), (3,), 1, (1, 2), 4),
        (Map(MAPS.shape, order=LAST), Map((6, 4, 3, 3))),
        (Map(MAPS.shape, DOUBLE), Map((6, 4, 3, 3), DOUBLE), Map((6,), DOUBLE)),
    ],
    F.conv_transpose1d: [
        (Map((1, 1, 1)), Map((1, 1, 1))),
        (Map((1, 1, 2)), Map((1, 1, 1)), None, 1, 0, 1, 1, 2),
        (Map((1, 1, 2)), Map((1, 1, 1)), None, 3, 0, 2),
        (Map((1, 1, 3)), Map((1, 1, 1)), None, 1, 1),
    ],
    F.conv_transpose2d: [(MAPS, Map((4, 3, 2, 2)), Map((12,)), 1, 0, 0, 4)],
    F.linear: [(Map((4,), DOUBLE), Map((1, 4), DOUBLE)), (Map((1, 1)), Map((1, 1)), Map((1,)))],
    F.scaled_dot_product_attention: [
        (Map((1, 1, 1, 1)), Map((1, 1, 1, 1)), Map((1, 1, 1, 1))),
        (SCORES, SCORES, Map((2, 4, 8, 3)), Map((8, 8))),
        (SCORES, SCORES, SCORES, Map((2, 1, 1, 8), BOOL)),
        (SCORES, SCORES, SCORES, Map((2, 4, 8, 8))),
        (SCORES, SCORES, SCORES, Map((1, 8, 8), BOOL)),
        (SCORES, Map((2, 4, 3, 8)), Map((2, 4, 3, 8)), {"is_causal": True}),
        (SCORES, SCORES, SCORES, {"scale": 2.0}),
        (SCORES, Map((2, 2, 8, 8)), Map((2, 2, 8, 8)), {"enable_gqa": True}),
        (Map((2, 4, 8, 8), order=(0, 2, 1, 3)), SCORES, SCORES),
    ],
    F.embedding: [
        (Map((2, 3), INT), Map((5, 4))),
        (Map((), INT), Map((5, 4), DOUBLE), -5),
        (Map((3,), torch.int32), Map((5, 1)), 4, None, 1.0, True, True),
    ],
    F.batch_norm: [(Map((2, 1)), None, None, None, None, True, 0.0, 1e-9), (Map((1, 4)), Map((4,)), Map((4,)))],
    F.layer_norm: [(Map((1,)), (1,)), (ROWS, [2, 3, 4], None, Map((2, 3, 4)), 0.1)],
    F.group_norm: [(Map((1, 2)), 1), (Map((1, 4, 2)), 4, None, Map((4,)), 0.1)],
    F.softmax: [(ROWS, -3), (ROWS, 2), (ROWS, 0, 3, torch.float32), (Map((1,)), 0)],
    torch.softmax: [(ROWS, 2, torch.float32)],
    torch.max_pool2d: [(MAPS, 2, (), 1), (MAPS, [8, 9], []), (MAPS, (2, 3), [1], (1, 1), 2), (Map((1, 1, 1, 1)), 1)],
    F.avg_pool2d: [(MAPS, 2, None, 1, False, False), (Map((1, 1, 1, 1)), 1)],
    F.adaptive_avg_pool2d: [
        (MAPS, [None, None]),
        (Map(MAPS.shape, order=LAST), 1),
        (Map((1, 1, 1, 1)), (1, 1)),
    ],
    torch.mean: [(MAPS, -4), (MAPS, 3, False), (MAPS, ()), (MAPS, [0, -1], True), (MAPS, {"dtype": torch.float32})],
    torch.sum: [(Map((1,)), 0)],
    Tensor.amax: [(MAPS, -4), (MAPS, [])],
    F.interpolate: [
        (MAPS, 1),
        (MAPS, None, 0.125),
        (MAPS, None, (1, 2.5), "bilinear", True),
        (MAPS, [3, 4], None, "bicubic", None, False, True),
        (Map((1, 1, 1, 1)), (1, 1)),
    ],
    F.pad: [
        (MAPS, ()),
        (MAPS, [0, 0, 1, 0, 0, 1, 2, 2], "constant", 1.0),
        (Map((1,), INT), (0, 1), "constant", 3),
        (Map((2,), BOOL), (1, 0)),
    ],
    torch.cat: [
        ((ROWS, Map((2, 1, 4))), {"dim": -2}),
        ((ROWS, ROWS), -3),
        ((ROWS, ROWS), 2),
        ([Map((1,), INT)],),
        ([Map((1, 1, 2, 1, 3), BOOL)], -5),
        ([Map((2, 3, 4), order=(0, 2, 1))],),
    ],
    torch.stack: [((ROWS, ROWS), -4), ([ROWS], 3), ([Map((), INT), Map((), INT)],), ((MAPS, MAPS), 2)],
    torch.roll: [(MAPS, 3, 0), (MAPS, [0], [-4]), (Map((1,), BOOL), (1,), (0,))],
    torch.clamp: [(MAPS, None, 1), (MAPS, {"max": 2.0}), (Map((), DOUBLE), 0, 0)],
    torch.pow: [(MAPS, -1), (Map(MAPS.shape, order=LAST), 2.0)],
    F.dropout: [(MAPS, 0, False), (MAPS, 1, False, True), (MAPS, 0.5, False, False)],
    F.relu: [(MAPS, True), (Map(MAPS.shape, order=LAST), True), (Map((), torch.float16),)],
    F.elu: [(MAPS, 2), (MAPS, 0.5, True)],
    F.leaky_relu: [(MAPS, 2, True)],
    F.hardtanh: [(MAPS, 1, 1), (MAPS, -2.0, 3.0, True)],
    F.gelu: [(MAPS, {"approximate": "tanh"})],
    F.softplus: [(MAPS, 2, 3.0), (MAPS, 2.0, 3)],
    F.silu: [(Map((2, 3, 4), torch.bfloat16, (2, 0, 1)), True)],
    torch.add: [
        (Map((2, 1), INT), Map((3,), INT)),
        (Map((2,), BOOL), Map((2,), BOOL)),
        (Map((2,), torch.int32), 2),
        (Map((2,), DOUBLE), Map((2,))),
        (Map(MAPS.shape, order=LAST), Map(MAPS.shape, order=LAST)),
        (Map(MAPS.shape, order=LAST), Map((4, 1, 1))),
        (Map(MAPS.shape, order=LAST), 2),
    ],
    torch.sub: [(Map((2,), INT), Map((1,), INT)), (MAPS, 1)],
    torch.mul: [(Map((), BOOL), Map((), BOOL)), (Map((2, 1)), Map((1, 3)))],
    torch.div: [(MAPS, Map(())), (Map((), DOUBLE), 2)],
    torch.eq: [(Map((2,), INT), Map((2,), INT)), (Map((2,), BOOL), Map((2,), BOOL))],
    Tensor.add_: [(MAPS, Map((4, 1, 1))), (Map((2,), INT), 2), (Map((), DOUBLE), Map((), DOUBLE))],
    Tensor.div_: [(MAPS, Map((9,))), (MAPS, 2)],
    torch.where: [
        (Map((2, 3), BOOL), Map((2, 3)), Map((2, 3))),
        (Map((3,), BOOL), Map((2, 3), INT), Map((), INT)),
        (Map((), BOOL), Map((1,), BOOL), Map((2,), BOOL)),
    ],
}
UNLIKE = {torch.where, F.embedding, torch.linalg.vecdot}  # of numbers that are not floats, or always run


def typical(function):
    """Calls with maps alone for what is asked of each element of one map, or of two."""
    if function in TYPICAL:
        return TYPICAL[function]
    names = ("add", "sub", "mul", "div", "eq", "ge", "gt", "le", "lt", "ne", "add_", "sub_", "mul_", "div_")
    return [(MAPS, MAPS), (MAPS, 2)] if function.__name__ in names else [(MAPS,)]


@pytest.mark.parametrize(
    ("function", "operands"),
    [
        pytest.param(function, operands, id=f"{getattr(function, '__qualname__', function)} {number}")
        for function in FAST
        for number, operands in enumerate(
            [*(typical(function) if function not in UNLIKE else ()), *EDGES.get(function, ())]
        )
    ],
)
def test_it_is_answered_from_shapes(function, operands, monkeypatch):
    def fails(self, operator, args, kwargs):
        raise AssertionError(f"{operator} runs")

    def made(value):
        if isinstance(value, Map):
            return value.make()
        return type(value)(map(made, value)) if isinstance(value, tuple | list) else value

    *operands, options = operands if isinstance(operands[-1], dict) else (*operands, {})
    model, inputs = Call(partial(function, **options)), made(tuple(operands))
    slow = uc.count(model, inputs, fast=False)
    monkeypatch.setattr(DispatchMode, "_run", fails)
    assert uc.count(model, inputs).cost == slow.cost
