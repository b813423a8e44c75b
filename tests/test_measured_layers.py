"""Time by module: what belongs to whom, a planted delay, and what the hooks leave behind."""

import time

import pytest
import torch
from torch import nn

from ulsam_cost.errors import CostError
from ulsam_cost.measuring import layers
from ulsam_cost.measuring import rounds as latency
from ulsam_cost.measuring.layers import REST, attribute_kernels, measure_layers, name_by_depth, name_under
from ulsam_cost.measuring.rounds import Effort
from ulsam_cost.measuring.runner import make_setting

CPU = make_setting(device="cpu")
X = torch.ones(2, 3)


class Sleep(nn.Module):
    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def forward(self, x):
        time.sleep(self.seconds)
        return x


class Block(nn.Module):
    """Two parts, one of them run twice, and code of its own."""

    def __init__(self):
        super().__init__()
        self.first, self.second = Sleep(0.002), Sleep(0.003)

    def forward(self, x):
        time.sleep(0.005)
        return self.first(self.second(self.first(x)))


@pytest.fixture
def clock(monkeypatch):
    """A clock that only sleeping moves."""
    now = [0]
    monkeypatch.setattr(time, "sleep", lambda seconds: now.append(now.pop() + round(seconds * 1e9)))
    for module in (latency, layers):
        monkeypatch.setattr(module, "perf_counter_ns", lambda: now[0])


def medians(timings):
    return {name: timing.median_ms for name, timing in timings.items() if timing.median_ms}


def test_each_module_has_its_own_time(clock):
    timing = measure_layers(nn.Sequential(Sleep(0.001), Block()), X, setting=CPU, effort=Effort(repeats=3))
    assert medians(timing.grouped(name_by_depth(3))) == {"0": 1.0, "1": 5.0, "1.first": 4.0, "1.second": 3.0}
    assert medians(timing.grouped(name_by_depth(1))) == {"0": 1.0, "1": 12.0}
    assert timing.plain.times_ms == timing.hooked.times_ms == (13.0,) * 3
    assert timing.overhead.median == 1.0


def test_a_planted_delay_is_found_in_its_layer(clock):
    model = nn.Sequential(*(nn.Sequential(nn.Linear(3, 3), nn.ReLU()) for _ in range(5)))
    model[3][1] = nn.Sequential(Sleep(0.02), nn.ReLU())
    timing = measure_layers(model, X, setting=CPU, effort=Effort(repeats=3))
    slowest = max(timing.grouped(name_by_depth(3)).items(), key=lambda item: item[1].median_ms)
    assert (slowest[0], slowest[1].median_ms) == ("3.1.0", 20.0)


def test_a_planted_delay_is_found_with_the_real_clock():
    model = nn.Sequential(*(nn.Linear(3, 3) for _ in range(5)), Sleep(0.02))
    times = measure_layers(model, X, setting=CPU, effort=Effort(repeats=3)).grouped(name_by_depth(1))
    assert times["5"].median_ms >= 20.0
    assert max(times, key=lambda name: times[name].median_ms) == "5"


def test_the_layers_add_up_to_the_run_with_hooks():
    model = nn.Sequential(nn.Linear(3, 3), Block())
    timing = measure_layers(model, X, setting=CPU, effort=Effort(repeats=3))
    for laps, total in zip(timing.laps, timing.hooked.times_ms, strict=True):
        assert sum(laps.values()) <= total
        assert sum(laps.values()) >= 12.0


def test_time_goes_to_the_deepest_path_given(clock):
    timing = measure_layers(nn.Sequential(Sleep(0.001), Block()), X, setting=CPU, effort=Effort(repeats=1))
    assert medians(timing.grouped(name_under({"1": "block", "1.second": "inner"}))) == {
        REST: 1.0,
        "block": 9.0,
        "inner": 3.0,
    }
    assert medians(timing.grouped(name_under({"": "all", "1": "block"}))) == {"all": 1.0, "block": 12.0}


def test_a_model_keeps_no_hooks():
    model = nn.Sequential(nn.Linear(3, 3))
    measure_layers(model, X, setting=CPU, effort=Effort(repeats=1))
    assert not model[0]._forward_hooks
    assert not model[0]._forward_pre_hooks


def test_hooks_are_removed_when_the_model_raises():
    model = nn.Sequential(nn.Linear(3, 3))
    with pytest.raises(RuntimeError), layers._hooks(model, lambda path: None, lambda: None):
        model(torch.ones(2, 4))
    assert not model[0]._forward_hooks
    assert not model[0]._forward_pre_hooks


@pytest.mark.parametrize("options", [{"mode": "compile"}, {"train": True}])
@pytest.mark.parametrize("function", [measure_layers, attribute_kernels])
def test_what_has_no_hooks_is_refused(function, options):
    with pytest.raises(CostError, match="layers are timed"):
        function(nn.Linear(3, 3), X, setting=make_setting(device="cpu", **options))


def test_operators_are_found_under_their_module():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(3, 3), nn.Softmax(-1))

        def forward(self, x):
            return torch.sigmoid(self.inner(x))

    rows = attribute_kernels(Own(), X, setting=CPU, runs=2)
    found = {(row.path, row.kernel): row for row in rows}
    assert found["inner.0", "aten::addmm"].calls == 1
    assert found["inner.1", "aten::_softmax"].calls == 1
    assert found["", "aten::sigmoid"].calls == 1
    assert all(row.ms >= 0 for row in rows)
    assert [row.ms for row in rows] == sorted((row.ms for row in rows), reverse=True)
