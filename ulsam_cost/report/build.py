"""The report: every page and picture, from the program's own numbers at this moment."""

from collections import Counter
from collections.abc import Callable
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from ulsam_cost.audit import REPRODUCED, Finding, Verdict, check_cell
from ulsam_cost.audit.readings import cell_spec, spec_cost
from ulsam_cost.cost import Cost
from ulsam_cost.formulas.networks import NetworkSpec, get_network, network_layers, network_spec, split_by_layer
from ulsam_cost.placement import EMPTY
from ulsam_cost.published import Cell, cost_cells
from ulsam_cost.report import figures, pages
from ulsam_cost.report.crosscheck import plain_number
from ulsam_cost.report.formats import Table, number, words
from ulsam_cost.report.profile import count_network, measure_profile
from ulsam_cost.report.table1 import TABLE1_NOTE, table1_letters, table1_records, table1_table
from ulsam_cost.units import format_pct

COMPARED = {"mv1": "8:1,9:1,11", "mv2": "13,14,16,17"}
MEASURED_PAGE = "measured.md"


def report_files() -> dict[str, bytes]:
    """Every file of the report but the timings, by name."""
    records = table1_records(table1_letters(512, 14, 14), with_exact=True, with_counted=True)
    findings = [check_cell(cell) for cell in cost_cells("ulsam")]
    files = {
        "README.md": _opening_page(records, findings),
        "table1.md": _table1_page(records, findings),
        "ulsam.md": _ulsam_page(findings),
        "overheads.png": figures.overheads_figure(records, "Table 1: six attention modules on 512 x 14 x 14"),
    }
    for network, positions in COMPARED.items():
        files[f"layers_{network}.png"] = _layers_picture(network, positions)
    return files


@lru_cache
def counted_cost(spec: NetworkSpec) -> Cost:
    """The counted cost of a network, once each."""
    return count_network(spec).cost


def _opening_page(records: list[dict[str, Any]], findings: list[Finding[Cell]]) -> bytes:
    return pages.page(
        "What the ULSAM paper's costs are, checked",
        "Every printed cost of the paper is held against a closed form (derived), a real PyTorch model (counted, "
        "operation by operation) and the device (measured). One MAC is one multiply-accumulate of a convolution, "
        'linear layer or matrix product; the paper\'s "FLOPs" are MACs.',
        pages.section("What was found", pages.bullets(_main_findings(records, findings))),
        pages.section(
            "Pages",
            pages.bullets(
                (
                    "[Table 1](table1.md): the overheads of six attention modules, printed, exact, counted",
                    "[Tables 6 to 12](ulsam.md): parameters and MACs of MobileNetV1 and V2 with ULSAM, cell by cell",
                    f"[Measured]({MEASURED_PAGE}): what the placements do to the time on one device",
                )
            ),
        ),
        pages.picture("overheads.png", "Costs of the six modules of Table 1, as printed and of the real module."),
    )


def _main_findings(records: list[dict[str, Any]], findings: list[Finding[Cell]]) -> list[str]:
    by_verdict = Counter(finding.verdict for finding in findings)
    reproduced = sum(by_verdict[verdict] for verdict in REPRODUCED)
    specs = {spec for finding in findings if (spec := cell_spec(finding.subject))}
    agreeing = sum(_same(spec_cost(spec), counted_cost(spec)) for spec in specs)
    off = [record for record in records if record["why"] != "the same"]
    worst = max(off, key=lambda record: abs(record["exact_macs_ratio"] - 1))
    items = [
        f"**{reproduced} of {len(findings)} printed cost cells of the paper are reproduced**: "
        + ", ".join(f"{by_verdict[verdict]} {verdict.words}" for verdict in Verdict if by_verdict[verdict])
        + ".",
        f"Derived and counted costs are equal to the last digit in {agreeing} of the tables' {len(specs)} networks.",
        f"{len(off)} of the {len(records)} formulas of Table 1 do not say what the module costs; the farthest is "
        f"{worst['mechanism']}, whose real module takes {worst['exact_macs_ratio']:.2f} times the printed MACs.",
    ]
    items += [_saving(network, positions) for network, positions in COMPARED.items()]
    rounded = [f for f in findings if f.computed and f.computed.reading == "paper's arithmetic"]
    items.append(
        f"{len(rounded)} cells come out only by the paper's own arithmetic, a printed and rounded baseline less the "
        f"exact change of the convolutions: MobileNetV2 has {spec_cost(network_spec('mv2')).params:,} parameters, "
        "the paper starts from 3.4M."
    )
    left = [f for f in findings if f.verdict is Verdict.UNEXPLAINED]
    if left:
        cells = ", ".join(f"{f.subject.table} ({f.subject.positions}) {f.subject.printed}" for f in left)
        items.append(
            f"Not reproduced: {cells}; another table of the paper prints a different number for the same network."
        )
    return items


