"""The page of the study: what the placements and the mechanisms do to the time in each runtime."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from analyses.latency.figures import savings_figure
from analyses.latency.page import PAIR_COLUMNS, SAVINGS_CAPTION, pair_numbers, pictures_of, saving_point
from analyses.runtimes.figures import mechanisms_figure
from ulsam_cost.measuring.runtimes.check import TOLERANCES
from ulsam_cost.report.document.markdown import markdown
from ulsam_cost.report.document.model import Block, Bullets, Grid, Page, Paragraph, Section, Strong
from ulsam_cost.report.formats import Table, known, mebibytes, milliseconds, number, words
from ulsam_cost.report.site.runtimes import HEADLINES, WRITTEN_BY, headline, rows_of
from ulsam_cost.report.site.study import grouped
from ulsam_cost.report.views.measured import machine_sentence

NAME = "runtimes_cpu"
TOLERANCE_SENTENCE = (
    "Before a model is timed, its outputs are compared with PyTorch's: in float32 they may differ by "
    f"{100 * TOLERANCES['float32']:g} % of the largest. int8 is calibrated with random data, so that its times mean "
    "something and its outputs do not."
)
Row = Mapping[str, Any]


def runtime_files(record: Mapping[str, Any]) -> dict[str, bytes]:
    """The page and its pictures, from what has been measured so far."""
    rows = rows_of(record)
    measured = [row for row in rows if "error" not in row]
    placements = [row for row in measured if row["section"] == "placement"]
    mechanisms = [row for row in measured if row["section"] == "mechanism"]
    pictures = {**_savings(placements), **_mechanism_pictures(mechanisms)}
    shown = {
        "Does what saves FLOPs save time?": _placements(placements, pictures),
        "The plain networks, and what an export makes of them": _plain(placements),
        "Each mechanism on 512 x 14 x 14": _mechanisms(mechanisms, pictures),
        "Not measured": _errors(rows),
    }
    sections = tuple(Section(title, tuple(blocks)) for title, blocks in shown.items() if blocks)
    page = Page(f"{NAME}.md", "Time where networks are deployed", _opening(record, rows, measured), sections)
    return {page.file: markdown(page, WRITTEN_BY), **pictures}


def _opening(record: Mapping[str, Any], rows: Sequence[Row], measured: Sequence[Row]) -> tuple[Block, ...]:
    versions = ", ".join(f"{each['title']} {each['version']}" for each in record["runtimes"].values())
    said = (
        f"{len(measured)} of {record['tasks']} measurements, one image at a time. Runtimes: {versions}. The network "
        "and the plain one are exported to the runtime, and run in turn in a process of its own; the ratio is the "
        f"median of the pairs, with its 95 % interval. {TOLERANCE_SENTENCE} These numbers hold for the machine and the "
        "minutes in which they were taken."
    )
    opening: list[Block] = [Paragraph(f"{machine_sentence(record['machine'])}."), Paragraph(said)]
    if busy := [row for row in measured if row["latency"]["busy"]]:
        sentence = f"{len(busy)} of these were taken on a busy machine, and allow no verdict: the next run of "
        opening.append(Paragraph(f"{sentence}{WRITTEN_BY} takes them again."))
    return tuple(opening)


def _panel(row: Row) -> str:
    return f"{row['title']}, {row['dtype']}"


def _savings(rows: Sequence[Row]) -> dict[str, bytes]:
    pictures = {}
    for (dtype, threads), group in sorted(grouped(rows, "dtype", "threads").items()):
        points = [saving_point(row, _panel(row)) for row in group]
        title = f"{dtype}, {_threads(threads)}: FLOPs saved and time saved"
        pictures[f"{NAME}_savings_{dtype}_{threads}.png"] = savings_figure(points, title)
    return pictures


def _threads(threads: int) -> str:
    return f"{threads} thread{'s'[: threads != 1]}"


def _mechanism_pictures(rows: Sequence[Row]) -> dict[str, bytes]:
    pictures = {}
    for (threads,), group in grouped(rows, "threads").items():
        bars = [
            {"mechanism": row["mechanism"], "panel": _panel(row).replace(", ", "\n"), "ms": _network_ms(row)}
            for row in group
        ]
        title = f"Time of each mechanism on 512 x 14 x 14, {_threads(threads)}"
        pictures[f"{NAME}_mechanisms_{threads}.png"] = mechanisms_figure(bars, title)
    return pictures


def _network_ms(row: Row) -> float:
    median: float = row["latency"]["network"]["median_ms"]
    return median


def _placements(rows: Sequence[Row], pictures: Mapping[str, bytes]) -> list[Block]:
    if not rows:
        return []
    columns = (
        words("network", "network"),
        number("width", "width", str),
        words("positions", "positions"),
        number("groups", "g"),
        *PAIR_COLUMNS,
    )
    found = [said for wanted in HEADLINES if (said := headline(rows, wanted))]
    blocks: list[Block] = [Bullets((*found, *_verdicts(rows))), *pictures_of(pictures, "savings", SAVINGS_CAPTION)]
    for (title, dtype, threads), group in grouped(rows, "title", "dtype", "threads").items():
        ordered = sorted(group, key=lambda row: (row["network"], -row["width"], row["positions"], row["groups"]))
        records = [{**row, **pair_numbers(row["latency"])} for row in ordered]
        blocks += [
            Paragraph((Strong(f"{title}, {dtype}, {_threads(threads)}"),)),
            Grid(Table(columns=columns, records=records)),
        ]
    return blocks


def _verdicts(rows: Sequence[Row]) -> list[str]:
    """How many of the placements that save MACs save time, by where they ran."""
    said = []
    for (title, dtype, threads), group in grouped(rows, "title", "dtype", "threads").items():
        saving = [row["latency"]["verdict"] for row in group if row["macs_pct"] < 0]
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in Counter(saving).most_common())
        if saving:
            said.append(
                f"{title}, {dtype}, {_threads(threads)}: placements that save MACs: {len(saving)} ({verdicts})."
            )
    return said


def _plain(rows: Sequence[Row]) -> list[Block]:
    """Each plain network and each runtime: its time, its size, and the MACs of its graph."""
    columns = (
        words("network", "network"),
        words("where", "runtime"),
        number("threads", "threads"),
        milliseconds("ms", "ms"),
        mebibytes("file_bytes", "files, MiB"),
        number("macs", "MACs of the files"),
        number("counted_macs", "MACs counted"),
        number("difference", "outputs differ by", known("{:.1e}".format)),
    )
    records = []
    for (network, width, _, _, threads), group in sorted(
        grouped(rows, "network", "width", "dtype", "runtime", "threads").items(), key=str
    ):
        fastest = min(group, key=lambda row: float(row["latency"]["baseline"]["median_ms"]))
        files = (fastest["latency"]["exported"] or {"baseline": {}})["baseline"]
        records.append(
            {
                **{key: files.get(key) for key in ("file_bytes", "macs", "counted_macs")},
                "network": f"{network} x{width:g}",
                "where": _panel(fastest),
                "threads": threads,
                "ms": fastest["latency"]["baseline"]["median_ms"],
                "difference": files["agreement"]["difference"] if files else None,
            }
        )
    said = (
        "The times are those of the fastest row of each. PyTorch runs the model as it is, and has no files. The MACs "
        "of the files are those of the exported graph, in which batch norms are folded into convolutions."
    )
    return [Paragraph(said), Grid(Table(columns=columns, records=records))] if records else []


def _mechanisms(rows: Sequence[Row], pictures: Mapping[str, bytes]) -> list[Block]:
    """A row a mechanism, a column a runtime with its number format, for each number of threads."""
    blocks = pictures_of(
        pictures, "mechanisms", "Median time of one call of each mechanism by itself; shorter is faster."
    )
    for (threads,), group in grouped(rows, "threads").items():
        places = dict.fromkeys(map(_panel, group))
        records: dict[str, dict[str, Any]] = {}
        for row in group:
            record = records.setdefault(row["mechanism"], {"mechanism": row["mechanism"], **places})
            record[_panel(row)] = _network_ms(row)
        columns = (words("mechanism", "mechanism"), *(milliseconds(place, f"{place}, ms") for place in places))
        table = Table(columns=columns, records=list(records.values()))
        blocks += [Paragraph((Strong(_threads(threads)),)), Grid(table)]
    return blocks


def _errors(rows: Sequence[Row]) -> list[Block]:
    """Each sentence once, with what it was said of."""
    models: defaultdict[str, dict[str, None]] = defaultdict(dict)
    for row in rows:
        if "error" in row:
            name = (
                row.get("mechanism") or f"{row['network']} x{row['width']:g} at {row['positions']}, g = {row['groups']}"
            )
            models[f"{_panel(row)}: {row['error']}"][name] = None
    said = [f"{', '.join(names)}: {error}" for error, names in models.items()]
    return [Bullets(tuple(said))] if said else []
