"""What a sweep measured, as tables and sentences."""

from collections.abc import Mapping, Sequence
from textwrap import fill
from typing import Any

from ulsam_cost.measuring.busy import BUSY
from ulsam_cost.measuring.memory import LABELS
from ulsam_cost.report.formats import Column, Table, exact, number, text, words

KERNELS_SHOWN = 15
ROOFLINE_ESTIMATE = (
    "The roofline estimate is the larger of FLOPs (2 a MAC) over the throughput of a matrix product and bytes over the "
    "bandwidth of a copy, each operation reading its operands and writing its result once. It is no lower bound: maps "
    "that stay in a cache and fused kernels move fewer bytes, and a convolution may leave out the products with "
    "padding, which are counted."
)
WIDTH = 98


def milliseconds(value: float | None) -> str:
    """Milliseconds with three significant digits or more."""
    if value is None:
        return ""
    return f"{value:.4f}" if value < 1 else f"{value:.3f}" if value < 10 else f"{value:.1f}"


def ratio(value: float | None) -> str:
    """A ratio with three digits."""
    return "" if value is None else f"{value:.3f}"


def mebibytes(value: int | None) -> str:
    """Bytes in MiB."""
    return "" if value is None else f"{value / 2**20:.1f}"


def _rounded(digits: int, unit: str = "") -> Any:
    return lambda value: "" if value is None else f"{value:.{digits}f}{unit}"


def times_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A line a model of a row: the median, the spread, and the median's interval."""
    records = [
        {**_case(row), "model": model, **(row[model] or {}), "said": "see below" if row["error"] else None}
        for row in rows
        for model in ("baseline", "network")
        if row[model] or model == "network"
    ]
    columns = (
        *_CASE,
        words("model", "model"),
        number("median_ms", "median ms", milliseconds),
        number("p10_ms", "p10", milliseconds),
        number("p90_ms", "p90", milliseconds),
        number("low_ms", "from", milliseconds),
        number("high_ms", "to", milliseconds),
        number("runs", "runs"),
        words("said", ""),
    )
    return Table(columns=tuple(column for column in columns if _is_used(column, records)), records=records)


def ratios_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """A line a row: the network's time over the baseline's, pair by pair, with its interval."""
    records = [{**_case(row), **row["ratio"], "verdict": row["verdict"]} for row in rows if row["ratio"]]
    columns = (
        *_CASE,
        number("median", "network / baseline", ratio),
        number("low", "from", ratio),
        number("high", "to", ratio),
        words("verdict", "network is"),
    )
    return Table(columns=columns, records=records)


_CASE = (number("batch", "batch"), words("dtype", "dtype"), words("mode", "mode"))


def _case(row: Mapping[str, Any]) -> dict[str, Any]:
    return {column.key: row[column.key] for column in _CASE}


def case_sentence(rows: Sequence[Mapping[str, Any]]) -> str:
    """What holds for all rows of a sweep, and what their columns are."""
    first = rows[0]
    run = "step (forward, backward, SGD)" if first["train"] else "forward pass"
    return f"{run}, {first['memory_format']}; from, to: 95 % interval of the median"


def latency_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """All of it in a line a row, for programs."""
    columns = [
        number("batch", "batch"),
        words("dtype", "dtype"),
        words("memory_format", "format"),
        words("mode", "mode"),
        words("what", "run"),
        number("baseline_ms", "baseline ms", milliseconds),
        number("median_ms", "median ms", milliseconds),
        number("p10_ms", "p10", milliseconds),
        number("p90_ms", "p90", milliseconds),
        number("low_ms", "low", milliseconds),
        number("high_ms", "high", milliseconds),
        number("runs", "runs"),
        number("ratio", "ratio", ratio),
        number("ratio_low", "low", ratio),
        number("ratio_high", "high", ratio),
        words("said", ""),
    ]
    records = [latency_record(row) for row in rows]
    return Table(columns=tuple(column for column in columns if _is_used(column, records)), records=records)