def _saving(network: str, positions: str) -> str:
    plain, changed = spec_cost(network_spec(network)), spec_cost(network_spec(network, positions=positions))
    return (
        f"{get_network(network).title} with ULSAM at ({positions}) has {changed.macs:,} MACs "
        f"({format_pct(changed.macs - plain.macs, plain.macs)}) and {changed.params:,} parameters "
        f"({format_pct(changed.params - plain.params, plain.params)})."
    )


def _same(a: Cost, b: Cost) -> bool:
    return a.by_kind() == b.by_kind() and a.params == b.params


def _table1_page(records: list[dict[str, Any]], findings: list[Finding[Cell]]) -> bytes:
    cells = [finding for finding in findings if finding.subject.table == "Table 1"]
    formulas = table1_table([{k: v for k, v in r.items() if not k.startswith(("exact", "counted"))} for r in records])
    return pages.page(
        "Table 1: overheads of attention modules",
        "m = 512 channels, 14 x 14 positions, t = 64 maps, reduction r = 16, dilation 4.",
        pages.section("Printed formulas", pages.table(formulas), TABLE1_NOTE),
        pages.section("Printed, exact and counted", pages.table(table1_table(records))),
        pages.section(
            "Why they differ",
            pages.bullets(f"{record['mechanism']}: {record['why']}" for record in records),
            pages.picture("overheads.png", "Costs of the six modules, as printed and of the real module."),
        ),
        pages.section("Cell by cell", pages.table(_cells_table(cells))),
    )


def _ulsam_page(findings: list[Finding[Cell]]) -> bytes:
    tables: dict[str, list[Finding[Cell]]] = {}
    for finding in findings:
        if finding.subject.table != "Table 1":
            tables.setdefault(finding.subject.table, []).append(finding)
    pictures = [
        pages.picture(
            f"layers_{network}.png",
            f"{get_network(network).title}, layer by layer, plain and with ULSAM at ({positions}).",
        )
        for network, positions in COMPARED.items()
    ]
    found = [finding for group in tables.values() for finding in group]
    readings = Counter((finding.computed.reading, finding.verdict) for finding in found if finding.computed)
    summary = [f"{count} cells: {verdict.words} by {reading}" for (reading, verdict), count in readings.items()]
    return pages.page(
        "Tables 6 to 12: MobileNets with ULSAM",
        "`derived` is the closed form, `counted` the real model. `computed` is the number of the reading that comes "
        "nearest to the printed one. A cell is a match if that number rounds to the printed digits, truncated if it is "
        "cut off to them, last digit if it misses the last digit by one.",
        pages.bullets(summary),
        *pictures,
        *(pages.section(table, pages.table(_cells_table(group))) for table, group in tables.items()),
    )


def _cells_table(findings: list[Finding[Cell]]) -> Table:
    columns = [
        words("model", "model"),
        words("positions", "positions"),
        words("metric", "metric"),
        number("printed", "printed", str),
        number("derived", "derived"),
        number("counted", "counted"),
        number("computed", "computed"),
        words("reading", "reading"),
        words("verdict", "verdict"),
    ]
    records = [_cell_record(finding) for finding in findings]
    shown = tuple(column for column in columns if any(record.get(column.key) for record in records))
    return Table(columns=shown, records=records)


