"""Where the time goes, module by module.

Hooks set a mark when a module is entered and when it is left: the wall clock on a CPU, an event on a CUDA
stream. The time between two marks belongs to the module that was running, so that the parts add up to the
whole and nothing is counted twice. What the hooks themselves cost is found by running the model without them,
in turn.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter_ns
from typing import Any

import torch
from torch import nn

from ulsam_cost.cost import is_under
from ulsam_cost.counting.preserve import preserves_state
from ulsam_cost.errors import CostError
from ulsam_cost.measuring.device import refusals_in_a_sentence
from ulsam_cost.measuring.rounds import Effort, Progress
from ulsam_cost.measuring.runner import Run, Setting, in_force, prepare
from ulsam_cost.measuring.samples import Interval, Timing, ratio_interval
from ulsam_cost.measuring.timing import take_times

REST, UNMAPPED = "rest", "unmapped"


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerTiming:
    """The times of a model's modules, run by run, and of the model without hooks and with them.

    `laps` has for each run the milliseconds of each module's own code, its children's not among them, by path. In a
    runtime other than PyTorch its profiler stands for the hooks, and a round of several runs for a run. `fused` are
    groups of modules whose nodes run as one, which counts towards the first of them; `unmapped` are the milliseconds
    that belong to no module, by the kind of node.
    """

    laps: tuple[Mapping[str, float], ...]
    plain: Timing
    hooked: Timing
    fused: tuple[tuple[str, ...], ...] = ()
    unmapped: Mapping[str, float] = field(default_factory=dict)

    @property
    def overhead(self) -> Interval:
        """Time with hooks over time without, pair by pair."""
        return ratio_interval(self.hooked.times_ms, self.plain.times_ms)

    def grouped(self, name_of: Callable[[str], str]) -> dict[str, Timing]:
        """The times by a name given to each path, names in order of first use."""
        runs = [_sums(laps, name_of) for laps in self.laps]
        names = dict.fromkeys(name for run in runs for name in run)
        return {name: Timing(times_ms=tuple(run.get(name, 0.0) for run in runs)) for name in names}


def name_by_depth(depth: int) -> Callable[[str], str]:
    """What names a path by its first `depth` names; what no module owns is `rest`."""
    return lambda path: ".".join(path.split(".")[:depth]) or REST


def name_under(paths: Mapping[str, str]) -> Callable[[str], str]:
    """What names a path as the longest of these above it; the others are `rest`, or `unmapped` as they were."""
    longest_first = sorted(paths, key=len, reverse=True)

    def name_of(path: str) -> str:
        otherwise = UNMAPPED if path == UNMAPPED else REST
        return next((paths[above] for above in longest_first if is_under(path, above)), otherwise)

    return name_of


def _sums(laps: Mapping[str, float], name_of: Callable[[str], str]) -> dict[str, float]:
    sums: dict[str, float] = {}
    for path, time in laps.items():
        name = name_of(path)
        sums[name] = sums.get(name, 0.0) + time
    return sums


@preserves_state
def measure_layers(
    model: nn.Module, inputs: Any, *, setting: Setting, effort: Effort | None = None, progress: Progress | None = None
) -> LayerTiming:
    """Time a model's modules in its forward pass, in turn with the model without hooks.

    Raises:
        CostError: for a mode without modules to hook, or a training step.
        DeviceError: as in `prepare`.
    """
    require_hooks(setting)
    plain, hooked = prepare(model, inputs, setting), prepare(model, inputs, setting)
    marks = _cuda_marks(setting.device) if setting.device.type == "cuda" else _cpu_marks()
    laps: list[dict[str, float]] = []
    times: list[list[float]] = [[], []]
    recorder = _Laps(marks)
    with (
        _hooks(hooked.model, recorder.enter, recorder.leave),
        refusals_in_a_sentence(setting.device, str(setting)),
        in_force(setting),
    ):
        take_times(
            [plain.run, recorder.around(hooked.run)],
            setting.device,
            effort or Effort(),
            times,
            progress,
            after_round=lambda: laps.append(recorder.read()),
        )
    return LayerTiming(
        laps=tuple(laps), plain=Timing(times_ms=tuple(times[0])), hooked=Timing(times_ms=tuple(times[1]))
    )


def require_hooks(setting: Setting) -> None:
    """Refuse a setting under which no module can be hooked.

    Raises:
        CostError: for another runtime than PyTorch, another mode than eager, or a training step.
    """
    if not setting.in_torch:
        raise CostError(
            f"a roofline and kernels are given with runtime torch alone: leave them out, or {setting.runtime!r}"
        )
    if setting.mode != "eager":
        raise CostError(f"layers are timed by hooks, which mode {setting.mode!r} does not run: use --mode eager")
    if setting.train:
        raise CostError("layers are timed in a forward pass only: leave out --train or the layers")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Marks:
    """How to set a mark, given its number in the run, and how to read the milliseconds from one to the next."""

    set: Callable[[int], Any]
    between: Callable[[Any, Any], float]


def _cpu_marks() -> _Marks:
    return _Marks(set=lambda number: perf_counter_ns(), between=lambda start, end: (end - start) / 1e6)


def _cuda_marks(device: torch.device) -> _Marks:
    # Events are made once and recorded again in each run: making one takes longer than recording it.
    events: list[torch.cuda.Event] = []

    def mark(number: int) -> torch.cuda.Event:
        if number == len(events):
            events.append(torch.cuda.Event(enable_timing=True))
        events[number].record(torch.cuda.current_stream(device))
        return events[number]

    return _Marks(set=mark, between=lambda start, end: float(start.elapsed_time(end)))


@contextmanager
def _hooks(model: nn.Module, enter: Callable[[str], None], leave: Callable[[], None]) -> Iterator[None]:
    """Call `enter` with its path before each submodule runs, and `leave` after it."""

    def entering(path: str) -> Callable[..., None]:
        return lambda *_: enter(path)

    handles = []
    for path, module in model.named_modules():
        if path:
            handles.append(module.register_forward_pre_hook(entering(path)))
            handles.append(module.register_forward_hook(lambda *_: leave(), always_call=True))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


class _Laps:
    """The marks of a run: who ran until each."""

    def __init__(self, marks: _Marks) -> None:
        self._how = marks
        self._marks: list[tuple[str, Any]] = []
        self._stack: list[str] = [""]

    def around(self, run: Run) -> Run:
        """A run that begins and ends with a mark."""

        def marked() -> None:
            self._marks, self._stack = [], [""]
            self._mark()
            run()
            self._mark()

        return marked

    def read(self) -> dict[str, float]:
        """The laps of the last run, after the device has ended it."""
        laps: dict[str, float] = {}
        for (_, start), (path, end) in zip(self._marks, self._marks[1:], strict=False):
            laps[path] = laps.get(path, 0.0) + self._how.between(start, end)
        return laps

    def _mark(self) -> None:
        self._marks.append((self._stack[-1], self._how.set(len(self._marks))))

    def enter(self, path: str) -> None:
        """A module begins."""
        self._mark()
        self._stack.append(path)

    def leave(self) -> None:
        """It ends."""
        self._mark()
        self._stack.pop()


@dataclass(frozen=True, slots=True, kw_only=True)
class KernelTime:
    """The time that PyTorch's profiler gives to one operator, or kernel, under one module."""

    path: str
    kernel: str
    calls: float
    ms: float


