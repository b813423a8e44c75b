"""A counted model: its totals, its module tree, its kinds and operators, and what other tools say of it."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from textwrap import fill
from typing import Any

from ulsam_cost.conventions import CONVENTIONS
from ulsam_cost.cost import PRODUCT_KINDS, Cost
from ulsam_cost.counting.count import Count, Uncounted
from ulsam_cost.counting.loaded import Loaded
from ulsam_cost.counting.modules import CallCost, ModuleCost, called_with_different_shapes
from ulsam_cost.peers import PeerNumber
from ulsam_cost.report.formats import COMPLETE, Column, Table, exact, fixed, number, words
from ulsam_cost.units import at_least

TOTALS = ("params", "macs", "activations")


def count_record(loaded: Loaded, counted: Count, rows: Sequence[ModuleCost]) -> dict[str, Any]:
    """What `count` prints as JSON; `rows` are its modules."""
    return {
        "model": loaded.name,
        "params": counted.params,
        "params_split": loaded.params_split,
        "macs": at_least(counted.macs, unless=counted.complete),
        "activations": at_least(counted.activations, unless=counted.complete),
        "complete": counted.complete,
        "left_out": counted.left_out(),
        "conventions": {
            name: at_least(convention.number(counted.cost), unless=counted.complete_under(name))
            for name, convention in CONVENTIONS.items()
        },
        "with_attention_unfused": {
            name: at_least(number, unless=counted.complete_under(name))
            for name, convention in CONVENTIONS.items()
            if (number := convention.number_unfused(counted.cost)) is not None
        },
        "incomplete_conventions": [name for name in CONVENTIONS if not counted.complete_under(name)],
        "by_kind": {str(kind): totals(cost, counted) for kind, cost in counted.by_kind().items()},
        "layers": [row._asdict() for row in rows],
        "uncounted": [asdict(operation) for operation in counted.uncounted],
        "real_run": _real_run(counted.real_run),
        "inputs_read": _inputs_read(counted.inputs_read),
        "different_shapes": list(called_with_different_shapes(counted)),
    }


def _real_run(reason: str) -> str:
    """What it means that a copy of the model really ran, and why it did; empty where none did."""
    holds = "This count holds for these inputs; others may take a different path through the model"
    return f"{holds}. A copy of the model really ran: {reason}" if reason else ""


def _inputs_read(operation: str) -> str:
    """What it means that the inputs' values were looked at; empty where they were not."""
    return f"This count holds for inputs with these values: {operation} reads them" if operation else ""


def totals(cost: Cost, counted: Count) -> dict[str, Any]:
    """Parameters, MACs, activations and elements moved, by one kind or operator.

    A product without a rule may belong to any of those that have products.
    """
    complete = counted.complete or not cost.of_kind(*PRODUCT_KINDS).ops
    return {**{key: getattr(cost, key) for key in (*TOTALS, "reads", "writes")}, "complete": complete}


def tree_table(rows: Sequence[ModuleCost]) -> Table:
    """The module tree: names set in by their depth, and each module's share of the MACs, if they are whole."""
    complete = all(row.complete for row in rows)
    whole = rows[0].macs if rows else 0
    shown = [
        {
            **row._asdict(),
            "name": _branch(row.path) + f" {row.module}",
            "share": 100 * row.macs / whole if whole else None,
        }
        for row in rows
    ]
    share = number("share", "MACs %", fixed(2))
    columns = (
        words("name", "module"),
        number("params", "params"),
        number("macs", "MACs"),
        *((share,) if complete else ()),
        number("activations", "activations"),
    )
    return Table(columns=columns, records=shown)


def call_table(rows: Sequence[CallCost]) -> Table:
    """Each call of each module."""
    several = Counter(row.path for row in rows)
    shown = [
        {
            **row._asdict(),
            "name": _branch(row.path) + f" {row.module}",
            "which": f"{row.call} of {several[row.path]}" if several[row.path] > 1 else None,
        }
        for row in rows
    ]
    columns = (
        words("name", "module"),
        words("which", "call"),
        *(number(key, key, _first_shapes) for key in ("inputs", "outputs")),
        *(number(key, {"macs": "MACs"}.get(key, key)) for key in TOTALS),
    )
    return Table(columns=columns, records=shown)


def _shapes(shapes: Sequence[Sequence[int]]) -> str:
    return " ".join("x".join(map(str, shape)) for shape in shapes)


def _first_shapes(shapes: Sequence[Sequence[int]]) -> str:
    return _shapes(shapes) if len(shapes) <= 2 else f"{_shapes(shapes[:1])} and {len(shapes) - 1} more"


def different_shapes_sentence(paths: Sequence[str]) -> str:
    """Which modules' numbers are sums over calls that differ."""
    named = ", ".join(paths[:3]) + (f" and {len(paths) - 3:,} more" if len(paths) > 3 else "")
    are = "are" if len(paths) > 1 else "is"
    return f"{named} {are} called with different shapes: the numbers are sums over all calls; --by call shows each."


def flat_table(rows: Sequence[ModuleCost]) -> Table:
    """The modules by their paths, for programs."""
    columns = (words("path", "path"), words("module", "module"), *(number(key, key) for key in TOTALS), COMPLETE)
    return Table(columns=columns, records=[row._asdict() for row in rows])


