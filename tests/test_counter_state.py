"""A count leaves nothing behind, also when the forward raises, and other threads get their own right answers."""

import gc
import random
import threading
from collections import OrderedDict

import numpy as np
import pytest
import torch
from counting import Call, zeros
from torch import nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn import functional as F
from torch.nn.modules import module as torch_module
from torch.overrides import _get_current_function_mode_stack
from torch.utils._python_dispatch import _get_current_dispatch_mode_stack

import ulsam_cost as uc

HOOKS = [name for name in vars(torch_module) if name.startswith("_global_") and "hooks" in name]
X = zeros(2, 3, 9, 7) + 1


class Restless(nn.Module):
    """Changes whatever a forward can change, and fails if told to."""

    def __init__(self, fails=False, asks=False):
        super().__init__()
        self.fails, self.asks, self.calls, self.cache = fails, asks, 0, None
        self.conv = nn.Conv2d(3, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout()
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("average", torch.zeros(4))
        self.frozen = nn.Parameter(torch.ones(4), requires_grad=False)

    def forward(self, x):
        self.calls += 1
        self.steps += 1
        x = self.drop(self.norm(self.conv(x)))
        self.average = 0.9 * self.average + 0.1 * x.mean((0, 2, 3))
        self.average.mul_(2)
        self.frozen.data.add_(1)
        self.norm.eval()
        self.cache = x + torch.rand(4, 1, 1) + random.random() + np.random.rand()
        self.extra = nn.Linear(1, 1)
        if self.asks and x.sum() > -1e9:
            x = x * 2
        if self.fails:
            raise KeyError("the model's own error")
        return self.cache


def snapshot(model):
    return {
        "state": OrderedDict((name, value.clone()) for name, value in model.state_dict().items()),
        "same": {name: id(value) for name, value in [*model.named_parameters(), *model.named_buffers()]},
        "training": [module.training for module in model.modules()],
        "requires_grad": [parameter.requires_grad for parameter in model.parameters()],
        "grad": [parameter.grad for parameter in model.parameters()],
        "hooks": [[len(getattr(m, name)) for name in vars(m) if name.endswith("_hooks")] for m in model.modules()],
        "global hooks": [len(getattr(torch_module, name)) for name in HOOKS],
        "attributes": [sorted(vars(module)) for module in model.modules()],
        "plain": {name: value for name, value in vars(model).items() if isinstance(value, int | type(None))},
        "functions": (
            nn.Module.__call__,
            nn.Module._call_impl,
            nn.Module._compiled_call_impl,
            F.conv2d,
            torch.matmul,
            torch.Tensor.__matmul__,
        ),
        "modes": (list(_get_current_function_mode_stack()), list(_get_current_dispatch_mode_stack())),
        "grad mode": torch.is_grad_enabled(),
        "collector": gc.isenabled(),
        "device": torch.get_default_device(),
        "random": (torch.get_rng_state(), random.getstate(), str(np.random.get_state())),
    }


def assert_same(before, after):
    for key in before:
        if key == "state":
            assert before[key].keys() == after[key].keys()
            for name in before[key]:
                assert before[key][name].device == after[key][name].device
                assert torch.equal(before[key][name], after[key][name]), name
        elif key == "random":
            assert torch.equal(before[key][0], after[key][0])
            assert before[key][1:] == after[key][1:]
        else:
            assert before[key] == after[key], key


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
@pytest.mark.parametrize("asks", [False, True], ids=["on meta", "for real"])
@pytest.mark.parametrize("fails", [False, True], ids=["returns", "raises"])
@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
def test_a_model_is_left_as_found(fast, asks, fails, training):
    model, x = Restless(fails=fails, asks=asks).train(training), X.clone()
    before = snapshot(model)
    if fails:
        with pytest.raises(KeyError, match="the model's own error"):
            uc.count(model, x, fast=fast)
    else:
        count = uc.count(model, x, fast=fast)
        assert count.macs == 2 * 4 * (7 * 5) * (3 * 3 * 3)
        assert bool(count.real_run) == asks
    assert_same(before, snapshot(model))
    assert torch.equal(x, X)


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.spectral_norm])
@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
def test_a_weight_that_a_hook_makes_is_left_as_found(norm, fast):
    model = nn.Sequential(norm(nn.Linear(4, 6)), nn.ReLU())
    before, weight = snapshot(model), model[0].weight
    assert uc.count(model.eval(), zeros(5, 4), fast=fast).macs >= 5 * 4 * 6
    model.train()
    assert_same(before, snapshot(model))
    assert model[0].weight is weight


def test_a_part_that_its_owner_changes_is_left_as_found():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.drop = nn.BatchNorm2d(3), nn.Dropout()

        def forward(self, x):
            self.norm.running_mean = self.norm.running_mean * 0.9 + x.mean((0, 2, 3))
            self.norm.register_buffer("more", x.sum())
            self.drop.eval()
            return self.drop(self.norm(x))

    model = Model().train()
    before = snapshot(model)
    uc.count(model, X)
    assert_same(before, snapshot(model))


