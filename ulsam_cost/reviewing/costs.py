"""What one model costs, as a review keeps it: totals, layer by layer, what was not counted, and its times.

A `Costs` is made of a count, or read back from `costs.json`, where `check` finds what was accepted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from ulsam_cost.conventions import get_convention
from ulsam_cost.cost import Cost
from ulsam_cost.counting.count import Count
from ulsam_cost.counting.modules import ModuleLabel
from ulsam_cost.counting.severity import Severity
from ulsam_cost.measuring.runtimes.registry import TORCH
from ulsam_cost.searching.budget import metrics_of

STRICT = "strict"  # the convention under which every arithmetic operation is one


class Numbers(NamedTuple):
    """The counts of a model or a layer, in the metrics of a budget and as arithmetic operations; they add."""

    macs: int = 0
    params: int = 0
    activations: int = 0
    traffic: int = 0
    operations: int = 0

    @classmethod
    def of(cls, cost: Cost) -> "Numbers":
        """Those of a cost."""
        counts = (*metrics_of(cost), get_convention(STRICT).number(cost))
        return cls(*counts)

    def __add__(self, other: "Numbers") -> "Numbers":  # type: ignore[override]
        return Numbers(*(mine + its for mine, its in zip(self, other, strict=True)))

    def __sub__(self, other: "Numbers") -> "Numbers":
        return Numbers(*(mine - its for mine, its in zip(self, other, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCosts:
    """A module's own operations, in the order in which they run, and what they cost."""

    path: str
    module_class: str
    operators: tuple[str, ...]
    numbers: Numbers

    def to_dict(self) -> dict[str, Any]:
        """The JSON."""
        return {
            "path": self.path,
            "class": self.module_class,
            "operators": " ".join(self.operators),
            **self.numbers._asdict(),
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "LayerCosts":
        """Read back from JSON."""
        return cls(
            path=record["path"],
            module_class=record["class"],
            operators=tuple(record["operators"].split()),
            numbers=Numbers(**{key: int(record[key]) for key in Numbers._fields}),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """An operation without a rule, or whose rule failed: where it runs and how often."""

    operator: str
    path: str
    calls: int
    severity: Severity

    def to_dict(self) -> dict[str, Any]:
        """The JSON."""
        return asdict(self) | {"severity": str(self.severity)}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "LeftOut":
        """Read back from JSON."""
        return cls(
            operator=record["operator"],
            path=record["path"],
            calls=int(record["calls"]),
            severity=Severity(record["severity"]),
        )


class Times(NamedTuple):
    """The times of one model in milliseconds; the interval is that of the median."""

    median_ms: float
    p10_ms: float
    p90_ms: float
    low_ms: float
    high_ms: float
    runs: int
    supported: bool


class Ratio(NamedTuple):
    """A candidate's time over the baseline's, pair by pair."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """A candidate timed in turn with the baseline at one batch size in one runtime.

    `verdict`, `busy` and `exported` are those of `measure`.
    """

    device: str
    batch: int
    dtype: str
    network: Times
    baseline: Times
    ratio: Ratio
    verdict: str
    busy: str | None
    runtime: str = TORCH
    threads: int | None = None
    exported: Mapping[str, Any] | None = None

    @property
    def where(self) -> str:
        """At which batch size it was timed, and in which data type and runtime if not in float32 and PyTorch."""
        return where_words(self.batch, self.dtype, self.runtime)

    def to_dict(self) -> dict[str, Any]:
        """The JSON."""
        record: dict[str, Any] = {field: getattr(self, field) for field in self.__slots__}
        return record | {key: record[key]._asdict() for key in ("network", "baseline", "ratio")}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Latency":
        """Read back from JSON."""
        return cls(
            **{key: record[key] for key in ("device", "batch", "dtype", "verdict", "busy")},
            network=Times(**record["network"]),
            baseline=Times(**record["baseline"]),
            ratio=Ratio(**record["ratio"]),
            **{key: record[key] for key in ("runtime", "threads", "exported") if key in record},
        )


class Untimed(NamedTuple):
    """A runtime in which a candidate has no time, and why; `is_first` says whether the budget's time would be this.

    `dtype` is the data type that was asked for; None for the model's own.
    """

    runtime: str
    batch: int
    error: str
    is_first: bool
    dtype: str | None = None

    @property
    def where(self) -> str:
        """At which batch size, in which data type and in which runtime it has no time."""
        return where_words(self.batch, self.dtype, self.runtime)


def where_words(batch: int, dtype: str | None, runtime: str) -> str:
    """A batch size, with the data type if it is not float32, and with the runtime if it is not PyTorch."""
    said = f"batch {batch}" if dtype in (None, "float32") else f"batch {batch}, {dtype}"
    return said if runtime == TORCH else f"{said} in {runtime}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Costs:
    """What a model costs, and how it was given.

    `kinds` says under each convention which kinds of operation it counts beyond products, and how much of each.
    """

    name: str
    model: str
    totals: Numbers
    conventions: Mapping[str, int]
    kinds: Mapping[str, Mapping[str, int]]
    layers: tuple[LayerCosts, ...]
    uncounted: tuple[LeftOut, ...] = ()
    latency: tuple[Latency, ...] = ()
    untimed: tuple[Untimed, ...] = ()
    accuracy: float | None = None

    @property
    def first_latency(self) -> Latency | None:
        """The times of which a budget speaks: at the first batch size, in the first data type of the first runtime."""
        return None if any(each.is_first for each in self.untimed) else next(iter(self.latency), None)

    @property
    def complete(self) -> bool:
        """Whether MACs and activations are whole."""
        return not self.left_out("macs")

    @property
    def uncounted_calls(self) -> int:
        """How many operations have no rule."""
        return sum(operation.calls for operation in self.uncounted)

    def number(self, metric: str) -> int:
        """One of the totals."""
        return int(getattr(self.totals, metric))

    def left_out(self, metric: str) -> str:
        """What a metric leaves out, in words; empty where it is whole."""
        if metric in ("params", "uncounted"):
            return ""
        products_only = metric in ("macs", "activations")
        left = [op for op in self.uncounted if not products_only or op.severity is Severity.PRODUCT]
        calls = sum(operation.calls for operation in left)
        return f"{calls:,} operation{'s'[: calls != 1]} without a rule" if calls else ""

    def to_dict(self) -> dict[str, Any]:
        """The JSON."""
        return {
            "name": self.name,
            "model": self.model,
            **self.totals._asdict(),
            "complete": self.complete,
            "conventions": dict(self.conventions),
            "kinds": {name: dict(kinds) for name, kinds in self.kinds.items()},
            "uncounted": [operation.to_dict() for operation in self.uncounted],
            "accuracy": self.accuracy,
            "latency": [timed.to_dict() for timed in self.latency] or None,
            "untimed": [each._asdict() for each in self.untimed],
            "layers": [layer.to_dict() for layer in self.layers],
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> "Costs":
        """Read back from JSON."""
        return cls(
            name=record["name"],
            model=record["model"],
            totals=Numbers(**{key: int(record[key]) for key in Numbers._fields}),
            conventions=record["conventions"],
            kinds=record["kinds"],
            layers=tuple(map(LayerCosts.from_dict, record["layers"])),
            uncounted=tuple(map(LeftOut.from_dict, record["uncounted"])),
            latency=tuple(map(Latency.from_dict, record["latency"] or ())),
            untimed=tuple(Untimed(**each) for each in record.get("untimed", ())),
            accuracy=record["accuracy"],
        )


def costs_of(
    modules: Mapping[str, ModuleLabel],
    count: Count,
    *,
    name: str,
    model: str,
    conventions: Sequence[str] = (),
    accuracy: float | None = None,
) -> Costs:
    """What a counted model costs, whose modules are these by their paths."""
    return Costs(
        name=name,
        model=model,
        totals=Numbers.of(count.cost),
        conventions={convention: count.number(convention) for convention in conventions},
        kinds={convention: _beyond_macs(count.cost, convention) for convention in conventions},
        layers=tuple(_layers(modules, count.cost)),
        uncounted=tuple(
            LeftOut(operator=each.operator, path=each.path, calls=each.calls, severity=each.severity)
            for each in count.uncounted
        ),
        accuracy=accuracy,
    )


def _layers(modules: Mapping[str, ModuleLabel], cost: Cost) -> Iterable[LayerCosts]:
    deepest = max((op.path.count(".") for op in cost), default=0) + 1
    for path, part in cost.by_path(deepest).items():
        yield LayerCosts(
            path=path,
            module_class=modules.get(path, ModuleLabel()).kind,
            operators=tuple(_operator(op) for op in part),
            numbers=Numbers.of(part),
        )


def _operator(op: Any) -> str:
    return op.operator.removeprefix("torch.") or str(op.kind)


def _beyond_macs(cost: Cost, name: str) -> dict[str, int]:
    """By kind, what a convention counts more or less than `per_mac` a MAC."""
    return {str(kind): number for kind, number in get_convention(name).beyond_macs(cost).items()}
