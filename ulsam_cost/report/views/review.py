"""A review as tables: the candidates, their limits, layers, times, conventions, and what was not counted."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ulsam_cost.conventions import CONVENTIONS
from ulsam_cost.cost import path_at
from ulsam_cost.measuring.runtimes.registry import TORCH
from ulsam_cost.report.formats import (
    Column,
    Table,
    exact,
    known,
    milliseconds,
    number,
    ratio,
    signed,
    signed_pct,
    words,
)
from ulsam_cost.report.views.exported import COLUMNS, NOTES, exported_sentences, files_records
from ulsam_cost.reviewing.budget import LATENCY, Judgement
from ulsam_cost.reviewing.costs import Costs, Latency, Numbers
from ulsam_cost.reviewing.differences import LayerDifference
from ulsam_cost.reviewing.review import Review, Reviewed
from ulsam_cost.units import at_least, format_ms

HEADINGS = {"macs": "MACs", "params": "parameters", "activations": "activations"}
MOST_GROUPS = 40
NAME_LENGTH = 34
CHANGES = {**HEADINGS, "traffic": "elements moved", "operations": "operations"}


def candidates_table(review: Review, metrics: Sequence[str] = tuple(HEADINGS)) -> Table:
    """The baseline and the candidates: totals, differences, time, accuracy and verdict."""
    records = [_record(review.baseline, None), *(_record(each.costs, each) for each in review.candidates)]
    columns: list[Column] = [words("name", "candidate")]
    for metric in metrics:
        heading = HEADINGS[metric]
        columns += [number(metric, heading), number(f"{metric}_pct", f"{heading}\nvs baseline", signed_pct)]
    first = next((each.costs.first_latency for each in review.candidates if each.costs.first_latency), None)
    if first:
        columns.append(ratio("ratio", "time\n" + first.where.replace(" in ", "\n")))
    if any(record["accuracy"] is not None for record in records):
        columns.append(number("accuracy", "accuracy\n(given)", known(lambda value: f"{value:g}")))
    columns.append(words("verdict", "verdict"))
    return Table(columns=tuple(columns), records=records)


def narrow_candidates_table(review: Review) -> Table:
    """The same for a terminal, without activations and with long names cut."""
    table = candidates_table(review, ("macs", "params"))
    return Table(columns=table.columns, records=[{**row, "name": short(row["name"])} for row in table.records])


def short(name: str) -> str:
    """A name as a picture or a terminal has room for it."""
    return name if len(name) <= NAME_LENGTH else f"{name[: NAME_LENGTH - 1]}…"


def _record(costs: Costs, each: Reviewed | None) -> dict[str, Any]:
    record: dict[str, Any] = {"name": costs.name, "accuracy": costs.accuracy, "verdict": each and each.verdict}
    for metric in HEADINGS:
        record[metric] = at_least(costs.number(metric), unless=not costs.left_out(metric))
        change, base = (each.delta(metric), each.baseline.number(metric)) if each else (None, 0)
        record[f"{metric}_pct"] = 100 * change / base if change is not None and base else None
    if costs.first_latency and not costs.first_latency.busy:
        record["ratio"] = costs.first_latency.ratio.median
    return record


def budget_table(review: Review) -> Table:
    """Every limit of every candidate, with what it costs and the verdict."""
    records = [
        {"name": each.name, "metric": judged.words, "limit": _amount(judged, judged.limit),
         "value": _amount(judged, judged.value), "left": _left(judged), "why": judged.why, "verdict": judged.verdict}
        for each in review.candidates
        for judged in each.judgements
    ]  # fmt: skip
    columns: tuple[Column, ...] = (
        words("name", "candidate"),
        words("metric", "metric"),
        number("limit", "limit", str),
        number("value", "value", str),
        number("left", "vs limit", str),
        words("why", "why there is no verdict"),
        words("verdict", "verdict"),
    )
    if not any(record["why"] for record in records):
        columns = tuple(column for column in columns if column.key != "why")
    return Table(columns=columns, records=records)


def _amount(judged: Judgement, value: float | None) -> str:
    if value is None:
        return ""
    return f"{format_ms(value)} ms" if judged.metric == LATENCY else exact(int(value))


def _left(judged: Judgement) -> str:
    if judged.value is None or not judged.limit:
        return ""
    return signed_pct(100 * (judged.value - judged.limit) / judged.limit)


def layers_table(review: Review) -> Table:
    """The layers in which each candidate differs from the baseline; the rows of one add up to its difference."""
    records = [{"name": each.name, **difference_record(layer)} for each in review.candidates for layer in each.layers]
    return Table(columns=(words("name", "candidate"), *difference_columns(records)), records=records)


def difference_columns(records: Sequence[Mapping[str, Any]]) -> tuple[Column, ...]:
    """The columns of differences by layer, without those in which nothing differs."""
    counts = (number(key, heading, signed) for key, heading in CHANGES.items())
    columns = (words("fate", "change"), words("what", "operators"), *counts)
    return (words("path", "layer"), *(c for c in columns if any(record.get(c.key) for record in records)))


def difference_record(layer: LayerDifference) -> dict[str, Any]:
    """A layer's differences as a row."""
    return layer.to_dict() | {"path": layer.path or "(the model)"}


