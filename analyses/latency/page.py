"""The page of the study: what the placements and the mechanisms do to the time on one device."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from operator import itemgetter
from typing import Any

from analyses.latency.figures import mechanisms_figure, savings_figure
from analyses.latency.regimes import TOLERANCE, slowdowns
from ulsam_cost.report.document.markdown import markdown
from ulsam_cost.report.document.model import Block, Bullets, Grid, Page, Paragraph, Picture, Section, Strong
from ulsam_cost.report.figures.measured import roofline_figure
from ulsam_cost.report.formats import Column, Table, fixed, milliseconds, number, ratio, signed_pct, words
from ulsam_cost.report.site.study import WRITTEN_BY, grouped
from ulsam_cost.report.views.measured import ROOFLINE_ESTIMATE, Panel, Point, layer_table, machine_sentence
from ulsam_cost.units import format_ms, format_ratio

Row = Mapping[str, Any]


def device_slug(device_type: str, machine: Mapping[str, Any]) -> str:
    """The device's name in file names: `cpu`, or the maker's name of a CUDA device."""
    if device_type == "cpu":
        return "cpu"
    return re.sub(r"[^a-z0-9]+", "_", str(machine["name"]).lower()).strip("_")


def latency_files(record: Mapping[str, Any], name: str) -> dict[str, bytes]:
    """The page and its pictures, from what has been measured so far."""
    rows = _rows(record)
    measured = [row for row in rows if "error" not in row]
    section = {key: [row for row in measured if row["section"] == key] for key in _SECTIONS}
    pictures = _pictures(section, record["machine"], name)
    sections = [
        Section(title, tuple(_SHOW[key](section[key], name, pictures)))
        for key, title in _SECTIONS.items()
        if section[key]
    ]
    if errors := sorted({row["error"] for row in rows if "error" in row}):
        sections.append(Section("Not measured", (Bullets(tuple(errors)),)))
    opening: tuple[Block, ...] = (
        Paragraph(f"{machine_sentence(record['machine'])}."),
        Paragraph(
            f"{len(measured)} of {record['tasks']} measurements, in {record['dtype']}. Network and plain network run "
            "in turn; the ratio is the median of the pairs, with its 95 % interval. If the interval contains 1, the "
            "times do not differ significantly. A time is that of one call on an idle device. The mode graph is a CUDA "
            "graph, compile is torch.compile, and compile-graph is both. The numbers hold for this machine, in its "
            "state during the measurement. On the CPU, memory freed by one run is kept for the next one (allocator "
            "keep), as PyTorch does on CUDA devices."
        ),
    )
    if busy := [row for row in measured if (row.get("latency") or row).get("busy")]:
        sentence = f"{len(busy)} of these were taken on a busy machine and have no verdict: the next run of "
        opening += (Paragraph(f"{sentence}{WRITTEN_BY} measures them again."),)
    page = Page(f"latency_{name}.md", f"Measured on {record['machine']['name']}", opening, tuple(sections))
    return {page.file: markdown(page, WRITTEN_BY), **pictures}


def _rows(record: Mapping[str, Any]) -> list[Row]:
    """The rows with their facts, and by how much the machine was slower."""
    slowed = slowdowns(record["rows"])
    return [{**row["facts"], **row, "slowed": factor} for row, factor in zip(record["rows"], slowed, strict=True)]


_SECTIONS = {
    "placement": "Do placements that save FLOPs save time?",
    "network": "The plain networks",
    "layers": "Time by layer, and the roofline of the device",
    "mechanism": "Each mechanism on 512 x 14 x 14",
    "ulsam": "ULSAM compared with a loop over its subspaces, and with a copy of its input",
    "check": "Comparison with another timer",
}


def _pictures(section: Mapping[str, Sequence[Row]], machine: Mapping[str, Any], name: str) -> dict[str, bytes]:
    pictures = {}
    for mode in dict.fromkeys(row["mode"] for row in section["placement"]):
        points = [saving_point(row, f"batch {row['batch']}") for row in section["placement"] if row["mode"] == mode]
        title = f"{machine['name']}, {mode}: FLOPs saved and time saved"
        pictures[f"latency_{name}_savings_{mode}.png"] = savings_figure(points, title)
    for network in dict.fromkeys(row["network"] for row in section["layers"]):
        rows = [row for row in section["layers"] if row["network"] == network]
        title = f"{network} with ULSAM at {rows[0]['positions']}"
        pictures[f"latency_{name}_roofline_{network}.png"] = roofline_figure([_panel(row) for row in rows], title)
    if section["mechanism"]:
        rows = [{**row, "ms": row["latency"]["network"]["median_ms"]} for row in section["mechanism"]]
        title = f"{machine['name']}: time and roofline estimate of the mechanisms"
        pictures[f"latency_{name}_mechanisms.png"] = mechanisms_figure(
            [row for row in rows if row["mode"] == "eager"], title
        )
    return pictures


def _panel(row: Row) -> Panel:
    roof = row["layers"]["roof"]
    points = (
        Point(layer["layer"], layer["kind"], layer["intensity"], 2e3 * layer["macs"] / layer["median_ms"])
        for layer in row["layers"]["rows"]
        if layer.get("intensity") and layer["median_ms"] > 0
    )
    title = f"{row['device']}, batch {row['batch']}, {row['dtype']}"
    return Panel(title, roof["flops_per_second"], roof["bytes_per_second"], tuple(points))


def saving_point(row: Row, panel: str) -> dict[str, Any]:
    """What a placement saves, as `savings_figure` takes it."""
    paired = row["latency"]["ratio"]
    return {
        "network": f"{row['network']} x{row['width']:g}",
        "panel": panel,
        "macs_pct": row["macs_pct"],
        "time_pct": 100 * (paired["median"] - 1),
        "time_low_pct": 100 * (paired["low"] - 1),
        "time_high_pct": 100 * (paired["high"] - 1),
    }


def pictures_of(pictures: Mapping[str, bytes], part: str, caption: str) -> list[Block]:
    """The pictures with a part of their name, each with the caption."""
    return [Picture(name, caption) for name in pictures if part in name]


SAVINGS_CAPTION = (
    "Change of FLOPs and of time relative to the plain network; bars are 95 % intervals of the paired ratio."
)
PAIR_COLUMNS = (
    number("macs_pct", "MACs", signed_pct),
    milliseconds("baseline_ms", "plain, ms"),
    milliseconds("network_ms", "with ULSAM, ms"),
    ratio("median", "ratio"),
    ratio("low", "low"),
    ratio("high", "high"),
    words("verdict", "time"),
    number("runs", "pairs"),
)


def _placements(rows: Sequence[Row], name: str, pictures: Mapping[str, bytes]) -> list[Block]:
    found = Bullets(tuple(_placement_findings(rows)))
    parts: list[Block] = [found, *pictures_of(pictures, "savings", SAVINGS_CAPTION)]
    columns = (
        words("network", "network"),
        number("width", "width", str),
        words("positions", "positions"),
        number("groups", "g"),
        words("style", "style"),
        *PAIR_COLUMNS,
        _SLOWED,
    )
    for (mode, batch), group in grouped(rows, "mode", "batch").items():
        records = [{**row, **pair_numbers(row["latency"])} for row in group]
        parts += [Paragraph((Strong(f"{mode}, batch {batch}"),)), *_slowed_rows(group), _grid(columns, records)]
    return parts


_SLOWED = number("slowed", "slowed", lambda factor: "" if factor is None else f"x {factor:.2f}")


def _grid(columns: tuple[Column, ...], records: Sequence[Row]) -> Grid:
    """A table, with the column of slowed rows where there are any."""
    shown = tuple(column for column in columns if column is not _SLOWED or any(row["slowed"] for row in records))
    return Grid(Table(columns=shown, records=records))


def _slowed_rows(rows: Sequence[Row]) -> list[Block]:
    """What the column `slowed` says, where rows of a table were not measured on a machine in one state."""
    slowed = [row for row in rows if row["slowed"]]
    if not slowed:
        return []
    which = {f"{row['network']} x{row['width']:g}": row["slowed"] for row in sorted(slowed, key=itemgetter("slowed"))}
    most = ", ".join(f"{name} up to {factor:.2f} times" for name, factor in which.items())
    return [
        Paragraph(
            f"Slowed rows: {len(slowed)} of {len(rows)}. In these rows the plain network took over {100 * TOLERANCE:g} "
            f"% longer than in its fastest row ({most}), because the machine was in a slower state. Their times cannot "
            "be compared with those of other rows; their ratios compare networks that were slowed down together. "
            f"The next run of {WRITTEN_BY} measures these rows again."
        )
    ]


def pair_numbers(latency: Mapping[str, Any]) -> dict[str, Any]:
    """What the columns of a pair show."""
    return {
        "baseline_ms": latency["baseline"]["median_ms"],
        "network_ms": latency["network"]["median_ms"],
        "runs": latency["network"]["runs"],
        "verdict": latency["verdict"],
        **latency["ratio"],
    }


def _placement_findings(rows: Sequence[Row]) -> list[str]:
    findings = []
    for (mode, batch), group in grouped(rows, "mode", "batch").items():
        saving = [row for row in group if row["macs_pct"] < 0]
        if not saving:
            continue
        said = Counter(row["latency"]["verdict"] for row in saving)
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in said.most_common())
        sentence = f"{mode}, batch {batch}: {len(saving)} placements save MACs ({verdicts})."
        most = min(saving, key=lambda row: float(row["macs_pct"]))
        paired = format_ratio(**most["latency"]["ratio"])
        sentence += (
            f" The one that saves the most is {most['network']} x{most['width']:g} at {most['positions']} "
            f"(g = {most['groups']}, {most['style']}): {most['macs_pct']:+.2f}% MACs, time ratio {paired}."
        )
        findings.append(sentence)
    return findings


def _networks(rows: Sequence[Row], name: str, pictures: Mapping[str, bytes]) -> list[Block]:
    columns = (
        words("network", "network"),
        number("width", "width", str),
        words("mode", "mode"),
        number("batch", "batch"),
        number("macs", "MACs per image"),
        *_TIMES,
        _SLOWED,
    )
    records = [{**row, **row["latency"]["network"]} for row in rows]
    return [*_slowed_rows(rows), _grid(columns, records)]


_TIMES = (
    milliseconds("median_ms", "median ms"),
    milliseconds("p10_ms", "p10"),
    milliseconds("p90_ms", "p90"),
    number("runs", "runs"),
)


_PADDING = " These are 9 % of the products of a 3 x 3 convolution on 14 x 14, and 18 % with a dilation of 2."


def _roofline_paragraph(times_over: Mapping[str, float | None]) -> Paragraph:
    """What the estimate is, and what here was faster, from measured time over estimate by name."""
    beaten = [f"{name} ({over:.2f})" for name, over in times_over.items() if over is not None and round(over, 2) < 1]
    found = f" On this page, these are faster than their estimate: {', '.join(beaten)}." if beaten else ""
    return Paragraph(ROOFLINE_ESTIMATE + _PADDING + found)


def _layers(rows: Sequence[Row], name: str, pictures: Mapping[str, bytes]) -> list[Block]:
    over = {
        f"layer {layer['layer']} of {row['network']} at batch {row['batch']}": layer.get("over_least")
        for row in rows
        for layer in row["layers"]["rows"]
    }
    parts: list[Block] = [
        _roofline_paragraph(over),
        *pictures_of(pictures, "roofline", "The layers under the roofline; ULSAM in colour."),
    ]
    for row in rows:
        layers = row["layers"]
        sentence = (
            f": the layers add up to {format_ms(layers['sum_ms'])} ms, and the network without hooks takes "
            f"{format_ms(layers['total_ms'])} ms; hooks change its time by a factor of "
            f"{format_ratio(**layers['overhead'])}."
        )
        name_of_row = f"{row['network']} at {row['positions']}, batch {row['batch']}"
        parts += [Paragraph((Strong(name_of_row), sentence)), Grid(layer_table(layers["rows"]))]
    return parts


def _mechanisms(rows: Sequence[Row], name: str, pictures: Mapping[str, bytes]) -> list[Block]:
    columns = (
        words("mechanism", "mechanism"),
        words("mode", "mode"),
        number("batch", "batch"),
        number("macs", "MACs"),
        *_TIMES,
        milliseconds("least_ms", "roofline ms"),
        words("limit", "limit"),
        number("over_least", "measured / roofline", fixed(1)),
    )
    records = []
    for row in rows:
        times = row["latency"]["network"]
        records.append({**row, **times, "over_least": times["median_ms"] / row["least_ms"]})
    caption = "Measured time of each mechanism, and the roofline estimate of its counted cost."
    over = {f"{record['mechanism']} at batch {record['batch']}": record["over_least"] for record in records}
    return [
        _roofline_paragraph(over),
        *pictures_of(pictures, "mechanisms", caption),
        Grid(Table(columns=columns, records=records)),
    ]


def _ulsam(rows: Sequence[Row], name: str, pictures: Mapping[str, bytes]) -> list[Block]:
    columns = (
        number("groups", "g"),
        number("batch", "batch"),
        words("mode", "mode"),
        milliseconds("ms", "ULSAM, ms"),
        milliseconds("loop_ms", "loop, ms"),
        milliseconds("copy_ms", "copy, ms"),
        words("over_loop", "ULSAM / loop"),
        words("verdict", "compared with the loop"),
        words("over_copy", "ULSAM / copy"),
    )
    records = [
        {
            **row,
            "ms": row["model"]["median_ms"],
            "loop_ms": row["loop"]["median_ms"],
            "copy_ms": row["copy"]["median_ms"],
            "over_loop": _with_interval(row["over_loop"]),
            "over_copy": _with_interval(row["over_copy"]),
            "verdict": row["over_loop"]["verdict"],
        }
        for row in rows
    ]
    return [Bullets(tuple(_ulsam_findings(rows))), Grid(Table(columns=columns, records=records))]


def _ulsam_findings(rows: Sequence[Row]) -> list[str]:
    return [
        f"{mode}: {_span(group, 'over_loop')} times the time of the loop, {_span(group, 'over_copy')} times that of "
        "the copy."
        for (mode,), group in grouped(rows, "mode").items()
    ]


def _span(rows: Sequence[Row], ratio_name: str) -> str:
    medians = [row[ratio_name]["median"] for row in rows]
    return f"{min(medians):.2f} to {max(medians):.2f}"


def _checks(rows: Sequence[Row], name: str, pictures: Mapping[str, bytes]) -> list[Block]:
    columns = (
        words("network", "network"),
        number("batch", "batch"),
        words("timer", "timer"),
        milliseconds("ms", "this study, ms"),
        milliseconds("other_ms", "timer, ms"),
        number("apart_pct", "difference of medians", lambda value: f"{value:+.1f}%"),
        words("ratio", "this study / timer, round by round"),
        number("runs", "rounds"),
    )
    records = [
        {
            **row,
            "ms": row["model"]["median_ms"],
            "other_ms": row["other"]["median_ms"],
            "ratio": _with_interval(row["over_other"]),
            "runs": row["model"]["runs"],
            "apart_pct": 100 * (row["model"]["median_ms"] / row["other"]["median_ms"] - 1),
        }
        for row in rows
    ]
    return [Grid(Table(columns=columns, records=records))]


def _with_interval(paired: Mapping[str, float]) -> str:
    return format_ratio(paired["median"], paired["low"], paired["high"])


_SHOW = {
    "placement": _placements,
    "network": _networks,
    "layers": _layers,
    "mechanism": _mechanisms,
    "ulsam": _ulsam,
    "check": _checks,
}