def latency_record(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row with its numbers side by side."""
    network, baseline, paired = row["network"] or {}, row["baseline"] or {}, row["ratio"] or {}
    return {
        **{key: row[key] for key in ("batch", "dtype", "memory_format", "mode")},
        "what": "step" if row["train"] else "forward",
        **network,
        "baseline_ms": baseline.get("median_ms"),
        "ratio": paired.get("median"),
        "ratio_low": paired.get("low"),
        "ratio_high": paired.get("high"),
        "said": "see below" if row["error"] else row["verdict"] or (BUSY if row["busy"] else None),
        "error": row["error"],
    }


def busy_sentences(rows: Sequence[Mapping[str, Any]]) -> str:
    """Which rows were measured on a busy machine, and how that is known."""
    busy = (f"{_case_words(row)}: the machine was busy: {row['busy']}; measure again" for row in rows if row["busy"])
    return "\n".join(fill(line, WIDTH, subsequent_indent="  ") for line in busy)


def error_sentences(rows: Sequence[Mapping[str, Any]]) -> str:
    """Why rows are empty, or end early."""
    return "\n".join(f"{_case_words(row)}: {row['error']}" for row in rows if row["error"])


def _case_words(row: Mapping[str, Any]) -> str:
    return f"batch {row['batch']}, {row['dtype']}, {row['mode']}"


def _is_used(column: Column, records: Sequence[Mapping[str, Any]]) -> bool:
    return any(record.get(column.key) is not None for record in records)


def memory_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The bytes of each row, in MiB."""
    records = [{**_case(row), **row["memory"]} for row in rows if row["memory"]]
    bytes_columns = (number(key, key.removesuffix("_bytes"), mebibytes) for key in LABELS)
    used = (column for column in bytes_columns if _is_used(column, records))
    return Table(columns=(*_CASE, *used), records=records)


def memory_notes(rows: Sequence[Mapping[str, Any]]) -> str:
    """What each number of the memory table is, in lines of the table's width."""
    shown = {key for row in rows for key, value in (row["memory"] or {}).items() if value is not None}
    notes = (f"{key.removesuffix('_bytes')}: {label}" for key, label in LABELS.items() if key in shown)
    return "\n".join(("memory in MiB", *(fill(note, WIDTH, subsequent_indent="  ") for note in notes)))


def layer_table(layers: Mapping[str, Any]) -> Table:
    """The layers' times, and their roofline estimates where they were asked for."""
    columns = [
        words("layer", "layer"),
        number("median_ms", "median ms", milliseconds),
        number("p10_ms", "p10", milliseconds),
        number("p90_ms", "p90", milliseconds),
        number("share_pct", "%", _rounded(1)),
        number("macs", "MACs"),
        number("bytes", "bytes"),
        number("least_ms", "roofline ms", milliseconds),
        words("limit", "limit"),
        number("over_least", "over roofline", _rounded(1)),
    ]
    used = tuple(column for column in columns if _is_used(column, layers["rows"]))
    return Table(columns=used, records=layers["rows"])


def layer_sentences(row: Mapping[str, Any]) -> str:
    """The sum of the layers beside the total without hooks, and the roof where there is one."""
    layers = row["layers"]
    overhead = layers["overhead"]
    lines = [
        f"batch {row['batch']}, {row['dtype']}: the layers add up to {milliseconds(layers['sum_ms'])} ms, the model "
        f"without hooks takes {milliseconds(layers['total_ms'])} ms; hooks change its time by a factor of "
        f"{overhead['median']:.3f} [{overhead['low']:.3f}, {overhead['high']:.3f}]"
    ]
    if layers.get("left_out"):
        lines.append(
            f"the MACs are incomplete: {layers['left_out']}; a layer in which an operation is not counted has no "
            "estimate"
        )
    if roof := layers["roof"]:
        lines.append(
            f"{roof['device']}: copies {roof['bytes_per_second'] / 1e9:.1f} GB/s, multiplies "
            f"{roof['flops_per_second'] / 1e9:.1f} GFLOP/s in {roof['dtype']}"
        )
        lines.append(ROOFLINE_ESTIMATE)
    return "\n".join(fill(line, WIDTH) for line in lines)


def kernel_table(row: Mapping[str, Any]) -> Table:
    """The kernels that take the most time."""
    columns = (
        words("path", "module"),
        words("kernel", "kernel"),
        number("calls", "calls", _rounded(0)),
        number("ms", "ms", milliseconds),
    )
    return Table(columns=columns, records=row["kernels"][:KERNELS_SHOWN])


def energy_table(rows: Sequence[Mapping[str, Any]]) -> Table:
    """Joules an image."""
    records = [{**row["energy"], "batch": row["batch"], "dtype": row["dtype"]} for row in rows if row["energy"]]
    columns = (
        number("batch", "batch"),
        words("dtype", "dtype"),
        number("joules_per_image", "J an image", _rounded(4)),
        number("watts", "W", _rounded(1)),
        number("idle_watts", "W idle", _rounded(1)),
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
