"""A model that asks where its tensors are is told where they would be if it really ran."""

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import ulsam_cost as uc
from ulsam_cost.cost import OpKind
from ulsam_cost.counting import meta_tensors

DEVICES = pytest.mark.parametrize("device", ["cpu", "meta"])
ASKS = {
    "device": lambda x: x.device.type == "cpu",
    "device of what a layer gives": lambda x: nn.functional.relu(x).device.type == "cpu",
    "device of a constant": lambda x: torch.zeros(3, device=x.device).device.type == "cpu",
    "is_cpu": lambda x: x.is_cpu,
    "is_meta": lambda x: not x.is_meta,
    "is_cuda": lambda x: x.is_cuda,
    "get_device": lambda x: x.get_device() >= 0,
    "torch.get_device": lambda x: torch.get_device(x) == -1,
}


class Model(nn.Module):
    def __init__(self, asks):
        super().__init__()
        self.asks, self.one, self.other = asks, nn.Linear(4, 5), nn.Linear(4, 50)

    def forward(self, x):
        return self.one(x) if self.asks(x) else self.other(x)


@DEVICES
@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("asks", ASKS)
def test_a_model_takes_the_way_that_it_takes_when_it_runs(asks, fast, device):
    model, x = Model(ASKS[asks]).to(device), torch.zeros(2, 4, device=device)
    width = model(x).shape[-1]
    count = uc.count(model, x, fast=fast)
    assert (count.macs, count.outputs, count.real_run) == (2 * 4 * width, ((2, width),), "")


@DEVICES
def test_everything_is_where_the_model_is(device):
    class Compares(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(4, 5)

        def forward(self, x):
            y, constant = self.layer(x), torch.ones(5, device=x.device)
            places = [tensor.device for tensor in (x, y, constant, constant + 1, y * constant, self.layer.weight)]
            if len(set(places)) > 1:
                raise RuntimeError(f"expected one device, got {places}")
            return y

    for train in (False, True):
        assert uc.count(Compares().to(device), torch.zeros(2, 4, device=device), train=train).real_run == ""


def test_a_model_without_parameters_is_where_its_inputs_are():
    class Chooses(nn.Module):
        def forward(self, x):
            return x @ x if x.is_cpu else x

    assert uc.count(Chooses(), torch.zeros(3, 3)).macs == 3 * 3 * 3
    assert uc.count(Chooses(), torch.zeros(3, 3, device="meta")).macs == 0


MOVES = {
    "to a device": (lambda x, weight: x.to(x.device), 0),
    "to a device by its name": (lambda x, weight: x.to("cpu"), 0),
    "to the device of a parameter": (lambda x, weight: x.to(device=weight.device), 0),
    "a parameter": (lambda x, weight: weight.to(x.device), 0),
    "cpu": (lambda x, weight: x.cpu(), 0),
    "a constant": (lambda x, weight: torch.ones(2).to(x.device), 0),
    "another dtype": (lambda x, weight: x.to(x.device, torch.float64), 1),
    "a copy": (lambda x, weight: x.to(x.device, copy=True), 1),
}


class Moves(nn.Module):
    def __init__(self, move):
        super().__init__()
        self.move, self.layer = move, nn.Linear(4, 5, bias=False)

    def forward(self, x):
        self.move(x, self.layer.weight)
        return x


@pytest.mark.parametrize("fast", [True, False])
@pytest.mark.parametrize("name", MOVES)
def test_what_is_moved_to_where_it_is_stays(name, fast):
    move, copies = MOVES[name]
    with CopiesSeen() as seen:
        move(torch.zeros(2, 4), torch.zeros(5, 4))
    count = uc.count(Moves(move), torch.zeros(2, 4), fast=fast)
    assert [op.kind for op in count.cost if op.kind is not OpKind.UNUSED] == [OpKind.MOVEMENT] * copies
    assert (seen.copies, count.real_run) == (copies, "")


class CopiesSeen(TorchDispatchMode):
    copies = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.copies += func.overloadpacket is torch.ops.aten._to_copy
        return func(*args, **(kwargs or {}))


@pytest.fixture
def elsewhere(monkeypatch):
    """A device that is not there: the model and its inputs seem to be on it."""
    place = torch.device("mps", 1)
    monkeypatch.setattr(meta_tensors, "_device_of", lambda *_: place)
    return place


@pytest.mark.parametrize("fast", [True, False])
def test_a_model_on_another_device_is_told_so(elsewhere, fast):
    seen, weight = [], nn.Parameter(torch.zeros(2))

    class Looks(nn.Module):
        def forward(self, x):
            ones = torch.ones(3, device=x.device)
            seen[:] = x.device, ones.device, (ones + 1).device, x.get_device(), x.is_mps, x.is_cpu, weight.device
            return x

    assert uc.count(Looks(), torch.zeros(2, 4), fast=fast).real_run == ""
    assert seen == [elsewhere, elsewhere, elsewhere, 1, True, False, weight.device]


def test_another_device_of_the_same_type_is_another_place(elsewhere):
    there, beside = (uc.count(Moves(lambda x, _, to=to: x.to(to)), torch.zeros(2, 4)) for to in ("mps:1", "mps:0"))
    assert [op.kind for op in there.cost] == [OpKind.UNUSED]
    assert [op.kind for op in beside.cost] == [OpKind.MOVEMENT, OpKind.UNUSED]


@pytest.mark.parametrize("fast", [True, False])
def test_constants_on_another_device_have_their_values(elsewhere, fast):
    class Cuts(nn.Module):
        def forward(self, x):
            rows = torch.tensor([2, 3], device=x.device).sum() + torch.arange(3, device=x.device)[1]
            return x[: int(rows)] @ x.new_ones(4, 5, device=x.device)

    count = uc.count(Cuts(), torch.zeros(7, 4), fast=fast)
    assert (count.macs, count.real_run) == (6 * 4 * 5, "")
