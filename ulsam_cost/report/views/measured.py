"""What a sweep measured, as tables and sentences."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from textwrap import fill
from typing import Any, NamedTuple

from ulsam_cost.measuring.busy import BUSY
from ulsam_cost.measuring.layer_times import LayerTimes
from ulsam_cost.measuring.layers import KernelTime
from ulsam_cost.measuring.memory import LABELS
from ulsam_cost.measuring.roofline import Roof
from ulsam_cost.measuring.sweep import Measurement
from ulsam_cost.report.formats import (
    Column,
    Table,
    exact,
    fixed,
    mebibytes,
    milliseconds,
    number,
    ratio,
    text,
    words,
)
from ulsam_cost.report.views.exported import COLUMNS, MODEL, NOTES, exported_sentences, files_records
from ulsam_cost.units import format_ms

KERNELS_SHOWN = 15
ROOFLINE_ESTIMATE = (
    "The roofline estimate is the larger of two times: FLOPs (2 per MAC) divided by the throughput of a matrix "
    "product, and bytes divided by the bandwidth of a copy, where each operation reads its operands and writes its "
    "result once. It is not a lower bound: maps that stay in a cache and fused kernels move fewer bytes, and a "
    "convolution may skip the products with padding, which are counted."
)
WIDTH = 98
_SEE_BELOW = "see below"


def times_table(rows: Sequence[Measurement]) -> Table:
    """A line a model of a row: the median, the spread, and the median's interval."""
    records = [
        {**_case(row), "model": model, **times, "said": _SEE_BELOW if row.error else None}
        for row in rows
        for model, times in _timings(row).items()
    ]
    columns = (
        *_CASE,
        words("model", "model"),
        milliseconds("median_ms", "median ms"),
        milliseconds("p10_ms", "p10"),
        milliseconds("p90_ms", "p90"),
        milliseconds("low_ms", "from"),
        milliseconds("high_ms", "to"),
        number("runs", "runs"),
        words("said", ""),
    )
    return Table(columns=tuple(column for column in columns if _is_used(column, records)), records=records)


def _timings(row: Measurement) -> dict[str, dict[str, float | int]]:
    if row.latency is None:
        return {"network": {}}
    network = {"network": row.latency.network.to_dict()}
    return {"baseline": row.latency.baseline.to_dict(), **network} if row.latency.baseline else network


def ratios_table(rows: Sequence[Measurement]) -> Table:
    """A line a row: the network's time over the baseline's, pair by pair, with its interval."""
    records = [
        {**_case(row), **row.latency.ratio.to_dict(), "verdict": row.latency.verdict}
        for row in rows
        if row.latency and row.latency.ratio
    ]
    columns = (
        *_CASE,
        ratio("median", "network / baseline"),
        ratio("low", "from"),
        ratio("high", "to"),
        words("verdict", "network is"),
    )
    return Table(columns=columns, records=records)


_CASE = (number("batch", "batch"), words("dtype", "dtype"), words("mode", "mode"))


def _case(row: Measurement) -> dict[str, Any]:
    setting = row.case.setting.to_dict(batch=row.batch, dtype=row.dtype)
    return {column.key: setting[column.key] for column in _CASE} | {"mode": setting["mode"] or setting["runtime"]}


def case_sentence(rows: Sequence[Measurement]) -> str:
    """What holds for all rows of a sweep, and what their columns are."""
    setting = rows[0].case.setting
    run = "step (forward, backward, SGD)" if setting.train else "forward pass"
    return f"{run}, {setting.memory_format}; from, to: 95 % interval of the median"


def latency_table(rows: Sequence[Measurement]) -> Table:
    """All of it in a line a row, for programs."""
    columns = [
        number("batch", "batch"),
        words("dtype", "dtype"),
        words("memory_format", "format"),
        words("mode", "mode"),
        words("what", "run"),
        milliseconds("baseline_ms", "baseline ms"),
        milliseconds("median_ms", "median ms"),
        milliseconds("p10_ms", "p10"),
        milliseconds("p90_ms", "p90"),
        milliseconds("low_ms", "low"),
        milliseconds("high_ms", "high"),
        number("runs", "runs"),
        ratio("ratio", "ratio"),
        ratio("ratio_low", "low"),
        ratio("ratio_high", "high"),
        words("said", ""),
    ]
    records = [latency_record(row) for row in rows]
    return Table(columns=tuple(column for column in columns if _is_used(column, records)), records=records)


