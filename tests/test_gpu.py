"""What only a CUDA device can show."""

import pytest
import torch
from torch import nn

from analyses.latency.timers import compare_timers
from ulsam_cost.errors import DeviceError
from ulsam_cost.measuring.device import machine_state
from ulsam_cost.measuring.energy import measure_energy
from ulsam_cost.measuring.layers import attribute_kernels, measure_layers, name_by_depth
from ulsam_cost.measuring.measure import measure
from ulsam_cost.measuring.memory import measure_memory
from ulsam_cost.measuring.roofline import device_roof
from ulsam_cost.measuring.rounds import Effort
from ulsam_cost.measuring.runner import make_setting, prepare
from ulsam_cost.measuring.timing import measure_alone
from ulsam_cost.nn.attention.ulsam import ULSAM
from ulsam_cost.nn.networks import build

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
DEVICE = "cuda:0"


class Spin(nn.Module):
    """Keeps the device busy for a number of its clock's cycles."""

    def __init__(self, cycles):
        super().__init__()
        self.cycles = cycles

    def forward(self, x):
        torch.cuda._sleep(self.cycles)
        return x


def inputs(batch, size=64):
    return torch.randn(batch, 3, size, size)


def test_the_device_is_timed_and_not_the_launch():
    # ten times the cycles, ten times the time: a host clock that does not wait would show none of it
    pair = measure(Spin(20_000_000), inputs(1), baseline=Spin(2_000_000), device=DEVICE, repeats=9)
    assert pair.ratio.median == pytest.approx(10, rel=0.1)


@pytest.mark.parametrize("mode", ["eager", "graph"])
@pytest.mark.parametrize("train", [False, True])
def test_every_mode_runs(mode, train):
    setting = make_setting(device=DEVICE, mode=mode, train=train)
    assert measure_alone(build("mv1", width=0.25, resolution=64), inputs(4), setting=setting, effort=Effort(repeats=6))


@pytest.mark.parametrize("mode", ["compile", "compile-graph"])
def test_a_compiled_model_runs(mode):
    setting = make_setting(device=DEVICE, mode=mode)
    try:
        timed = measure_alone(ULSAM(64), torch.randn(2, 64, 14, 14), setting=setting, effort=Effort(repeats=6))
    except DeviceError as error:
        pytest.skip(str(error))
    assert timed.network.median_ms > 0


def test_a_graph_does_the_work_on_every_replay():
    class Counts(nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("runs", torch.zeros(()))

        def forward(self, x):
            self.runs += 1
            return x

    ready = prepare(Counts(), inputs(1), make_setting(device=DEVICE, mode="graph"))
    before = ready.model.runs.item()
    ready.run()
    ready.run()
    assert ready.model.runs.item() == before + 2


def test_the_package_and_triton_agree():
    pytest.importorskip("triton")
    setting = make_setting(device=DEVICE, mode="graph")
    timed = compare_timers(build("mv1"), inputs(64, 224), setting=setting, effort=Effort(repeats=9))
    assert timed.model.median_ms == pytest.approx(timed.others[0].median_ms, rel=0.05)


def test_a_planted_delay_is_found_in_its_layer():
    model = nn.Sequential(*(nn.Linear(64, 64) for _ in range(5)), Spin(20_000_000))
    timing = measure_layers(model, inputs(4), setting=make_setting(device=DEVICE), effort=Effort(repeats=6))
    times = timing.grouped(name_by_depth(1))
    assert max(times, key=lambda name: times[name].median_ms) == "5"
    laps = sum(timing.laps[-1].values())
    assert laps == pytest.approx(timing.hooked.times_ms[-1], rel=0.05)


def test_kernels_are_found_under_their_module():
    rows = attribute_kernels(nn.Sequential(nn.Conv2d(3, 64, 3)), inputs(8), setting=make_setting(device=DEVICE))
    assert any(row.path == "0" and row.ms > 0 for row in rows)


@pytest.mark.parametrize("train", [False, True])
def test_no_run_takes_less_memory_than_the_bound(train):
    setting = make_setting(device=DEVICE, train=train)
    found = measure_memory(build("mv2", resolution=64), inputs(8), setting=setting)
    assert found.bound_bytes <= found.peak_bytes <= found.reserved_bytes


def test_too_large_a_batch_is_one_sentence():
    class Huge(nn.Module):
        def forward(self, x):
            return torch.empty(2**45, device=x.device)

    with pytest.raises(DeviceError, match="smaller batch"):
        prepare(Huge(), inputs(1), make_setting(device=DEVICE))


def test_the_device_has_limits_and_a_state(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    device = torch.device(DEVICE)
    roof = device_roof(device, torch.float16)
    assert roof.bytes_per_second > 1e10
    assert roof.flops_per_second > 1e11
    assert machine_state(device)["name"] == torch.cuda.get_device_name(device)


def test_energy_is_counted():
    try:
        found = measure_energy(build("mv1"), inputs(8, 224), setting=make_setting(device=DEVICE), seconds=1.0)
    except DeviceError as error:
        pytest.skip(str(error))
    assert found.joules_per_image > 0
    assert found.watts > found.idle_watts