def baseline_layers_table(review: Review) -> Table:
    """What each layer of the baseline costs."""
    groups, rows = _groups(review), dict[str, Numbers]()
    depth = _depth(groups)
    for layer in review.baseline.layers:
        place = path_at(layer.path, depth)
        rows[place] = rows.get(place, Numbers()) + layer.numbers
    total = review.baseline.totals.macs
    records = [
        {"path": path or "(the model)", **numbers._asdict(), "share": 100 * numbers.macs / total if total else None}
        for path, numbers in rows.items()
    ]
    counts = (number(key, heading) for key, heading in CHANGES.items())
    share = number("share", "% of MACs", known(lambda value: f"{value:.1f}"))
    return Table(columns=(words("path", "layer"), *counts, share), records=records)


def grouped_layers(review: Review) -> tuple[list[str], list[dict[str, list[int]]]]:
    """The layers at a depth that leaves few enough, and by row their numbers: the baseline's, then each difference."""
    everything = _groups(review)
    depth = _depth(everything)
    groups = list(dict.fromkeys(path_at(path, depth) for path in everything))
    base = _by_group(review.baseline, depth)
    rows = [base, *({**_by_group(each.costs, depth)} for each in review.candidates)]
    columns = []
    for row, found in enumerate(rows):
        less = {} if row == 0 else base
        numbers = [found.get(group, Numbers()) - less.get(group, Numbers()) for group in groups]
        columns.append({key: [getattr(each, key) for each in numbers] for key in Numbers._fields})
    return [group or "(the model)" for group in groups], columns


def _groups(review: Review) -> list[str]:
    every = (review.baseline, *(each.costs for each in review.candidates))
    merged: list[str] = []
    for costs in every:
        at = 0
        for layer in costs.layers:
            if layer.path in merged:
                at = merged.index(layer.path) + 1
            else:
                merged.insert(at, layer.path)
                at += 1
    return merged


def _depth(paths: Sequence[str]) -> int:
    """The greatest depth at which there are at most MOST_GROUPS."""
    depth, deepest = 1, max((path.count(".") + 1 for path in paths), default=1)
    while depth < deepest and len({path_at(path, depth + 1) for path in paths}) <= MOST_GROUPS:
        depth += 1
    return depth


def _by_group(costs: Costs, depth: int) -> dict[str, Numbers]:
    found: dict[str, Numbers] = {}
    for layer in costs.layers:
        group = path_at(layer.path, depth)
        found[group] = found.get(group, Numbers()) + layer.numbers
    return found


class Spot(NamedTuple):
    """A model in a picture of MACs against something: its value, and the interval where there is one."""

    name: str
    macs: int
    value: float
    low: float | None
    high: float | None
    less_is_better: bool


def spots(review: Review) -> dict[str, list[Spot]]:
    """The models whose MACs are whole, by what stands against the MACs: time at each batch size, accuracy."""
    found: dict[str, list[Spot]] = {}
    for each, timed in timed_rows(review):
        if timed.busy or not each.costs.complete or not review.baseline.complete:
            continue
        panel = found.setdefault(
            f"time relative to the baseline, {timed.where}",
            [Spot("baseline", review.baseline.totals.macs, 1.0, None, None, True)],
        )
        panel.append(Spot(each.name, each.costs.totals.macs, *timed.ratio, less_is_better=True))
    known_accuracy = [
        Spot(each.name, each.costs.totals.macs, each.costs.accuracy, None, None, False)
        for each in review.candidates
        if each.costs.accuracy is not None and each.costs.complete
    ]
    return found | ({"accuracy given in the design": known_accuracy} if known_accuracy else {})


def timed_rows(review: Review) -> list[tuple[Reviewed, Latency]]:
    """Every candidate with each of its measurements."""
    return [(each, timed) for each in review.candidates for timed in each.costs.latency]


