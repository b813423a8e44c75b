"""A design file: candidates beside a baseline, and the budget that they have to keep; every error names its line."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from pathlib import Path
from typing import Any

from ulsam_cost.conventions import get_convention
from ulsam_cost.errors import CostError, UnknownNameError
from ulsam_cost.measuring.device import resolve_dtype
from ulsam_cost.measuring.runtimes.calibration import Calibration, require_int8
from ulsam_cost.measuring.runtimes.registry import TORCH, require_runtime
from ulsam_cost.plain_text import visible_line
from ulsam_cost.reviewing.budget import LATENCY, UNITS, Budget, parse_limit
from ulsam_cost.reviewing.toml_file import Keys, TomlFile, read_toml

KEYS = ("title", "baseline", "input", "conventions", "budget", "measure", "candidate")
CANDIDATE_KEYS = ("name", "model", "input", "budget", "accuracy")
MEASURE_KEYS = ("device", "batch", "repeats", "runtime", "dtype", "calibration", "threads")
DEFAULT_CONVENTIONS = ("macs",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A model that is reviewed; the baseline is one without a budget. `keys` is where it stands in its file."""

    name: str
    model: str
    inputs: tuple[str, ...]
    budget: Budget
    accuracy: float | None
    keys: Keys


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What is measured: on which device, at which batch sizes, how often, in which runtimes and data types, and how.

    `repeats` None is as often as precision needs, a data type None the model's own, `threads` None as many as PyTorch
    takes. `calibration` is what int8 is calibrated with, as text that starts in the design's folder, or loaded; None
    draws random data.
    """

    device: str
    batches: tuple[int, ...]
    repeats: int | None
    runtimes: tuple[str, ...] = (TORCH,)
    dtypes: tuple[str | None, ...] = (None,)
    calibration: str | Calibration | None = None
    threads: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """A candidate that could not be reviewed, and why."""

    name: str
    error: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What a design file asks for; `failures` are the candidates in which it is wrong."""

    file: TomlFile
    title: str
    baseline: Candidate
    candidates: tuple[Candidate, ...]
    conventions: tuple[str, ...]
    wish: Wish | None
    failures: tuple[Failure, ...] = ()

    @property
    def folder(self) -> Path:
        """Where its paths begin."""
        return self.file.path.absolute().parent


def read_design(path: Path, *, keep_going: bool = False) -> Design:
    """Read a design file.

    Args:
        path: of the file.
        keep_going: whether a candidate that cannot be read is a failure among the others, and no error.

    Raises:
        CostError: for a file that is not such a design: the line, what stands there and what is accepted.
    """
    file = read_toml(path)
    root = _Table(file, ())
    root.require_known(KEYS)
    budget, wish = _budget(root), _wish(root)
    if LATENCY in budget and wish is None:
        raise file.error(("budget", LATENCY), "latency has a budget, and nothing is measured: add a table [measure]")
    inputs = root.words("input")
    baseline = Candidate(
        name="baseline",
        model=root.text("baseline"),
        inputs=inputs,
        budget={},
        accuracy=None,
        keys=("baseline",),
    )
    tables = root.tables("candidate")
    if not tables:
        raise file.error((), "no candidate: one table [[candidate]] or more is accepted")
    candidates: list[Candidate] = []
    failures: list[Failure] = []
    for number, table in enumerate(tables, 1):
        try:
            candidates.append(_candidate(table, inputs, budget, wish, [baseline, *candidates]))
        except CostError as error:
            if not keep_going:
                raise
            failures.append(Failure(name=str(table.data.get("name", f"candidate {number}")), error=str(error)))
    return Design(
        file=file,
        title=root.text("title"),
        baseline=baseline,
        candidates=tuple(candidates),
        conventions=_conventions(root),
        wish=wish,
        failures=tuple(failures),
    )


def measured_as(
    design: Design,
    *,
    runtimes: tuple[str, ...] | None,
    dtypes: tuple[str, ...] | None,
    calibration: Calibration | None,
    threads: int | None,
) -> Design:
    """The design, measured in these runtimes and data types, with so many threads; None leaves what it says.

    Raises:
        CostError: for a design that has no table [measure], for a runtime or data type that does not exist, and for
            calibration where no data type is int8.
    """
    for runtime in runtimes or ():
        require_runtime(runtime)
    for dtype in dtypes or ():
        resolve_dtype(dtype)
    wishes = {"runtimes": runtimes, "dtypes": dtypes, "calibration": calibration, "threads": threads}
    given: dict[str, Any] = {key: value for key, value in wishes.items() if value is not None}
    if not given:
        return design
    if design.wish is None:
        raise design.file.error((), "nothing is measured: add a table [measure]")
    wish = replace(design.wish, **given)
    if calibration is not None:
        require_int8(wish.dtypes)
    return replace(design, wish=wish)


