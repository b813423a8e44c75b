"""What is asked of CUDA, and when, without a CUDA device: a recorder stands in its place."""

from contextlib import contextmanager, nullcontext

import pytest
import torch

from ulsam_cost.errors import DeviceError
from ulsam_cost.measuring import layers, memory, roofline, rounds, runner
from ulsam_cost.measuring import timing as latency
from ulsam_cost.measuring.device import resolve_device
from ulsam_cost.measuring.rounds import Effort
from ulsam_cost.measuring.timing import take_times

CUDA = torch.device("cuda", 0)


class Cuda:
    """Notes what is called; a recorded event stands at the number of the calls before it."""

    def __init__(self, monkeypatch):
        self.calls = calls = []

        class Event:
            def __init__(self, enable_timing=False):
                assert enable_timing

            def record(self, stream=None):
                calls.append("record")
                self.at = len(calls)

            def synchronize(self):
                calls.append("wait")

            def elapsed_time(self, other):
                return float(other.at - self.at)

        monkeypatch.setattr(torch.cuda, "Event", Event)
        monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: calls.append("wait"))
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: self)
        for module in (latency, memory):
            monkeypatch.setattr(module, "on_device", lambda device: nullcontext())

    def wait_stream(self, stream):
        self.calls.append("wait stream")

    def run(self):
        self.calls.append("run")


@pytest.fixture
def cuda(monkeypatch):
    return Cuda(monkeypatch)


@pytest.mark.parametrize("convolutions", [True, False])
def test_the_throughput_is_that_of_the_fastest_format_that_is_allowed(monkeypatch, convolutions):
    products, seen = torch.backends.cuda.matmul, []
    monkeypatch.setattr(roofline, "_matrix_rate", lambda *_: seen.append(products.allow_tf32) or 1.0)
    with torch.backends.cudnn.flags(allow_tf32=convolutions):
        roofline._product_rate(CUDA, torch.float32)
    assert set(seen) == {convolutions}
    assert not products.allow_tf32  # as PyTorch has it


def test_events_stand_around_a_run_on_an_idle_stream(cuda, monkeypatch):
    monkeypatch.setattr(rounds, "_warm_up", lambda *_: None)
    times = [[]]
    take_times([cuda.run], CUDA, Effort(repeats=2), times)
    assert cuda.calls == ["wait", "record", "run", "record", "wait"] * 2
    assert times == [[2.0, 2.0]]


def test_layers_set_marks_without_waiting(cuda):
    model = torch.nn.Sequential(torch.nn.Identity(), torch.nn.Sequential(torch.nn.Identity()))
    laps = layers._Laps(layers._cuda_marks(CUDA))
    with layers._hooks(model, laps.enter, laps.leave):
        for _ in range(2):
            cuda.calls.clear()
            laps.around(lambda: model(torch.ones(1)))()
            assert cuda.calls == ["record"] * (2 + 2 * 3)
            assert laps.read() == {"": 3.0, "0": 1.0, "1": 2.0, "1.0": 1.0}


def test_peaks_are_over_what_was_there(cuda, monkeypatch):
    numbers = {"memory_allocated": 100, "max_memory_allocated": 350, "max_memory_reserved": 1000}
    for name, value in numbers.items():
        monkeypatch.setattr(torch.cuda, name, lambda device, name=name, value=value: cuda.calls.append(name) or value)
    for name in ("empty_cache", "reset_peak_memory_stats"):
        monkeypatch.setattr(torch.cuda, name, lambda *_, name=name: cuda.calls.append(name))
    monkeypatch.setattr(memory, "synchronize", lambda device: cuda.calls.append("wait"))
    assert memory._cuda_peaks(cuda.run, CUDA) == (250, 1000)
    assert cuda.calls.index("reset_peak_memory_stats") < cuda.calls.index("memory_allocated") < cuda.calls.index("run")
    assert cuda.calls[-4:] == ["run", "wait", "max_memory_allocated", "max_memory_reserved"]


def test_a_graph_is_captured_after_a_warm_up_on_a_side_stream(cuda, monkeypatch):
    class Graph:
        def replay(self):
            cuda.calls.append("replay")

    @contextmanager
    def capture(graph):
        cuda.calls.append("capture")
        yield
        cuda.calls.append("captured")

    monkeypatch.setattr(torch.cuda, "Stream", lambda device: cuda)
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", capture)
    replay = runner._capture(cuda.run, CUDA)
    replay()
    assert cuda.calls == ["wait stream", "run", "run", "run", "wait stream", "capture", "run", "captured", "replay"]


@pytest.mark.parametrize("name", ["cuda", "cuda:1", "auto"])
def test_a_cuda_device_is_found_by_its_number(monkeypatch, name):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert resolve_device(name) == torch.device("cuda", 1 if name == "cuda:1" else 0)
    with pytest.raises(DeviceError, match=r"2 CUDA devices .* accepted values are auto, cpu, cuda:0, cuda:1"):
        resolve_device("cuda:2")