def times_table(review: Review) -> Table:
    """The times: medians with their intervals, and the ratio pair by pair with its own."""
    records = [
        {
            "name": each.name,
            "runtime": timed.runtime,
            "dtype": timed.dtype,
            "batch": timed.batch,
            "baseline_ms": timed.baseline.median_ms,
            "median_ms": timed.network.median_ms,
            "p90_ms": timed.network.p90_ms,
            "low_ms": timed.network.low_ms,
            "high_ms": timed.network.high_ms,
            "runs": timed.network.runs,
            "ratio": timed.ratio.median,
            "ratio_low": timed.ratio.low,
            "ratio_high": timed.ratio.high,
            "said": timed.verdict,
        }
        for each, timed in timed_rows(review)
    ]
    columns: tuple[Column, ...] = (
        words("name", "candidate"),
        words("runtime", "runtime"),
        words("dtype", "dtype"),
        number("batch", "batch"),
        milliseconds("baseline_ms", "baseline, ms"),
        milliseconds("median_ms", "median, ms"),
        milliseconds("low_ms", "from, ms"),
        milliseconds("high_ms", "to, ms"),
        milliseconds("p90_ms", "p90, ms"),
        number("runs", "pairs"),
        ratio("ratio", "time ratio"),
        ratio("ratio_low", "ratio from"),
        ratio("ratio_high", "ratio to"),
        words("said", "compared with the baseline"),
    )
    usual = {"runtime": {TORCH}, "dtype": {"float32"}}
    left_out = [key for key, names in usual.items() if {record[key] for record in records} <= names]
    return Table(columns=tuple(column for column in columns if column.key not in left_out), records=records)


def exported_table(review: Review) -> Table:
    """The files that other runtimes than PyTorch ran; those of the baseline as they were beside the first candidate."""
    records: dict[str, dict[str, dict[str, Any]]] = {}
    for each, timed in timed_rows(review):
        for files in files_records(timed.exported) if timed.exported else ():
            name = review.baseline.name if files["model"] == "baseline" else each.name
            case = {"name": name, "runtime": timed.runtime, "dtype": timed.dtype, "batch": timed.batch}
            records.setdefault(timed.where, {}).setdefault(name, case | files)
    columns = (
        words("name", "candidate"),
        words("runtime", "runtime"),
        words("dtype", "dtype"),
        number("batch", "batch"),
        *COLUMNS,
    )
    return Table(columns=columns, records=[record for place in records.values() for record in place.values()])


def exported_notes(review: Review) -> list[str]:
    """What the numbers of the exported files are, and what was set of each runtime, each sentence once."""
    said = [
        f"{timed.where}: {line}"
        for _, timed in timed_rows(review)
        for line in (exported_sentences(timed.exported) if timed.exported else ())
    ]
    return [*NOTES, *dict.fromkeys(said)] if said else []


def conventions_table(review: Review) -> Table:
    """What each tool or rule of the design would print, of the baseline and of every candidate."""
    every = (review.baseline, *(each.costs for each in review.candidates))
    records = [
        {"name": costs.name, **{name: _under(costs, name, value) for name, value in costs.conventions.items()}}
        for costs in every
    ]
    columns = (number(name, f"{name}, {CONVENTIONS[name].unit}") for name in review.conventions)
    return Table(columns=(words("name", "candidate"), *columns), records=records)


def _under(costs: Costs, convention: str, value: int) -> int:
    metric = "macs" if CONVENTIONS[convention].products_only else "operations"
    return at_least(value, unless=not costs.left_out(metric))


def convention_sentences(review: Review) -> list[str]:
    """Why each rule gives the baseline another number than its MACs."""
    said = []
    for name in review.conventions:
        convention, kinds = CONVENTIONS[name], review.baseline.kinds[name]
        macs = {0: (), 1: ("the MACs",)}.get(convention.per_mac, (f"{convention.per_mac} per MAC",))
        more = tuple(f"{value:+,} for {kind}" for kind, value in kinds.items())
        alone = "" if more else " alone"
        said.append(f"{name} counts {convention.counts}. In the baseline: {', '.join(macs + more)}{alone}.")
    return said


def uncounted_table(review: Review) -> Table:
    """The operations without a rule, by model."""
    every = (review.baseline, *(each.costs for each in review.candidates))
    records = [
        {"name": costs.name, **operation.to_dict(), "path": operation.path or "(the model)"}
        for costs in every
        for operation in costs.uncounted
    ]
    columns = (
        words("name", "candidate"),
        words("operator", "operation"),
        words("path", "layer"),
        number("calls", "calls"),
        words("severity", "looks like"),
    )
    return Table(columns=columns, records=records)
