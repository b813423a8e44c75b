"""Whatever holds the input tensors, every way to look at a model sees the same ones."""

import re
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor, nn

import ulsam_cost as uc
from ulsam_cost.conventions import get_convention
from ulsam_cost.measuring.measure import measure
from ulsam_cost.measuring.memory import measure_memory
from ulsam_cost.measuring.rounds import make_effort
from ulsam_cost.measuring.runner import make_setting
from ulsam_cost.measuring.sweep import batch_of
from ulsam_cost.measuring.timing import measure_alone
from ulsam_cost.peers import PEERS, is_installed, run_peer
from ulsam_cost.tensors import mapped, tensors_of

BATCH, FEATURES, RESULTS = 3, 6, 4
LEFT, RIGHT = torch.zeros(BATCH, FEATURES), torch.zeros(BATCH, FEATURES)


class Named(NamedTuple):
    left: Tensor
    right: Tensor


@dataclass
class Data:
    left: Tensor
    right: Any = None


@dataclass(frozen=True, slots=True)
class Frozen:
    left: Tensor
    right: Tensor


def by_name(layer, pair):
    return layer(pair.left) + layer(pair.right)


# Inputs, and the forward that takes them; each sends LEFT and RIGHT through the layer.
CASES: dict[str, tuple[Any, Callable[..., Tensor]]] = {
    "plain": ((LEFT, RIGHT), lambda layer, a, b: layer(a) + layer(b)),
    "named tuple": ((Named(LEFT, RIGHT),), by_name),
    "named tuple alone": (Named(LEFT, RIGHT), by_name),
    "dataclass": ((Data(LEFT, RIGHT),), by_name),
    "dataclass alone": (Data(LEFT, RIGHT), by_name),
    "frozen dataclass": (Frozen(LEFT, RIGHT), by_name),
    "nested lists": (([LEFT, [RIGHT, []]],), lambda layer, pair: layer(pair[0]) + layer(pair[1][0])),
    "list alone": ([LEFT, [RIGHT]], lambda layer, pair: layer(pair[0]) + layer(pair[1][0])),
    "None": ((LEFT, None, RIGHT), lambda layer, a, mask, b: layer(a) + layer(b) if mask is None else None),
    "numbers": ((LEFT, 2, 0.5, True, RIGHT), lambda layer, a, i, x, flag, b: layer(a) + layer(b) if flag else i * x),
    "keywords": ({"pair": Data(LEFT, [RIGHT]), "mask": None}, lambda layer, pair, mask: by_name(layer, flat(pair))),
    "ordered dict": ((OrderedDict(a=LEFT, b=RIGHT),), lambda layer, pair: layer(pair["a"]) + layer(pair["b"])),
    "size": ((LEFT, RIGHT, torch.Size((-1, 1))), lambda layer, a, b, s: (layer(a) + layer(b)).reshape((*s, 1))),
}


def flat(pair):
    return Data(pair.left, pair.right[0])


