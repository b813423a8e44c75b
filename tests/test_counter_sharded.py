"""Models whose parameters are spread over processes: counted as a whole, or refused in a sentence."""

import pytest
import torch
from torch import distributed, nn

import ulsam_cost as uc

pytest.importorskip("torch.testing._internal.distributed.fake_pg")
MACS, PARAMS = 5 * 8 * 6 + 5 * 6 * 4, 8 * 6 + 6 + 6 * 4 + 4


def net():
    return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 4))


@pytest.fixture
def mesh():
    """Two processes, of which only the first is there."""
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    yield distributed.device_mesh.init_device_mesh("cpu", (2,))
    distributed.destroy_process_group()


def test_distributed_tensors_count_as_a_whole(mesh):
    from torch.distributed.tensor import Replicate, distribute_module, distribute_tensor

    model = distribute_module(net(), mesh)
    count = uc.count(model, distribute_tensor(torch.zeros(5, 8), mesh, [Replicate()]))
    assert (count.macs, count.params) == (MACS, PARAMS)


def test_tensor_parallel_modules_count_as_a_whole(mesh):
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    model = parallelize_module(net(), mesh, {"0": ColwiseParallel(), "2": RowwiseParallel()})
    before = {name: parameter.placements for name, parameter in model.named_parameters()}
    count = uc.count(model, torch.zeros(5, 8))
    assert (count.macs, count.params, count.complete) == (MACS, PARAMS, True)
    collectives = {left_out.operator for left_out in count.uncounted}
    assert collectives >= {"_c10d_functional::all_reduce"}
    assert all(name.startswith("_c10d_functional::") for name in collectives)
    assert {name: parameter.placements for name, parameter in model.named_parameters()} == before


def in_units(model, mesh):
    from torch.distributed.fsdp import fully_shard

    fully_shard(model, mesh=mesh)
    return model


def wrapped(model, mesh):
    from torch.distributed.fsdp import FullyShardedDataParallel

    return FullyShardedDataParallel(model, device_id=torch.device("cpu"))


def wrapped_flat(model, mesh):
    from torch.distributed.fsdp import FullyShardedDataParallel

    return nn.Sequential(FullyShardedDataParallel(model, device_id=torch.device("cpu"), use_orig_params=False))


def in_units_that_ran(model, mesh):
    model = in_units(model, mesh)
    model(torch.zeros(5, 8))  # gathers the parameters, and frees the memory that they took
    return model


@pytest.mark.parametrize("shard", [in_units, in_units_that_ran, wrapped, wrapped_flat])
def test_sharded_modules_are_refused(mesh, shard):
    model = shard(net(), mesh)
    before = {name: (type(value), value.shape) for name, value in model.named_parameters()}
    with pytest.raises(uc.CostError, match="sharded by FSDP: the model before it is sharded is accepted"):
        uc.count(model, torch.zeros(5, 8))
    assert {name: (type(value), value.shape) for name, value in model.named_parameters()} == before
