"""Each private name of PyTorch exists and does what is relied on."""

import inspect

import pytest
import torch
from torch import nn

from ulsam_cost import torch_private as private


def test_the_tables_of_a_module_are_where_they_are_looked_for():
    module = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1d(3))
    assert list(vars(module)[private.MODULES]) == ["0", "1"]
    assert list(vars(module[0])[private.PARAMETERS]) == ["weight", "bias"]
    assert list(vars(module[1])[private.BUFFERS]) == ["running_mean", "running_var", "num_batches_tracked"]
    assert vars(module)[private.NON_PERSISTENT] == set()
    module.register_buffer("more", torch.ones(1), persistent=False)
    assert vars(module)[private.NON_PERSISTENT] == {"more"}
    module.register_forward_hook(lambda *_: None)
    module.register_forward_pre_hook(lambda *_: None)
    assert len(vars(module)[private.FORWARD_HOOKS]) == len(vars(module)[private.FORWARD_PRE_HOOKS]) == 1


def test_a_call_looks_for_a_compiled_one(monkeypatch):
    module = nn.Linear(2, 3)
    monkeypatch.setattr(nn.Module, private.COMPILED_CALL, lambda self, x: ("heard", self), raising=True)
    assert module(torch.ones(1, 2)) == ("heard", module)
    assert private.call_uncompiled(module, torch.ones(1, 2)).shape == (1, 3)


def test_a_compiled_module_keeps_the_one_that_it_wraps():
    module = nn.Linear(2, 3)
    assert getattr(torch.compile(module), private.COMPILED_BODY) is module


@pytest.mark.parametrize("name", private.COMPILER_MODULES)
def test_the_compiler_is_where_its_errors_come_from(name):
    assert inspect.ismodule(__import__("importlib").import_module(name))


@pytest.mark.parametrize("when", ["forward_pre", "forward", "full_backward_pre", "full_backward"])
def test_hooks_of_all_modules_are_known(when):
    assert not private.has_global_hooks()
    handle = getattr(nn.modules.module, f"register_module_{when}_hook")(lambda *_: None)
    assert private.has_global_hooks()
    handle.remove()


class Heard(private.TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.operators = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.operators.append(func)
        return func(*args, **(kwargs or {}))


def test_no_mode_hears_what_is_done_without_dispatch():
    with Heard() as heard:
        torch.ones(2).add(1)
        with private.without_dispatch():
            torch.ones(2).mul(2)
    assert [private.qualified_name(func.overloadpacket) for func in heard.operators] == ["aten::ones", "aten::add"]
    add = heard.operators[1]
    assert isinstance(add, private.OpOverload)
    assert isinstance(add.overloadpacket, private.OpOverloadPacket)
    assert not isinstance(add, private.HigherOrderOperator)
    assert isinstance(torch.ops.higher_order.cond, private.HigherOrderOperator)
    assert not private.schema_of(add).is_mutable
    assert private.schema_of(torch.ops.aten.add_.Tensor).is_mutable


def test_no_subclass_hears_what_is_done_without_functions():
    class Loud(torch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            raise AssertionError(func)

    loud = torch.ones(2).as_subclass(Loud)
    with pytest.raises(AssertionError, match="add"):
        loud.add(1)
    with private.without_functions():
        assert loud.add(1).tolist() == [2, 2]


def test_a_parameter_on_the_memory_of_another():
    weight = nn.Parameter(torch.ones(2), requires_grad=False)
    own = private.as_subclass(nn.Parameter, weight, True)
    assert (type(own), own.requires_grad) == (nn.Parameter, True)
    assert own.data_ptr() == weight.data_ptr()


def test_transforms_are_seen_and_left():
    assert private.current_transform() is None

    def look(x):
        assert private.current_transform() is not None
        assert private.transforms.is_functorch_wrapped_tensor(x)
        assert private.transforms.is_batchedtensor(x)
        assert private.transforms.get_unwrapped(x).shape == (3, 2)
        with private.outside_transforms():
            assert private.current_transform() is None
        return x

    torch.func.vmap(look)(torch.ones(3, 2))


def test_the_backward_knows_its_forward():
    numbers = {}

    class Where(private.TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            name = func.overloadpacket.__name__
            node = private.current_autograd_node()
            numbers[name] = private.next_sequence_number() - 1 if node is None else private.sequence_number(node)
            return func(*args, **(kwargs or {}))

    x = torch.ones(2, requires_grad=True)
    with Where():
        x.sigmoid().sum().backward()
    assert numbers["sigmoid"] == numbers["sigmoid_backward"]


def test_storages_and_sparse_values():
    for device in ("cpu", "meta"):
        one, other = torch.empty(4, device=device), torch.empty(4, device=device)
        assert private.storage_key(one.untyped_storage()) == private.storage_key(one[1:].untyped_storage())
        assert private.storage_key(one.untyped_storage()) != private.storage_key(other.untyped_storage())
    twice = torch.sparse_coo_tensor(torch.tensor([[0, 0]]), torch.ones(2), (3,))
    assert private.stored_values(twice).numel() == 2


def test_sequences_are_packed_by_what_torch_calls():
    seen = []

    class Where(torch.overrides.TorchFunctionMode):
        def __torch_function__(self, func, types, args=(), kwargs=None):
            seen.append(func)
            return func(*args, **(kwargs or {}))

    with Where():
        packed = torch.nn.utils.rnn.pack_padded_sequence(torch.ones(7, 2, 3), torch.tensor([7, 2]))
        torch.nn.utils.rnn.pad_packed_sequence(packed)
    assert {private.pack_sequence, private.pad_sequence} <= set(seen)


def test_flex_attention_refuses_the_meta_device_by_the_check_that_is_replaced(monkeypatch):
    flex = pytest.importorskip(private.FLEX_MODULE)
    x = torch.empty(1, 1, 2, 2, device="meta")
    with pytest.raises(ValueError, match="meta device"):
        getattr(flex, private.FLEX_CHECK)(x, x, x)
    monkeypatch.setattr(flex, private.FLEX_CHECK, lambda *tensors: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        flex.flex_attention(x, x, x)


def test_what_a_checkpoint_takes_down_of_a_tensor():
    from torch.utils import checkpoint

    assert getattr(checkpoint, private.CHECKPOINTED)(torch.zeros(2))["device"] == torch.device("cpu")