def _cell_record(finding: Finding[Cell]) -> dict[str, Any]:
    cell = finding.subject
    return {
        "model": cell.model,
        "positions": cell.positions,
        "metric": cell.metric,
        "printed": cell.printed,
        "derived": _own(cell, counted=False),
        "counted": _own(cell, counted=True),
        "computed": finding.computed and plain_number(finding.computed.number),
        "reading": finding.computed and finding.computed.reading,
        "verdict": finding.verdict.words,
    }


def _own(cell: Cell, *, counted: bool) -> int | None:
    spec = cell_spec(cell)
    if spec is None:
        return None
    value: int = getattr(counted_cost(spec) if counted else spec_cost(spec), cell.metric)
    return value


def _layers_picture(network: str, positions: str) -> bytes:
    plain, changed = (_layer_totals(network_spec(network, positions=p)) for p in (EMPTY, positions))
    title = f"{get_network(network).title}: where the cost stands"
    return figures.layers_figure(plain, changed, title, ("plain", f"with ULSAM at ({positions})"))


def _layer_totals(spec: NetworkSpec) -> dict[str, dict[str, int]]:
    split = split_by_layer(counted_cost(spec), network_layers(spec))
    return {layer: {"macs": cost.macs, "params": cost.params} for layer, cost in split.items()}


def measured_page(measured: dict[str, dict[str, Any]]) -> bytes:
    """The page of timings: a row a placement; the only page that differs from run to run."""
    records = [
        {
            "network": name,
            "macs_pct": item["macs_pct"],
            **{f"{model}_ms": item["latency"][model]["median_ms"] for model in ("baseline", "network")},
            **item["latency"]["ratio"],
        }
        for name, item in measured.items()
    ]
    latency = next(iter(measured.values()))["latency"]
    columns = (
        words("network", "network"),
        number("macs_pct", "MACs", lambda value: f"{value:+.2f}%"),
        number("baseline_ms", "plain, ms", lambda value: f"{value:.2f}"),
        number("network_ms", "with ULSAM, ms", lambda value: f"{value:.2f}"),
        number("median", "time ratio", lambda value: f"{value:.3f}"),
        number("low", "low", lambda value: f"{value:.3f}"),
        number("high", "high", lambda value: f"{value:.3f}"),
    )
    return pages.page(
        "Measured: what the placements do to the time",
        f"Device: {latency['device']}, {latency['dtype']}, batch {latency['batch']}. Plain network and network with "
        "ULSAM run in turn; the ratio is the median of the pairs, with its 95 % interval. Where the interval holds 1, "
        "no difference is shown. These numbers hold for the machine that wrote this page, and are not checked.",
        pages.table(Table(columns=columns, records=records)),
    )


def measure_placements(*, device: str, repeats: int, progress: Callable[[float], None]) -> dict[str, dict[str, Any]]:
    """Latency of each compared placement against its plain network; `progress` hears the share that is done."""
    measured = {}
    for index, (network, positions) in enumerate(COMPARED.items()):
        spec = network_spec(network, positions=positions)
        plain, changed = spec_cost(spec.plain()), spec_cost(spec)
        latency = measure_profile(spec, device=device, repeats=repeats, progress=partial(_part, progress, index))
        name = f"{get_network(network).title} ({positions})"
        measured[name] = {"macs_pct": 100 * (changed.macs - plain.macs) / plain.macs, "latency": latency}
    return measured


def _part(progress: Callable[[float], None], index: int, share: float) -> None:
    progress((index + share) / len(COMPARED))


def stale_files(folder: Path, wanted: dict[str, bytes]) -> list[str]:
    """The files in a folder that are missing, or not what would be written now.

    Pictures are compared by their pixels, which may differ by a rounding from one processor to another.
    """
    return [name for name, content in wanted.items() if not _same_file(folder / name, content)]


def _same_file(path: Path, content: bytes) -> bool:
    if not path.is_file():
        return False
    found = path.read_bytes()
    return found == content or (path.suffix == ".png" and figures.same_picture(found, content))