def _branch(path: str) -> str:
    if not path:
        return "."
    level = path.count(".")
    return "· " * level + path.rpartition(".")[2]


def group_table(counted: Count, by: str) -> Table:
    """The cost by kind or by operator; the headings say where a column leaves products out."""
    groups = counted.by_kind() if by == "kind" else counted.cost.by_operator()
    headings = {"macs": "MACs", "activations": "activations", "reads": "reads", "writes": "writes"}
    bound = "" if counted.complete else ",\nat least"
    records = [{by: str(key), "calls": len(cost.ops), **totals(cost, counted)} for key, cost in groups.items()]
    columns = (
        words(by, by),
        number("calls", "operations"),
        number("params", "params"),
        *(number(key, f"{name}{bound}") for key, name in headings.items()),
        COMPLETE,
    )
    return Table(columns=columns, records=records)


def totals_table(record: dict[str, Any]) -> Table:
    """The number under each convention; where one does not see fused attention, what it says with that unfused."""
    unfused = record["with_attention_unfused"]
    records = [
        {"convention": name, "number": value, "unit": CONVENTIONS[name].unit, "unfused": unfused.get(name)}
        for name, value in record["conventions"].items()
    ]
    columns = (words("convention", "convention"), number("number", "number"), words("unit", "unit"))
    note = (number("unfused", "with attention unfused"),)
    return Table(columns=columns + note * bool(unfused), records=records)


def head_lines(record: dict[str, Any]) -> str:
    """The totals in a few lines."""
    split = record["params_split"]
    parts = ", ".join(f"{value:,} {name}" for name, value in split.items() if value)
    macs, activations = f"{exact(record['macs'])} MACs", f"{exact(record['activations'])} activations"
    lines = [
        record["model"],
        f"{record['params']:,} parameters ({parts})" if parts else "no parameters",
    ]
    if record["complete"]:
        lines.append(f"{macs}, {activations}")
    else:
        lines += [f"{macs} (incomplete: {record['left_out']}, see below)", activations]
    if record["real_run"]:
        lines.append(fill(record["real_run"], 98))
    if record["inputs_read"]:
        lines.append(fill(record["inputs_read"], 98))
    return "\n".join(lines)


def uncounted_table(uncounted: Sequence[Uncounted]) -> Table:
    """The operations without a rule."""
    columns = (
        words("severity", "severity"),
        words("operator", "operator"),
        words("path", "module"),
        number("shapes", "shapes", _shapes),
        number("calls", "calls"),
    )
    failed = (words("error", "its rule raised"),)
    any_failed = any(operation.error for operation in uncounted)
    return Table(columns=columns + failed * any_failed, records=[asdict(operation) for operation in uncounted])


def uncounted_advice(uncounted: Sequence[Uncounted]) -> str:
    """How operators of other libraries are counted; empty where there are none."""
    foreign = dict.fromkeys(
        op.operator for op in uncounted if "::" in op.operator and not op.operator.startswith("aten::")
    )
    if not foreign:
        return ""
    way = "with ulsam_cost.register_rule('library::name', rule)."
    return fill(f"Add rules for operators of other libraries ({', '.join(foreign)}) {way}", 98)


def peers_table(numbers: Iterable[PeerNumber], counted: Count) -> Table:
    """What each tool says, and this program by its rule; a difference to a number that is not whole says nothing."""
    records = [
        {
            "tool": peer.tool,
            "version": peer.version,
            "unit": peer.unit,
            "number": peer.number,
            "ours": at_least(peer.ours, unless=(complete := counted.complete_under(peer.tool))),
            "difference": peer.difference if complete else None,
            "plain": at_least(peer.plain, unless=counted.complete),
            "by_kind": {str(kind): value for kind, value in peer.by_kind.items()},
            "misses": peer.misses,
            "error": peer.error,
            "complete": complete,
        }
        for peer in numbers
    ]
    columns = (
        words("tool", "tool"),
        words("unit", "unit"),
        number("number", "reported"),
        number("ours", "its rule,\ncomputed here"),
        Column(key="difference", heading="difference", show=exact, csv_only=not counted.complete),
        number("plain", "plain MACs\nin its unit"),
        COMPLETE,
    )
    return Table(columns=columns, records=records)


def peers_text(numbers: Iterable[PeerNumber], counted: Count) -> str:
    """Where each tool's number comes from, kind by kind, or how it failed."""
    lines = []
    for peer in numbers:
        if peer.error:
            lines.append(f"{peer.tool} {peer.version} failed: {peer.error}")
            continue
        extras = (f"{'+' if value > 0 else '-'} {abs(value):,} {kind}" for kind, value in peer.by_kind.items())
        plain = exact(at_least(peer.plain, unless=counted.complete))
        lines.append(" ".join((f"{peer.tool} {peer.version}: {plain} for MACs", *extras)))
        if peer.misses:
            lines[-1] += f"; its rule here misses {peer.misses}"
    return "\n".join(fill(line, 98, subsequent_indent="  ") for line in lines)
