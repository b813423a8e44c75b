"""A row of a sweep: what is asked about each model, and what came out."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from ulsam_cost.conventions import get_convention
from ulsam_cost.cost import PRODUCT_KINDS, OpKind
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks.text import imports_code, names_spec
from ulsam_cost.sweeping.models import ModelLine

TOTALS = ("macs", "params", "activations")
WRITING_KINDS = tuple(kind for kind in OpKind if kind not in (OpKind.BIAS, OpKind.UNUSED))  # these write nothing
TIMES = ("median_ms", "low_ms", "high_ms")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a sweep asks about each of its models.

    Attributes:
        conventions: counting rules beside MACs, parameters and activations.
        derive: whether networks of this project are derived from closed forms instead of built and counted.
        timeout: seconds after which a model is given up.
        device: where each model is timed; None does not time it.
        repeats: runs that are timed; None runs until the median is precise.
    """

    conventions: tuple[str, ...] = ()
    derive: bool = False
    timeout: float = 300.0
    device: str | None = None
    repeats: int | None = None

    def __post_init__(self) -> None:
        for name in self.conventions:
            get_convention(name)
            if name in TOTALS:
                raise CostError(f"convention {name!r} is a column of every sweep: others are accepted")
        if self.timeout <= 0:
            raise CostError(f"timeout = {self.timeout:g}: a positive number of seconds is accepted")
        if self.derive and self.device is not None:
            raise CostError("derive or device is accepted, not both: a derived network is not run")

    @property
    def columns(self) -> dict[str, str]:
        """The columns of the result with their dtypes."""
        counts = [*TOTALS, *self.conventions]
        counts += [f"{kind}_macs" for kind in OpKind if kind in PRODUCT_KINDS]
        counts += [f"{kind}_writes" for kind in WRITING_KINDS]
        columns = dict.fromkeys(("row",), "Int64") | dict.fromkeys(("model", "input", "way"), "string")
        columns |= dict.fromkeys((*counts, "uncounted"), "Int64") | {"complete": "boolean", "seconds": "float64"}
        if self.device is not None:
            columns |= dict.fromkeys(TIMES, "float64") | dict.fromkeys(("device", "busy"), "string")
        return columns | dict.fromkeys(("ulsam_cost", "torch", "error"), "string")


class Task(NamedTuple):
    """A model that one worker works on, and the process that waits for it."""

    row: int
    line: ModelLine
    settings: Settings
    caller: str

    @property
    def way(self) -> str:
        """Where its costs come from: `derived` or `counted`."""
        text = self.line.model
        is_derived = self.settings.derive and names_spec(text) and not imports_code(text) and not self.line.inputs
        return "derived" if is_derived else "counted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What came out for a model: its costs, or in `error` why there are none.

    Attributes:
        row: its place in the sweep, from 0.
        line: the model and the shapes of its inputs.
        way: `derived` or `counted`.
        values: the columns that are known.
        error: why there are no costs, or no times, in one sentence.
    """

    row: int
    line: ModelLine
    way: str
    values: Mapping[str, Any] = field(default_factory=dict)
    error: str | None = None

    def record(self) -> dict[str, Any]:
        """The row by column; a column that is not there is a value that is not known."""
        named = {
            "row": self.row,
            "model": self.line.model,
            "input": " ".join(self.line.inputs) or None,
            "way": self.way,
        }
        return named | dict(self.values) | {"error": self.error}
