"""Timing: the order in which models run, when the runs end, and what is said of bad input."""

import time
from math import comb

import pytest
import torch
from torch import nn

from ulsam_cost.errors import CostError, DeviceError
from ulsam_cost.measuring import rounds
from ulsam_cost.measuring import timing as latency
from ulsam_cost.measuring.device import resolve_device
from ulsam_cost.measuring.measure import measure
from ulsam_cost.measuring.rounds import Effort, make_effort
from ulsam_cost.measuring.runner import make_setting, prepare
from ulsam_cost.measuring.samples import Timing, median_interval, quantile, ratio_interval
from ulsam_cost.measuring.timing import InterruptedMeasurement, take_times

CPU = torch.device("cpu")
X = torch.ones(2, 3)


class Sleep(nn.Module):
    """Takes a known time."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds = seconds

    def forward(self, x):
        time.sleep(self.seconds)
        return x


class Clock:
    """Hands out a list of times, one a run, and notes who ran."""

    def __init__(self, monkeypatch, times):
        self.times, self.order = iter(times), []
        monkeypatch.setattr(latency, "_stopwatch", lambda device: self.read)
        monkeypatch.setattr(rounds, "_warm_up", lambda *_: None)

    def run(self, name):
        return lambda: self.order.append(name)

    def read(self, run):
        run()
        return next(self.times)


@pytest.mark.parametrize(
    ("runs", "ranks"),  # 1-based ranks of the ends, from printed tables of the sign test's 95 % interval
    [(6, (1, 6)), (8, (1, 8)), (9, (2, 8)), (12, (3, 10)), (20, (6, 15)), (30, (10, 21)), (50, (18, 33))],
)
def test_the_interval_ends_at_the_order_statistics_of_the_tables(runs, ranks):
    interval = median_interval([float(value) for value in reversed(range(1, runs + 1))])
    assert (interval.low, interval.high) == ranks
    outside = 2 * sum(comb(runs, i) for i in range(ranks[0])) / 2**runs
    assert interval.confidence == pytest.approx(1 - outside)
    assert interval.is_supported


def test_many_runs_take_the_normal_limit():
    interval = median_interval([float(value) for value in range(10_001)])
    assert (interval.low, interval.high) == pytest.approx((5000 - 98, 5000 + 98), abs=2)


@pytest.mark.parametrize("runs", [1, 2, 5])
def test_few_runs_give_their_range_and_support_nothing(runs):
    interval = median_interval([2.0 + value for value in range(runs)])
    assert (interval.low, interval.high) == (2.0, 1.0 + runs)
    assert not interval.is_supported
    assert not interval.shows_difference_from(1.0)
    assert interval.relative_width == float("inf")


def test_the_width_of_an_interval_is_a_share_of_its_median():
    interval = median_interval([4.0, 4.0, 5.0, 5.0, 5.0, 6.0, 6.0])
    assert (interval.low, interval.median, interval.high) == (4.0, 5.0, 6.0)
    assert interval.relative_width == pytest.approx((6 - 4) / 5)
    assert median_interval([0.0] * 8).relative_width == float("inf")


def test_a_difference_is_shown_when_the_interval_leaves_one_out():
    assert ratio_interval([2.0] * 8, [1.0] * 8).shows_difference_from(1.0)
    assert not ratio_interval([0.9, 1.1] * 8, [1.0] * 16).shows_difference_from(1.0)


def test_ratios_are_taken_pair_by_pair():
    # the machine slows down fourfold: the medians' ratio is 4 / 2, each pair says 2
    assert ratio_interval([2.0, 4.0, 8.0], [1.0, 2.0, 4.0]).median == 2.0


def test_quantiles_interpolate():
    assert quantile([4.0, 1.0, 2.0, 3.0, 5.0], 0.1) == pytest.approx(1.4)
    assert quantile([7.0], 0.9) == 7.0


def test_models_run_in_turn(monkeypatch):
    clock = Clock(monkeypatch, [1.0, 2.0] * 3)
    times = [[], []]
    take_times([clock.run("A"), clock.run("B")], CPU, Effort(repeats=3), times)
    assert "".join(clock.order) == "ABABAB"
    assert times == [[1.0] * 3, [2.0] * 3]


def test_runs_end_when_the_intervals_are_narrow(monkeypatch):
    clock = Clock(monkeypatch, [1.0] * 1000)
    times = [[]]
    take_times([clock.run("A")], CPU, Effort(precision=0.01, max_seconds=60), times)
    assert len(times[0]) == rounds.FEWEST_RUNS


def test_precision_is_that_of_the_ratio_too():
    # the middle ten of twenty are 1 in each column, but the pairs' ratios go from 0.8 to 1.25
    one = [0.8] * 4 + [1.2] * 4 + [1.0] * 12
    other = [1.0] * 8 + [0.8] * 4 + [1.2] * 4 + [1.0] * 4
    assert rounds._is_precise([one], 0.01)
    assert rounds._is_precise([other], 0.01)
    assert not rounds._is_precise([one, other], 0.01)


def test_runs_end_with_the_time(monkeypatch):
    clock = Clock(monkeypatch, (float(1 + index % 7) for index in range(10**9)))
    times = [[]]
    take_times([clock.run("A")], CPU, Effort(precision=1e-9, max_seconds=0.05), times)
    assert len(times[0]) >= 1


def test_progress_rises_to_one(monkeypatch):
    clock, told = Clock(monkeypatch, [1.0] * 4), []
    take_times([clock.run("A")], CPU, Effort(repeats=4), [[]], told.append)
    assert told == [0.25, 0.5, 0.75, 1.0]


def test_a_known_sleep_is_timed_right(monkeypatch):
    now = [0]
    monkeypatch.setattr(time, "sleep", lambda seconds: now.append(now.pop() + round(seconds * 1e9)))
    monkeypatch.setattr(rounds, "perf_counter_ns", lambda: now[0])
    monkeypatch.setattr(latency, "load_between", lambda *_, **__: None)  # what else runs here is not what is tested
    pair = measure(Sleep(0.005), X, baseline=Sleep(0.002), device="cpu", repeats=7)
    assert pair.baseline.times_ms == (2.0,) * 7
    assert pair.network.times_ms == (5.0,) * 7
    assert (pair.ratio.low, pair.ratio.high) == (2.5, 2.5)
    assert pair.verdict == "slower"


def test_a_real_sleep_is_never_timed_short():
    pair = measure(Sleep(0.004), X, baseline=Sleep(0.002), device="cpu", repeats=7)
    assert min(pair.baseline.times_ms) >= 2.0
    assert min(pair.network.times_ms) >= 4.0


def test_json_has_the_keys_of_the_contract():
    pair = measure(nn.Linear(3, 4), X, baseline=nn.Linear(3, 4), device="cpu", repeats=3, dtype="float32").to_dict()
    assert {"device": "cpu", "batch": 2, "dtype": "float32"}.items() <= pair.items()
    for side in ("network", "baseline"):
        assert {"median_ms", "p10_ms", "p90_ms", "runs"} <= pair[side].keys()
        assert pair[side]["runs"] == 3
    assert pair["ratio"].keys() == {"median", "low", "high"}


def test_a_model_is_left_as_found():
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).train()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    measure(model, X, baseline=model, device="cpu", repeats=2, dtype="float64", train=True)
    assert model.training
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_step_trains_a_copy():
    ready = prepare(nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)), X, make_setting(device="cpu", train=True))
    assert ready.model.training
    assert all(parameter.grad is not None for parameter in ready.model.parameters())
    assert ready.model[1].num_batches_tracked == 1


def test_settings_reach_the_copy():
    setting = make_setting(device="cpu", dtype="bfloat16", memory_format="channels_last")
    ready = prepare(nn.Conv2d(3, 4, 3), torch.ones(1, 3, 8, 8), setting)
    assert ready.dtype == ready.args[0].dtype == torch.bfloat16
    assert ready.args[0].is_contiguous(memory_format=torch.channels_last)
    assert ready.model.weight.is_contiguous(memory_format=torch.channels_last)


def test_inputs_may_be_named():
    class Named(nn.Module):
        def forward(self, *, x, scale):
            return x * scale

    ready = prepare(Named(), {"x": X, "scale": 2}, make_setting(device="cpu"))
    assert torch.equal(ready.run(), 2 * X)


def test_an_interrupt_keeps_what_was_measured(monkeypatch):
    calls = []

    class Stops(nn.Module):
        def forward(self, x):
            calls.append(1)
            if len(calls) == 10:
                raise KeyboardInterrupt
            return x

    monkeypatch.setattr(rounds, "_warm_up", lambda *_: None)
    with pytest.raises(InterruptedMeasurement) as caught:
        measure(Stops(), X, baseline=Sleep(0), device="cpu", repeats=100)
    assert caught.value.partial.baseline.runs == caught.value.partial.network.runs == 8  # one run prepares


def test_an_interrupt_before_the_first_pair_has_nothing_to_keep(monkeypatch):
    class Stops(nn.Module):
        def forward(self, x):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt) as caught:
        measure(Stops(), X, baseline=Sleep(0), device="cpu", repeats=100)
    assert not isinstance(caught.value, InterruptedMeasurement)


@pytest.mark.parametrize("name", ["cuda:99", "tpu", "cuda:", "cuda:-1", "cuda:x", "", "cpu:1"])
def test_a_device_that_is_not_there_is_refused(name):
    with pytest.raises(DeviceError, match="accepted"):
        resolve_device(name)


def test_auto_is_a_device():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu") == CPU


@pytest.mark.parametrize(
    "options",
    [{"mode": "fast"}, {"dtype": "int4"}, {"memory_format": "nchw"}, {"mode": "graph"}, {"mode": "compile-graph"}],
)
def test_bad_settings_are_refused(options):
    with pytest.raises(CostError, match="accepted"):
        make_setting(**{"device": "cpu", **options})


@pytest.mark.parametrize("options", [{"repeats": 0}, {"precision": 0.0}, {"max_seconds": -1.0}, {"precision": 1.0}])
def test_bad_efforts_are_refused(options):
    with pytest.raises(CostError, match="accepted"):
        make_effort(**options)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (torch.cuda.OutOfMemoryError("CUDA out of memory. Tried ..."), "does not fit"),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: not enough memory"), "smaller batch"),
        (RuntimeError("\"slow_conv2d_cpu\" not implemented for 'Half'"), "--dtype"),
    ],
)
def test_what_the_device_refuses_is_one_sentence(error, sentence):
    class Refuses(nn.Module):
        def forward(self, x):
            raise error

    with pytest.raises(DeviceError, match=sentence) as caught:
        prepare(Refuses(), X, make_setting(device="cpu"))
    assert "\n" not in str(caught.value)


def test_an_error_of_the_model_is_chained_to_a_sentence():
    with pytest.raises(CostError, match=r"inputs: RuntimeError: (addmm: )?mat1 and mat2") as caught:
        prepare(nn.Linear(4, 4), X, make_setting(device="cpu"))
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_a_compiler_that_is_not_there_is_one_sentence(monkeypatch):
    def no_compiler(*_, **__):
        raise torch._dynamo.exc.TorchDynamoException("Failed to find C++ compiler")

    monkeypatch.setattr(torch, "compile", lambda model, **_: no_compiler)
    with pytest.raises(DeviceError, match=r"torch\.compile failed"):
        prepare(nn.Linear(3, 3), X, make_setting(device="cpu", mode="compile"))


def test_a_timing_says_its_numbers():
    timing = Timing(times_ms=(3.0, 1.0, 2.0)).to_dict()
    assert timing == {
        "median_ms": 2.0,
        "p10_ms": pytest.approx(1.2),
        "p90_ms": pytest.approx(2.8),
        "low_ms": 1.0,
        "high_ms": 3.0,
        "runs": 3,
    }