_SCOPE = "ulsam_cost:"


@preserves_state
def attribute_kernels(model: nn.Module, inputs: Any, *, setting: Setting, runs: int = 5) -> list[KernelTime]:
    """Kernels on a CUDA device, operators on a CPU, under the module that ran them, as torch.profiler sees them.

    Returns:
        A row for each module and kernel, means over `runs`, the longest first.

    Raises:
        CostError: as in `measure_layers`.
    """
    require_hooks(setting)
    ready = prepare(model, inputs, setting)
    activities = [torch.profiler.ProfilerActivity.CPU]
    if setting.device.type == "cuda":
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile, _scopes(ready.model):
        for _ in range(runs):
            ready.run()
    return _kernel_rows(profile.events(), runs, setting.device.type == "cuda")


@contextmanager
def _scopes(model: nn.Module) -> Iterator[None]:
    """Let every submodule run under a profiler's record of its path."""
    running: list[Any] = []

    def enter(path: str) -> None:
        running.append(torch.profiler.record_function(_SCOPE + path))
        running[-1].__enter__()

    with _hooks(model, enter, lambda: running.pop().__exit__(None, None, None)), torch.profiler.record_function(_SCOPE):
        yield


def _kernel_rows(events: Iterable[Any], runs: int, on_cuda: bool) -> list[KernelTime]:
    sums: dict[tuple[str, str], tuple[int, float]] = {}
    for event in events:
        path = _path_of(event)
        if path is None or event.name.startswith(_SCOPE):
            continue
        kernels = (
            [(k.name, k.duration) for k in event.kernels] if on_cuda else [(event.name, event.self_cpu_time_total)]
        )
        for name, microseconds in kernels:
            calls, total = sums.get((path, name), (0, 0.0))
            sums[path, name] = calls + 1, total + microseconds
    rows = [
        KernelTime(path=path, kernel=name, calls=calls / runs, ms=total / runs / 1e3)
        for (path, name), (calls, total) in sums.items()
    ]
    return sorted(rows, key=lambda row: -row.ms)


def _path_of(event: Any) -> str | None:
    above = event
    while above is not None:
        if above.name.startswith(_SCOPE):
            return str(above.name.removeprefix(_SCOPE))
        above = above.cpu_parent
    return None
