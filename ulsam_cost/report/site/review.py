"""The report of a review: one page as Markdown and as HTML, its pictures, and the numbers behind it."""

from collections.abc import Mapping
from typing import Any

from ulsam_cost.plain_text import visible_line
from ulsam_cost.report.document.html import html
from ulsam_cost.report.document.markdown import markdown
from ulsam_cost.report.document.model import CONTENTS, Block, Grid, Page, Paragraph, Picture, Section, bullets
from ulsam_cost.report.figures import review as figures
from ulsam_cost.report.formats import to_json
from ulsam_cost.report.views import review as view
from ulsam_cost.reviewing.check import COSTS_FILE
from ulsam_cost.reviewing.findings import findings
from ulsam_cost.reviewing.review import Review

HTML_PAGE = "index.html"
BUDGET, LAYERS, TRADE_OFFS, RATIOS = "budget.png", "layers.png", "trade_offs.png", "time.png"
WRITTEN_BY = "ulsam-cost review"


def review_files(review: Review) -> dict[str, bytes]:
    """Every file of the report, by name."""
    drawn = {
        BUDGET: figures.budget_figure(review),
        LAYERS: figures.layers_figure(review),
        TRADE_OFFS: figures.trade_offs_figure(review),
        RATIOS: figures.ratios_figure(review),
    }
    pictures = {name: content for name, content in drawn.items() if content is not None}
    page = review_page(review, pictures)
    return {
        CONTENTS: markdown(page, WRITTEN_BY),
        HTML_PAGE: html([page], pictures, written_by=WRITTEN_BY),
        COSTS_FILE: f"{to_json(review_record(review))}\n".encode(),
        **pictures,
    }


def left_files(files: Mapping[str, bytes]) -> set[str]:
    """The pictures that the report of another run may have, and this one has not."""
    return {TRADE_OFFS, RATIOS} - files.keys()


def review_record(review: Review) -> dict[str, Any]:
    """The JSON: the review, and what was found in sentences."""
    return review.to_dict() | {"findings": list(findings(review))}


def review_page(review: Review, pictures: Mapping[str, bytes]) -> Page:
    """The page: the verdict first, then where it comes from."""
    sections = (
        Section("Candidates", (Grid(view.candidates_table(review)), *_accuracy_note(review)), open=True),
        *_budget(review),
        _layers(review),
        *_trade_offs(pictures),
        *_times(review),
        _conventions(review),
        _uncounted(review),
        Section("Machine and versions", bullets(_machine(review))),
    )
    picture = Picture(BUDGET, "What the baseline and the candidates cost, and the limits of the budget.")
    verdict, *others = findings(review)
    return Page(CONTENTS, review.title, bullets(others), sections, verdict=(verdict,), picture=picture)


def _accuracy_note(review: Review) -> tuple[Block, ...]:
    if all(each.costs.accuracy is None for each in review.candidates):
        return ()
    return (Paragraph("Accuracies are those that the design file gives; nothing was trained here."),)


def _budget(review: Review) -> tuple[Section, ...]:
    if review.verdict is None:
        return ()
    return (Section("Budget", (Grid(view.budget_table(review)),)),)


def _layers(review: Review) -> Section:
    differences = view.layers_table(review)
    return Section(
        "Cost by layer",
        (
            Picture(LAYERS, "The cost of the baseline by layer, and the difference of each candidate from it."),
            Paragraph(
                "The differences from the baseline; the rows of a candidate add up to its total difference. The row of "
                "an inserted or removed module includes its submodules. Operations are arithmetic operations, as the "
                "convention strict counts them."
            ),
            Grid(differences) if differences.records else Paragraph("No layer differs."),
            Paragraph("The baseline:"),
            Grid(view.baseline_layers_table(review)),
        ),
    )


def _trade_offs(pictures: Mapping[str, bytes]) -> tuple[Section, ...]:
    if TRADE_OFFS not in pictures:
        return ()
    caption = "MACs against time and accuracy. The line is the Pareto front: no model has fewer MACs and is better."
    return (Section("MACs against time and accuracy", (Picture(TRADE_OFFS, caption),)),)


def _times(review: Review) -> tuple[Section, ...]:
    if not view.timed_rows(review):
        return (Section("Time", (Paragraph("No time was measured."),)),)
    caption = (
        "Time of each candidate relative to the baseline. If the interval contains 1, the times do not differ "
        "significantly."
    )
    note = (
        "Candidate and baseline ran in turn; the ratio is the median of the pairs. Intervals are 95 % intervals. The "
        "times hold for the machine named below."
    )
    blocks = (Picture(RATIOS, caption), Paragraph(note), Grid(view.times_table(review)), *_exported(review))
    return (Section("Time", blocks),)


def _exported(review: Review) -> tuple[Block, ...]:
    """The files that other runtimes than PyTorch ran, where any did."""
    table = view.exported_table(review)
    if not table.records:
        return ()
    said = "The exported files that ran; the baseline's numbers are those measured beside the first candidate."
    return (Paragraph(said), Grid(table), *bullets(view.exported_notes(review)))


def _conventions(review: Review) -> Section:
    return Section(
        "What other tools would report",
        (Grid(view.conventions_table(review)), *bullets(view.convention_sentences(review))),
    )


def _uncounted(review: Review) -> Section:
    table = view.uncounted_table(review)
    if not table.records:
        return Section("What was not counted", (Paragraph("Every operation has a rule: nothing is left out."),))
    note = "Operations without a rule. Those that look like products make MACs and activations lower bounds."
    return Section("What was not counted", (Paragraph(note), Grid(table)))


def _machine(review: Review) -> list[str]:
    known = {**review.versions, **{key: value for key, value in (review.machine or {}).items() if value is not None}}
    said = [f"{key}: {visible_line(str(value))}" for key, value in known.items()]
    return said if review.machine else [*said, "No time was measured, and the counts do not depend on the machine."]