def test_inputs_changed_in_place_are_left_as_found():
    x = zeros(5, 4) + 1
    uc.count(Call(lambda x: x.mul_(2).add_(1)), x)
    uc.count(Call(lambda x: x.mul_(2).add_(1) if x.sum() > 0 else x), x)
    assert torch.equal(x, zeros(5, 4) + 1)


class Failing(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(5, 3))

    def forward(self, x):
        return self.body(x)


@pytest.mark.parametrize("fast", [True, False], ids=["fast", "slow"])
def test_the_models_own_error_with_the_module_that_raised_it(fast):
    with pytest.raises(RuntimeError, match=r"5x6 and 5x3|mat1 and mat2 shapes") as caught:
        uc.count(Failing(), zeros(5, 4), fast=fast)
    assert caught.value.__notes__ == ["raised in module 'body.2'"]


def test_an_error_that_the_model_handles_leaves_the_path_right():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.bad, self.good = nn.Linear(5, 3), nn.Linear(4, 3)

        def forward(self, x):
            try:
                return self.bad(x)
            except RuntimeError:
                return self.good(x) @ x.new_zeros(3, 2)

    assert [op.path for op in uc.count(Model(), zeros(5, 4)).cost if op.macs] == ["good", ""]


def test_hooks_that_stood_before_stand_after_and_run():
    seen = []
    handle = torch_module.register_module_forward_hook(lambda module, args, out: seen.append(type(module).__name__))
    try:
        assert uc.count(nn.Sequential(nn.Linear(4, 6)), zeros(5, 4)).macs == 5 * 4 * 6
        assert seen == ["Linear", "Sequential"]
        assert len(torch_module._global_forward_hooks) == 1
    finally:
        handle.remove()


def test_threads_get_their_own_answers():
    class Waiting(nn.Module):
        """Meets the other thread in the middle of its forward."""

        def __init__(self, width, barrier):
            super().__init__()
            self.first, self.second, self.barrier = nn.Linear(4, width), nn.Linear(width, 3), barrier

        def forward(self, x):
            x = F.relu(self.first(x))
            self.barrier.wait(timeout=60)
            x = self.second(x)
            self.barrier.wait(timeout=60)
            return x @ x.new_zeros(3, 2)

    barrier = threading.Barrier(3)
    models = [Waiting(width, barrier) for width in (5, 7, 9)]
    x = torch.ones(2, 4)
    expected = models[2].second(F.relu(models[2].first(x))) @ x.new_zeros(3, 2)
    found = {}

    def keep(name, work):
        found[name] = work()

    threads = [
        threading.Thread(target=keep, args=(0, lambda: uc.count(models[0], x).cost)),
        threading.Thread(target=keep, args=(1, lambda: uc.count(models[1], x).cost)),
        threading.Thread(target=keep, args=(2, lambda: models[2](x))),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    for index, width in enumerate((5, 7)):
        assert [(op.path, op.macs) for op in found[index] if op.macs] == [
            ("first", 2 * 4 * width),
            ("second", 2 * width * 3),
            ("", 2 * 3 * 2),
        ]
    assert torch.equal(found[2], expected)
    assert nn.Module._compiled_call_impl is None


def test_another_tool_may_wrap_modules_in_between():
    plain = nn.Module.__call__

    class Model(nn.Module):
        def forward(self, x):
            traced = torch.fx.symbolic_trace(nn.Sequential(nn.Linear(4, 6)))
            return traced(x)

    assert uc.count(Model(), zeros(5, 4)).macs == 5 * 4 * 6
    assert nn.Module.__call__ is plain


def _replace(model):
    model.weight.data = torch.zeros(7, 6)


def _grow(model):
    model.table.resize_(7, 6)


def _exchange(model):
    model.table.set_(torch.zeros(7, 6))


CHANGES = {"data =": (_replace, "weight"), "resize_": (_grow, "table"), "set_": (_exchange, "table")}


@pytest.mark.parametrize(("change", "of"), CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("fast", [True, False])
def test_a_tensor_of_the_model_that_its_forward_gives_another_shape(change, of, fast):
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(3, 6))
            self.register_buffer("table", torch.zeros(3, 6))

        def forward(self, x):
            change(self)
            return F.linear(x, getattr(self, of))

    model = Model()
    count = uc.count(model, zeros(4, 6), fast=fast)
    assert count.macs == 4 * 6 * 7  # as PyTorch runs it, and not 4 * 6 * 3
    assert "another shape" in count.real_run
    assert model.weight.shape == model.table.shape == (3, 6)


def test_a_reference_to_memory_is_not_freed_twice(monkeypatch):
    model = nn.Linear(4, 3)
    model.reference = StorageWeakRef(model.weight.untyped_storage())
    freed = []
    monkeypatch.setattr(StorageWeakRef, "__del__", lambda reference: freed.append(reference.cdata))
    uc.count(model, torch.zeros(2, 4))
    gc.collect()
    assert freed == []