class _Table:
    """A table of the file, whose values are taken by key and checked."""

    def __init__(self, file: TomlFile, keys: Keys) -> None:
        self.file, self.keys = file, keys
        self.data: dict[str, Any] = file.data
        for key in keys:
            self.data = self.data[key]  # type: ignore[index]

    def error(self, key: str, message: str) -> CostError:
        return self.file.error((*self.keys, key), message)

    def require_known(self, accepted: Iterable[str]) -> None:
        for key in self.data:
            if key not in accepted:
                raise self.error(key, str(UnknownNameError.among("key", key, accepted)))

    def text(self, key: str) -> str:
        if key not in self.data:
            raise self.file.error(self.keys, f"{key} is missing: a text of one line is accepted")
        value = self.data[key]
        if not isinstance(value, str) or not value.strip() or visible_line(value) != value:
            raise self.error(key, f"{key} = {value!r}: a text of one line is accepted")
        return value

    def words(self, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
        """One text or several."""
        value = self.data.get(key, list(default))
        several = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str) for each in several):
            raise self.error(key, f"{key} = {value!r}: a text or a list of texts is accepted")
        return tuple(several)

    def sizes(self, key: str, default: int) -> tuple[int, ...]:
        """One positive whole number or several."""
        value = self.data.get(key, default)
        several = value if isinstance(value, list) else [value]
        if not several or not all(type(each) is int and each > 0 for each in several):
            raise self.error(key, f"{key} = {value!r}: a positive whole number or a list of them is accepted")
        return tuple(dict.fromkeys(several))

    def table(self, key: str) -> "_Table | None":
        if key not in self.data:
            return None
        if not isinstance(self.data[key], dict):
            raise self.error(key, f"{key} = {self.data[key]!r}: a table is accepted")
        return _Table(self.file, (*self.keys, key))

    def tables(self, key: str) -> list["_Table"]:
        value = self.data.get(key, [])
        if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
            raise self.error(key, f"{key} is not a list of tables: [[{key}]] is accepted")
        return [_Table(self.file, (*self.keys, key, number)) for number in range(len(value))]


def _budget(table: _Table) -> dict[str, int | float]:
    limits = table.table("budget")
    found: dict[str, int | float] = {}
    for metric, value in limits.data.items() if limits else ():
        try:
            found[metric] = parse_limit(metric, value)
        except CostError as error:
            raise limits.error(metric, str(error)) from error  # type: ignore[union-attr]
    return found


def _wish(root: _Table) -> Wish | None:
    table = root.table("measure")
    if table is None:
        return None
    table.require_known(MEASURE_KEYS)
    device = table.text("device") if "device" in table.data else "auto"
    return Wish(
        device=device,
        batches=table.sizes("batch", 1),
        repeats=_one_size(table, "repeats"),
        runtimes=_names(table, "runtime", require_runtime) or (TORCH,),
        dtypes=_names(table, "dtype", resolve_dtype) or (None,),
        calibration=table.text("calibration") if "calibration" in table.data else None,
        threads=_one_size(table, "threads"),
    )


def _names(table: _Table, key: str, require: Callable[[str], object]) -> tuple[str, ...]:
    """The names under a key, each once; none where there is no such key."""
    names = tuple(dict.fromkeys(table.words(key)))
    if key in table.data and not names:
        raise table.error(key, f"{key} = []: a name or a list of names is accepted")
    try:
        for name in names:
            require(name)
    except CostError as error:
        raise table.error(key, str(error)) from error
    return names


def _one_size(table: _Table, key: str) -> int | None:
    if key not in table.data:
        return None
    found = table.sizes(key, 1)
    if len(found) > 1:
        raise table.error(key, f"{key} = {list(found)}: one number is accepted")
    return found[0]


def _conventions(root: _Table) -> tuple[str, ...]:
    names = dict.fromkeys(root.words("conventions", DEFAULT_CONVENTIONS))
    try:
        for name in names:
            get_convention(name)
    except CostError as error:
        raise root.error("conventions", str(error)) from error
    return tuple(names)


def _candidate(
    table: _Table, inputs: tuple[str, ...], budget: Budget, wish: Wish | None, before: Iterable[Candidate]
) -> Candidate:
    table.require_known(CANDIDATE_KEYS)
    own = _budget(table)
    if LATENCY in own and wish is None:
        raise table.error("budget", "latency has a budget, and nothing is measured: add a table [measure]")
    name = table.text("name")
    if any(name == other.name for other in before):
        raise table.error("name", f"two candidates are called {name!r}: a name of its own is accepted")
    return Candidate(
        name=name,
        model=table.text("model"),
        inputs=table.words("input") or inputs,
        budget=_in_order({**budget, **own}),
        accuracy=_accuracy(table),
        keys=table.keys,
    )


def _in_order(budget: Budget) -> Mapping[str, int | float]:
    return {metric: budget[metric] for metric in UNITS if metric in budget}


def _accuracy(table: _Table) -> float | None:
    value = table.data.get("accuracy")
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value):
        raise table.error("accuracy", f"accuracy = {value!r}: a number is accepted")
    return float(value)