def latency_record(row: Measurement) -> dict[str, Any]:
    """A row with its numbers side by side."""
    latency, setting = row.latency, row.case.setting
    ratio_of_pair = latency.ratio if latency else None
    verdict = (latency.verdict or (BUSY if latency.busy else None)) if latency else None
    return {
        **_case(row),
        "memory_format": setting.memory_format,
        "what": "step" if setting.train else "forward",
        **(latency.network.to_dict() if latency else {}),
        "baseline_ms": latency.baseline.median_ms if latency and latency.baseline else None,
        "ratio": ratio_of_pair and ratio_of_pair.median,
        "ratio_low": ratio_of_pair and ratio_of_pair.low,
        "ratio_high": ratio_of_pair and ratio_of_pair.high,
        "said": _SEE_BELOW if row.error else verdict,
        "error": row.error,
    }


def busy_sentences(rows: Sequence[Measurement]) -> str:
    """Which rows were measured on a busy machine, and how that is known."""
    busy = (
        f"{_case_words(row)}: the machine was busy: {row.latency.busy}; measure again"
        for row in rows
        if row.latency and row.latency.busy
    )
    return "\n".join(fill(line, WIDTH, subsequent_indent="  ") for line in busy)


def error_sentences(rows: Sequence[Measurement]) -> str:
    """Why rows are empty, or end early."""
    return "\n".join(f"{_case_words(row)}: {row.error}" for row in rows if row.error)


def _case_words(row: Measurement) -> str:
    return "batch {batch}, {dtype}, {mode}".format(**_case(row))


def _is_used(column: Column, records: Sequence[Mapping[str, Any]]) -> bool:
    return any(record.get(column.key) is not None for record in records)


def exported_table(rows: Sequence[Measurement]) -> Table:
    """The files of each row's models: their size and memory, their MACs, and how far they are from PyTorch."""
    records = [{**_case(row), **files} for row, ran in _exported(rows) for files in files_records(ran)]
    return Table(columns=(*_CASE, MODEL, *COLUMNS), records=records)


def exported_notes(rows: Sequence[Measurement]) -> str:
    """What the numbers of the exported files are, and what was set of each runtime."""
    said = [f"{_case_words(row)}: {line}" for row, ran in _exported(rows) for line in exported_sentences(ran)]
    return "\n".join(fill(line, WIDTH, subsequent_indent="  ") for line in (*NOTES, *said)) if said else ""


def _exported(rows: Sequence[Measurement]) -> list[tuple[Measurement, dict[str, Any]]]:
    """The rows that another runtime ran, each with the JSON of what it ran."""
    return [(row, row.latency.exported.to_dict()) for row in rows if row.latency and row.latency.exported]


def memory_table(rows: Sequence[Measurement]) -> Table:
    """The bytes of each row, in MiB."""
    records = [{**_case(row), **row.memory.to_dict()} for row in rows if row.memory]
    bytes_columns = (mebibytes(key, key.removesuffix("_bytes")) for key in LABELS)
    used = (column for column in bytes_columns if _is_used(column, records))
    return Table(columns=(*_CASE, *used), records=records)


def memory_notes(rows: Sequence[Measurement]) -> str:
    """What each number of the memory table is, in lines of the table's width."""
    shown = {key for row in rows if row.memory for key, value in row.memory.to_dict().items() if value is not None}
    notes = (f"{key.removesuffix('_bytes')}: {label}" for key, label in LABELS.items() if key in shown)
    return "\n".join(("memory in MiB", *(fill(note, WIDTH, subsequent_indent="  ") for note in notes)))


def layer_table(records: Sequence[Mapping[str, Any]]) -> Table:
    """The layers' times, as in the JSON, and their roofline estimates where they were asked for."""
    columns = [
        words("layer", "layer"),
        milliseconds("median_ms", "median ms"),
        milliseconds("p10_ms", "p10"),
        milliseconds("p90_ms", "p90"),
        number("share_pct", "%", fixed(1)),
        number("macs", "MACs"),
        number("bytes", "bytes"),
        milliseconds("least_ms", "roofline ms"),
        words("limit", "limit"),
        number("over_least", "over roofline", fixed(1)),
        Column(key="fused", heading="runs as one", show=_fused),
    ]
    used = tuple(column for column in columns if _is_used(column, records))
    return Table(columns=used, records=records)


