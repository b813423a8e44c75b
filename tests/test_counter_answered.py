"""Common functions are answered from shapes: on maps in order, none of their operations runs on the meta device."""

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
    """A tensor of floats to be made on the meta device."""

    shape: tuple[int, ...]


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
        if function not in UNLIKE
        for number, operands in enumerate(typical(function))
    ],
)
def test_it_is_answered_from_shapes(function, operands, monkeypatch):
    def fails(self, operator, args, kwargs):
        raise AssertionError(f"{operator} runs")

    def made(value):
        if isinstance(value, Map):
            return torch.empty(value.shape, device="meta")
        return [made(each) for each in value] if isinstance(value, list) else value

    model, inputs = Call(function), tuple(map(made, operands))
    slow = uc.count(model, inputs, fast=False)
    monkeypatch.setattr(DispatchMode, "_run", fails)
    assert uc.count(model, inputs).cost == slow.cost
