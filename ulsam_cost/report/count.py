"""A counted model: its totals, its module tree, its kinds and operators, and what other tools say of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from textwrap import fill
from typing import Any

from ulsam_cost.conventions import CONVENTIONS
from ulsam_cost.cost import PRODUCT_KINDS, Cost
from ulsam_cost.nn.loading import LoadedModel
from ulsam_cost.peers import Reading
from ulsam_cost.profiler.modules import module_classes, split_params
from ulsam_cost.profiler.trace import Count
from ulsam_cost.report.formats import Table, number, words

TOTALS = ("params", "macs", "activations")


def count_record(loaded: LoadedModel, counted: Count, depth: int) -> dict[str, Any]:
    """What `count` prints as JSON."""
    return {
        "model": loaded.name,
        "params": counted.params,
        "params_split": split_params(loaded.model),
        "macs": counted.macs,
        "activations": counted.activations,
        "conventions": {name: convention.number(counted.cost) for name, convention in CONVENTIONS.items()},
        "by_kind": {str(kind): totals(cost) for kind, cost in counted.by_kind().items()},
        "layers": tree_records(module_classes(loaded.model), counted.cost, depth),
        "uncounted": [asdict(operation) for operation in counted.uncounted],
        "real_run": counted.real_run,
    }


def totals(cost: Cost) -> dict[str, int]:
    """Parameters, MACs, activations and elements moved."""
    return {**{key: getattr(cost, key) for key in TOTALS}, "reads": cost.reads, "writes": cost.writes}


def tree_records(classes: Mapping[str, str], cost: Cost, depth: int) -> list[dict[str, Any]]:
    """A record a module down to a depth, what stands below it included, in the model's order."""
    sums: dict[str, dict[str, int]] = {}
    for op in cost:
        names = op.path.split(".") if op.path else []
        for level in range(min(depth, len(names)) + 1):
            total = sums.setdefault(".".join(names[:level]), dict.fromkeys(TOTALS, 0))
            total["params"] += op.params
            total["macs"] += op.macs
            total["activations"] += op.writes if op.kind in PRODUCT_KINDS else 0
    order = [name for name in classes if name in sums]
    return [{"path": path, "module": classes[path], **sums[path]} for path in order]


def tree_table(records: Sequence[dict[str, Any]]) -> Table:
    """The module tree: names set in by their depth, and each module's share of the MACs."""
    whole = records[0]["macs"] if records else 0
    shown = [
        {
            **record,
            "name": _branch(record["path"]) + f" {record['module']}",
            "share": 100 * record["macs"] / whole if whole else None,
        }
        for record in records
    ]
    columns = (
        words("name", "module"),
        number("params", "params"),
        number("macs", "MACs"),
        number("share", "MACs %", lambda value: "" if value is None else f"{value:.2f}"),
        number("activations", "activations"),
    )
    return Table(columns=columns, records=shown)


def flat_table(records: Sequence[dict[str, Any]]) -> Table:
    """The modules by their paths, for programs."""
    columns = (words("path", "path"), words("module", "module"), *(number(key, key) for key in TOTALS))
    return Table(columns=columns, records=records)


def _branch(path: str) -> str:
    if not path:
        return "."
    level = path.count(".")
    return "· " * level + path.rpartition(".")[2]


def group_table(counted: Count, by: str) -> Table:
    """The cost by kind or by operator."""
    groups = counted.by_kind() if by == "kind" else counted.cost.by_operator()
    records = [{by: str(key), "calls": len(cost.ops), **totals(cost)} for key, cost in groups.items()]
    columns = (
        words(by, by),
        number("calls", "operations"),
        *(number(key, "MACs" if key == "macs" else key) for key in (*TOTALS, "reads", "writes")),
    )
    return Table(columns=columns, records=records)


def totals_table(record: dict[str, Any]) -> Table:
    """The number under each convention."""
    records = [
        {"convention": name, "number": value, "unit": CONVENTIONS[name].unit}
        for name, value in record["conventions"].items()
    ]
    columns = (words("convention", "convention"), number("number", "number"), words("unit", "unit"))
    return Table(columns=columns, records=records)


def head_lines(record: dict[str, Any]) -> str:
    """The totals in two lines."""
    split = record["params_split"]
    parts = ", ".join(f"{value:,} {name}" for name, value in split.items() if value)
    lines = [
        record["model"],
        f"{record['params']:,} parameters ({parts})" if parts else "no parameters",
        f"{record['macs']:,} MACs, {record['activations']:,} activations",
    ]
    if record["real_run"]:
        lines.append(fill(f"It ran for real, on a copy: {record['real_run']}", 98))
    return "\n".join(lines)


def uncounted_table(record: dict[str, Any]) -> Table:
    """The operations without a rule."""
    columns = (
        words("severity", "severity"),
        words("operator", "operator"),
        words("path", "module"),
        number("shapes", "shapes", lambda shapes: " ".join("x".join(map(str, shape)) for shape in shapes)),
        number("calls", "calls"),
    )
    return Table(columns=columns, records=record["uncounted"])


def peers_table(readings: Iterable[Reading]) -> Table:
    """What each tool says, and this program by its rule."""
    records = [
        {
            "tool": reading.tool,
            "version": reading.version,
            "unit": reading.unit,
            "number": reading.number,
            "ours": reading.ours,
            "difference": reading.difference,
            "plain": reading.plain,
            "by_kind": {str(kind): value for kind, value in reading.by_kind.items()},
            "error": reading.error,
        }
        for reading in readings
    ]
    columns = (
        words("tool", "tool"),
        words("unit", "unit"),
        number("number", "it says"),
        number("ours", "by its rule,\nhere"),
        number("difference", "difference"),
        number("plain", "plain MACs\nin its unit"),
    )
    return Table(columns=columns, records=records)


def peers_text(readings: Iterable[Reading]) -> str:
    """Where each tool's number comes from, kind by kind, or how it failed."""
    lines = []
    for reading in readings:
        if reading.error:
            lines.append(f"{reading.tool} {reading.version} failed: {reading.error}")
            continue
        extras = (f"{'+' if value > 0 else '-'} {abs(value):,} {kind}" for kind, value in reading.by_kind.items())
        lines.append(" ".join((f"{reading.tool} {reading.version}: {reading.plain:,} of MACs", *extras)))
    return "\n".join(fill(line, 98, subsequent_indent="  ") for line in lines)