class Model(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.layer = nn.Linear(FEATURES, RESULTS)
        self.function = function

    def forward(self, *args, **kwargs):
        return self.function(self.layer, *args, **kwargs)


def model_of(case):
    inputs, function = CASES[case]
    return Model(function).eval(), inputs


MACS = 2 * BATCH * FEATURES * RESULTS
cases = pytest.mark.parametrize("case", CASES)


@cases
@pytest.mark.parametrize("fast", [True, False])
def test_count(case, fast):
    model, inputs = model_of(case)
    count = uc.count(model, inputs, fast=fast)
    assert (count.macs, count.uncounted, count.real_run) == (MACS, (), "")


@cases
def test_measure_in_another_number_format(case):
    model, inputs = model_of(case)
    setting = make_setting(device="cpu", dtype="float64")  # so that every tensor must be replaced
    timing = measure_alone(model, inputs, setting=setting, effort=make_effort(repeats=2))
    assert (timing.batch, timing.dtype) == (BATCH, torch.float64)


@cases
def test_compare_in_another_number_format(case):
    model, inputs = model_of(case)
    pair = measure(model, inputs, baseline=model, device="cpu", dtype="float64", repeats=2)
    assert (pair.batch, pair.network.runs) == (BATCH, 2)


@cases
def test_memory(case):
    model, inputs = model_of(case)
    memory = measure_memory(model, inputs, setting=make_setting(device="cpu", dtype="float64"))
    assert memory.inputs_bytes == 2 * BATCH * FEATURES * 8
    assert memory.bound_bytes >= 2 * BATCH * RESULTS * 8


@cases
@pytest.mark.parametrize("tool", PEERS)
def test_peers(case, tool):
    if not is_installed(tool):
        pytest.skip(f"{tool} is not installed")
    model, inputs = model_of(case)
    assert run_peer(tool, model, inputs) == get_convention(tool).number(uc.count(model, inputs).cost)


@cases
def test_another_batch_is_cut_from_the_same_inputs(case):
    model, inputs = model_of(case)
    assert uc.count(model, batch_of(inputs, 5)).macs == MACS // BATCH * 5


class Shape(tuple):
    """A tuple of a class of its own."""

    __slots__ = ()


class Items(list):
    """A list with an attribute."""


def test_containers_keep_their_types():
    items = Items([LEFT])
    items.label = "x"
    value = (
        Shape((LEFT,)),
        items,
        OrderedDict(a=LEFT),
        Data(LEFT, 3),
        torch.max(LEFT, 1),
        MappingProxyType({"a": LEFT}),
    )
    twin = mapped(value, lambda tensor: tensor + 1)
    assert [type(item) for item in twin[:-1]] == [type(item) for item in value[:-1]]
    assert (twin[1].label, twin[3].right, twin[4].values.shape) == ("x", 3, (BATCH,))
    assert all(bool((tensor >= 1).all()) for tensor in tensors_of(twin))
    assert len(list(tensors_of(twin))) == len(list(tensors_of(value)))
    assert not any(tensor.any() for tensor in tensors_of(value))


def test_what_holds_no_tensor_is_the_callers_own():
    value = (torch.Size((2, 3)), Shape((1, 2)), OrderedDict(a=1), Data(None), object())
    assert all(own is given for own, given in zip(mapped(value, torch.neg), value, strict=True))


class OfDict(nn.Linear):
    def forward(self, batch):
        return super().forward(batch["x"])


class OfTwo(nn.Linear):
    def forward(self, x, y):
        return super().forward(x + y)


ROWS = torch.zeros(BATCH, FEATURES)
# model, inputs in the wrong place, what is said, inputs as it says
MISPLACED = {
    "a dict": (OfDict, {"x": ROWS}, r"\(\{\.\.\.\},\) is one positional argument", ({"x": ROWS},)),
    "a list": (OfTwo, [ROWS, ROWS], "a tuple is accepted as several", (ROWS, ROWS)),
}


@pytest.mark.parametrize("name", MISPLACED)
def test_inputs_in_the_wrong_place_are_told_how_to_be_wrapped(name):
    kind, inputs, said, meant = MISPLACED[name]
    model = kind(FEATURES, RESULTS)
    with pytest.raises(TypeError) as raised:
        uc.count(model, inputs)
    assert re.search(said, " ".join(raised.value.__notes__))
    with pytest.raises(uc.CostError, match=said):
        measure(model, inputs, device="cpu")
    assert uc.count(model, meant).macs == BATCH * FEATURES * RESULTS


def test_arguments_that_a_model_lacks_are_not_said_to_be_misplaced():
    for inputs in ({"z": ROWS}, [ROWS, ROWS, ROWS], (ROWS,)):
        with pytest.raises(TypeError) as raised:
            uc.count(OfTwo(FEATURES, RESULTS), inputs)
        assert raised.value.__notes__ == ["raised in the model itself"]
