"""The report: every page and picture, from the program's own numbers at this moment."""

import json
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, TypeVar

from ulsam_cost.audit.evidence import Audit, PlacementTiming, field_audit, rows_of_table1
from ulsam_cost.errors import CostError
from ulsam_cost.report.document.html import html
from ulsam_cost.report.document.markdown import markdown
from ulsam_cost.report.document.model import Grid, Link, Page, Paragraph, Section, Text, bullets
from ulsam_cost.report.figures import costs as cost_figures
from ulsam_cost.report.figures import style
from ulsam_cost.report.formats import Table, milliseconds, number, ratio, signed_pct, words
from ulsam_cost.report.site import runtimes, study
from ulsam_cost.report.site.catalogue import catalogue_page, catalogue_pictures
from ulsam_cost.report.site.exam import exam_page
from ulsam_cost.report.site.field import field_page, field_pictures, field_table
from ulsam_cost.report.site.findings import cells_table, claims_table, source_title
from ulsam_cost.report.site.networks import conventions_page, layers_pictures, networks_page
from ulsam_cost.report.site.opening import opening_page, opening_pictures
from ulsam_cost.report.site.papers import paper_page
from ulsam_cost.report.site.study import MechanismTimes, mechanism_times
from ulsam_cost.report.site.table1 import OVERHEADS, table1_page
from ulsam_cost.report.site.times import published_pictures, published_times_page

HTML_PAGE = "index.html"
# The pages of timings differ from run to run: they are written, and not compared.
MEASURED_PAGES = ("measured.md", "measured.html")
# What other programs write into the same folder: their pages are linked where they stand.
OTHERS = ("counters*", "latency_*", "runtimes_*")
TIMED_RECORDS = "latency_*.json"
RUNTIME_RECORDS = "runtimes_*.json"
KINDS = (".md", ".png", ".html")
_MEASURED = Link("Measured: how the placements change the time on one device", MEASURED_PAGES[0])
Found = TypeVar("Found")
_INLINED = re.compile(rb"data:image/png;base64,([A-Za-z0-9+/=]+)")


def report_files(folder: Path, audit: Audit, *, measured: bool = False) -> dict[str, bytes]:
    """Every file of the report but the timings, by name, as it belongs into a folder.

    The page of timings is linked where it stands, or where it is `measured` now.
    """
    timings = (_MEASURED,) if measured or (folder / MEASURED_PAGES[0]).is_file() else ()
    others, times = (*_others(folder), *timings), mechanism_timings(folder)
    return render_report(audit, others, timed_findings(folder), times)


def render_report(
    audit: Audit,
    others: tuple[Link, ...] = (),
    timed: tuple[Text, ...] = (),
    mechanisms: tuple[MechanismTimes, ...] = (),
) -> dict[str, bytes]:
    """The files of the report on an audit; `timed` and `mechanisms` are what was found of times on some devices."""
    rows = rows_of_table1()
    pictures = {
        OVERHEADS: cost_figures.overheads_figure(rows, "Table 1: six attention modules on 512 x 14 x 14"),
        **opening_pictures(audit),
        **layers_pictures(),
        **field_pictures(),
        **catalogue_pictures(),
        **published_pictures(),
    }
    rest = [
        *(paper_page(source, audit.of(source)) for source in audit.sources),
        field_page(),
        table1_page(rows),
        catalogue_page(mechanisms),
        published_times_page(),
        exam_page(),
        networks_page(audit),
        conventions_page(audit),
        _every_number_page(audit),
    ]
    pages = [opening_page(audit, rows, timed, _contents(rest, others)), *rest]
    return {**{page.file: markdown(page) for page in pages}, **pictures, HTML_PAGE: html(pages, pictures)}


def _others(folder: Path) -> tuple[Link, ...]:
    found = sorted(path for pattern in OTHERS for path in folder.glob(f"{pattern}.md"))
    return tuple(Link(_title_of(path), path.name) for path in found)


def timed_findings(folder: Path) -> tuple[Text, ...]:
    """What the studies of the placements' times found, on each device whose record stands in the folder.

    Raises:
        CostError: for a file of that name that is not such a record.
    """
    in_torch: tuple[Text, ...] = _of_records(folder, TIMED_RECORDS, study.slower_placements, study.WRITTEN_BY)
    elsewhere: tuple[Text, ...] = _of_records(folder, RUNTIME_RECORDS, runtimes.runtime_findings, runtimes.WRITTEN_BY)
    return in_torch + elsewhere


def mechanism_timings(folder: Path) -> tuple[MechanismTimes, ...]:
    """The mechanisms' times on each device whose record stands in the folder.

    Raises:
        CostError: for a file of that name that is not such a record.
    """
    return _of_records(folder, TIMED_RECORDS, mechanism_times, study.WRITTEN_BY)