def _fused(groups: Sequence[Sequence[str]] | None) -> str:
    """Groups of modules, each with what its paths begin with only once: `features.0.{0, 1, 2}`."""
    return ", ".join(map(_group, groups or ()))


def _group(paths: Sequence[str]) -> str:
    above, _, first = paths[0].rpartition(".")
    if not above or any(path.rpartition(".")[0] != above for path in paths):
        return " + ".join(path or "the model" for path in paths)
    return f"{above}.{{{', '.join([first, *(path.rpartition('.')[2] for path in paths[1:])])}}}"


def layer_sentences(row: Measurement, layers: LayerTimes) -> str:
    """The sum of the layers beside the total without hooks, and the roof where there is one."""
    what = "hooks change" if row.case.setting.in_torch else "the profiler changes"
    without = "hooks" if row.case.setting.in_torch else "the profiler"
    lines = [
        f"{_case_words(row)}: the layers add up to {format_ms(layers.sum_ms)} ms, the model without {without} takes "
        f"{format_ms(layers.total_ms)} ms; {what} its time by a factor of {layers.overhead}"
    ]
    if layers.unmapped:
        parts = ", ".join(f"{kind} {format_ms(ms)} ms" for kind, ms in layers.unmapped.items())
        lines.append(f"unmapped is what belongs to no module: {parts}")
    if layers.left_out:
        lines.append(
            f"the MACs are incomplete: {layers.left_out}; a layer in which an operation is not counted has no estimate"
        )
    if roof := layers.roof:
        lines.append(
            f"{roof.device}: copies at {roof.bytes_per_second / 1e9:.1f} GB/s, multiplies at "
            f"{roof.flops_per_second / 1e9:.1f} GFLOP/s in {roof.dtype}"
        )
        lines.append(ROOFLINE_ESTIMATE)
    return "\n".join(fill(line, WIDTH) for line in lines)


class Point(NamedTuple):
    """A layer under the roofline: its FLOPs a byte, and those a second that it ran at."""

    layer: str
    kind: str | None
    intensity: float
    flops_per_second: float


class Panel(NamedTuple):
    """Layers under the roof of a device."""

    title: str
    flops_per_second: float
    bytes_per_second: float
    points: tuple[Point, ...]


def roofline_panel(row: Measurement, layers: LayerTimes, roof: Roof) -> Panel:
    """The layers that have an estimate under the device's roof."""
    return Panel(
        title="{device}, batch {batch}, {dtype}".format(**row.case.setting.to_dict(batch=row.batch, dtype=row.dtype)),
        flops_per_second=roof.flops_per_second,
        bytes_per_second=roof.bytes_per_second,
        points=tuple(
            Point(
                layer=layer.layer,
                kind=layer.kind,
                intensity=work.estimate.intensity,
                flops_per_second=1e3 * work.estimate.flops / layer.timing.median_ms,
            )
            for layer in layers.rows
            if (work := layer.work) and work.estimate and work.estimate.intensity and layer.timing.median_ms > 0
        ),
    )


def kernel_table(kernels: Sequence[KernelTime]) -> Table:
    """The kernels that take the most time."""
    columns = (
        words("path", "module"),
        words("kernel", "kernel"),
        number("calls", "calls", fixed(0)),
        milliseconds("ms", "ms"),
    )
    return Table(columns=columns, records=[asdict(kernel) for kernel in kernels[:KERNELS_SHOWN]])


def energy_table(rows: Sequence[Measurement]) -> Table:
    """Joules an image."""
    records = [{**_case(row), **row.energy.to_dict()} for row in rows if row.energy]
    columns = (
        number("batch", "batch"),
        words("dtype", "dtype"),
        number("joules_per_image", "J per image", fixed(4)),
        number("watts", "W", fixed(1)),
        number("idle_watts", "idle W", fixed(1)),
        number("images", "images", exact),
    )
    return Table(columns=columns, records=records)


def machine_sentence(machine: Mapping[str, Any]) -> str:
    """The machine's state in a line: what is known of it."""
    name = text(machine.get("name"))
    others = [
        f"{key} {f'{value:.2f}' if isinstance(value, float) else value}"
        for key, value in machine.items()
        if key != "name" and value is not None
    ]
    return fill(f"{name}: {', '.join(others)}", WIDTH)