def _of_records(
    folder: Path, pattern: str, read: Callable[[Any, str], Found | None], written_by: str
) -> tuple[Found, ...]:
    found = []
    for path in sorted(folder.glob(pattern)):
        try:
            found.append(read(json.loads(path.read_text(encoding="utf-8")), f"{path.stem}.md"))
        except (ValueError, KeyError, TypeError):
            raise CostError(f"{path} is not a record of {written_by}: run it again, or move the file away") from None
    return tuple(each for each in found if each is not None)


def _title_of(path: Path) -> str:
    text = path.read_text(encoding="utf-8", errors="replace")
    heading = re.search(r"^# (.+)$", text, flags=re.MULTILINE)
    return heading[1].replace("\\", "") if heading else path.stem


def _contents(pages: Sequence[Page], others: Iterable[Link]) -> tuple[Text, ...]:
    links = [Link(page.title, page.file) for page in pages]
    return tuple((link,) for link in (*links, *others))


def _every_number_page(audit: Audit) -> Page:
    """All outcomes in three tables, to sort and to filter."""
    source = words("source", "source")
    claims = claims_table(audit.claims)
    return Page(
        "every_number.md",
        "Every printed number in one place",
        (
            Paragraph(
                "All cost cells of the papers and of the repositories, and all claims, with their outcomes. In the "
                "HTML report the tables can be sorted and filtered."
            ),
        ),
        (
            Section("Cells", (Grid(cells_table(audit.cells, leading=(source, words("table", "table")))),)),
            Section("Costs printed in repositories", (Grid(field_table(field_audit().cells, leading=(source,))),)),
            Section("Claims", (Grid(Table(columns=(source, *claims.columns), records=_with_source(audit, claims))),)),
        ),
    )


def _with_source(audit: Audit, claims: Table) -> list[dict[str, Any]]:
    return [
        {**record, "source": source_title(finding.subject.source)}
        for finding, record in zip(audit.claims, claims.records, strict=True)
    ]


def measured_files(measured: Sequence[PlacementTiming]) -> dict[str, bytes]:
    """The pages of timings, the only ones that differ from run to run."""
    page = measured_page(measured)
    return dict(
        zip(MEASURED_PAGES, (markdown(page), html([page], {}, home=Link("The report", HTML_PAGE))), strict=True)
    )


def measured_page(measured: Sequence[PlacementTiming]) -> Page:
    """The timings: one row per placement."""
    records = [
        {
            "network": each.name,
            "macs_pct": each.macs_pct,
            "baseline_ms": each.latency.baseline.median_ms,
            "network_ms": each.latency.network.median_ms,
            **each.latency.ratio.to_dict(),
        }
        for each in measured
    ]
    first = measured[0].latency
    where = "{device}, {dtype}, batch {batch}".format(**first.setting.to_dict(batch=first.batch, dtype=first.dtype))
    busy = [f"{each.name}: the machine was busy: {each.latency.busy}." for each in measured if each.latency.busy]
    columns = (
        words("network", "network"),
        number("macs_pct", "MACs", signed_pct),
        milliseconds("baseline_ms", "plain, ms"),
        milliseconds("network_ms", "with ULSAM, ms"),
        ratio("median", "time ratio"),
        ratio("low", "low"),
        ratio("high", "high"),
    )
    return Page(
        MEASURED_PAGES[0],
        "Measured: how the placements change the time",
        (
            Paragraph(
                f"Device: {where}. The plain network and the network "
                "with ULSAM run in turn; the ratio is the median of the pairs, with its 95 % interval. If the interval "
                "contains 1, the times do not differ significantly. These numbers were measured on the machine that "
                "wrote this page, and hold for it alone."
            ),
            *bullets(busy),
            Grid(Table(columns=columns, records=records)),
        ),
    )


def stale_files(folder: Path, wanted: dict[str, bytes]) -> list[str]:
    """The files in a folder that are missing, or not what would be written now; of the timings, one without the other.

    Pictures, those within a page too, are compared by their pixels, which may differ by a rounding from one
    processor to another.
    """
    stale = [name for name, content in wanted.items() if not _same_file(folder / name, content)]
    timings = [name for name in MEASURED_PAGES if (folder / name).is_file()]
    return stale + [name for name in MEASURED_PAGES if timings and name not in timings]


def left_files(folder: Path, wanted: Iterable[str]) -> list[str]:
    """The pages and pictures in a folder that no program would write into it now."""
    written = {*wanted, *MEASURED_PAGES}
    names = sorted(path.name for path in folder.glob("*") if path.suffix in KINDS)
    return [name for name in names if name not in written and not any(fnmatch(name, other) for other in OTHERS)]


def _same_file(path: Path, content: bytes) -> bool:
    if not path.is_file():
        return False
    found = path.read_bytes()
    if found == content:
        return True
    if path.suffix == ".png":
        return style.same_picture(found, content)
    return path.suffix == ".html" and _same_page(found, content)


def _same_page(found: bytes, wanted: bytes) -> bool:
    if _INLINED.sub(b"", found) != _INLINED.sub(b"", wanted):
        return False
    pictures = zip(_INLINED.findall(found), _INLINED.findall(wanted), strict=True)
    return all(one == other or style.same_picture(b64decode(one), b64decode(other)) for one, other in pictures)
