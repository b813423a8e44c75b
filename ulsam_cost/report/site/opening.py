"""The opening page: what was found, in sentences that are computed."""

from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

from ulsam_cost.audit.evidence import COMPARED, Audit, network_cost, other_outcomes, trained_networks
from ulsam_cost.audit.outcomes import Outcome, count_outcomes, outcome_of
from ulsam_cost.conventions import CONVENTIONS
from ulsam_cost.counting.overheads import Table1Row
from ulsam_cost.formulas.networks import get_network, network_spec
from ulsam_cost.report.document.model import Block, Grid, Link, Page, Paragraph, Picture, Section, Strong, Text, bullets
from ulsam_cost.report.figures import audit as figures_audit
from ulsam_cost.report.figures.audit import Dot
from ulsam_cost.report.site.field import field_sentence
from ulsam_cost.report.site.findings import (
    by_reason,
    metric_words,
    names_of,
    outcome_phrases,
    outcomes_sentence,
    printed_words,
    source_title,
    summary_table,
)
from ulsam_cost.report.site.networks import incomplete_sentences
from ulsam_cost.report.site.papers import unexplained_items
from ulsam_cost.units import format_pct

AGREEMENT, VERDICTS, ACCURACY = "agreement.png", "verdicts.png", "accuracy.png"


def opening_page(audit: Audit, rows: Sequence[Table1Row], timed: tuple[Text, ...], contents: tuple[Text, ...]) -> Page:
    """The page that a reader opens first: findings, pictures, and where the rest stands."""
    verdict, findings = _verdict(audit, timed), _findings(audit, rows)
    return Page(
        "README.md",
        "The papers' costs, checked",
        (
            Paragraph(
                f"This report checks every cost printed in {len(audit.sources)} documents against a closed form "
                "(derived), a real PyTorch model (counted, operation by operation) and the papers' other numbers. A "
                "MAC is one multiply-accumulate of a convolution, linear layer or matrix product. What the papers call "
                "FLOPs are MACs; some papers add other operations."
            ),
        ),
        (
            Section("Other findings", bullets(findings), open=True),
            *_contradictions(audit),
            *_unexplained(audit),
            _outcomes(audit),
            Section("Printed and computed costs", (_agreement_picture(audit),)),
            *_accuracy(),
            Section("Pages", bullets(contents)),
        ),
        verdict=verdict,
        picture=Picture(
            VERDICTS, f"Outcomes of {len(audit.cells)} cost cells and {len(audit.claims)} claims, by source."
        ),
    )


def _verdict(audit: Audit, timed: tuple[Text, ...]) -> tuple[Text, ...]:
    """What most readers want to know."""
    return (
        outcomes_sentence(audit.cells, "printed cost cells"),
        _agreement_sentence(audit),
        *incomplete_sentences(audit),
        *timed,
    )


def _findings(audit: Audit, rows: Sequence[Table1Row]) -> list[Text]:
    return [
        outcomes_sentence(audit.claims, "numbers in the papers' text"),
        field_sentence(),
        _table1_sentence(rows),
        *(_saving(network, positions) for network, positions in COMPARED.items()),
        *_arithmetic_sentence(audit),
        *_last_digit_sentence(audit),
        *_convention_sentences(audit),
    ]


def _agreement_sentence(audit: Audit) -> str:
    specs = audit.networks
    agreeing = sum(network_cost(spec).agrees for spec in specs)
    return f"Derived and counted costs are exactly equal in {agreeing} of the {len(specs)} networks in the tables."


def _table1_sentence(rows: Sequence[Table1Row]) -> Text:
    ratios = {
        row.mechanism.name: row.derived.macs_ratio
        for row in rows
        if row.why != "the same" and row.derived is not None and row.derived.macs_ratio is not None
    }
    worst = max(ratios, key=lambda name: abs(ratios[name] - 1))
    return (
        f"{len(ratios)} of the {len(rows)} formulas of ",
        Link("Table 1", "table1.md"),
        f" do not give the cost of the module; that of {worst} is farthest off: the real module has "
        f"{ratios[worst]:.2f} times the printed MACs.",
    )


def _saving(network: str, positions: str) -> str:
    spec = network_spec(network, positions=positions)
    plain, changed = network_cost(spec.plain()).derived, network_cost(spec).derived
    return (
        f"{get_network(network).title} with ULSAM at ({positions}) has {changed.macs:,} MACs "
        f"({format_pct(changed.macs - plain.macs, plain.macs)}) and {changed.params:,} parameters "
        f"({format_pct(changed.params - plain.params, plain.params)})."
    )


def _arithmetic_sentence(audit: Audit) -> list[Text]:
    own = [finding for finding in audit.cells if outcome_of(finding) is Outcome.PAPERS_ARITHMETIC]
    if not own:
        return []
    ratios = sum(finding.subject.metric.endswith("_norm") for finding in own)
    mv2 = network_cost(network_spec("mv2")).derived
    others = Counter(outcome for finding in own for outcome in other_outcomes(finding))
    return [
        f"{len(own)} cells follow from the papers' own rounded numbers: in {len(own) - ratios} the exact "
        f"change is added to a printed, rounded baseline (MobileNetV2 has "
        f"{mv2.params:,} parameters, but the ULSAM paper starts from 3.4M), and {ratios} are "
        "ratios of printed numbers."
        + (f" Some can also be obtained in another way: {outcome_phrases(others)}." if others else "")
    ]


def _last_digit_sentence(audit: Audit) -> list[Text]:
    """Which numbers are off by one in the last digit: however near, they are not reproduced."""
    own = [finding for finding in audit.cells if outcome_of(finding) is Outcome.LAST_DIGIT and finding.computed]
    if not own:
        return []
    cases = Counter((printed_words(f.subject), f.subject.value, f.computed.number) for f in own if f.computed)
    said = (
        f"{count} print{'s' if count == 1 else ''} {printed} for {number.numerator:,} "
        f"({format_pct(float(Fraction(value) - number), float(number))})"
        for (printed, value, number), count in cases.items()
    )
    return [f"{len(own)} cells are off by one in the last digit and do not count as reproduced: {', '.join(said)}."]


def _convention_sentences(audit: Audit) -> list[Text]:
    """Where a paper counts other things than it says: cells that need a convention with extras."""
    own = [finding for finding in audit.cells if outcome_of(finding) is Outcome.COUNTING_RULE]
    used = Counter((finding.subject.source, finding.computed.convention) for finding in own if finding.computed)
    return [
        (
            f"{count} cells of {source_title(source)} need the counting rule ",
            Link(name, "conventions.md"),
            f": {CONVENTIONS[name].counts}.",
        )
        for (source, name), count in used.items()
    ]


def _contradictions(audit: Audit) -> tuple[Section, ...]:
    items: list[Text] = []
    groups = by_reason((*audit.cells, *audit.claims)).items()
    for reason, group in sorted(groups, key=lambda item: audit.sources.index(item[1][0].subject.source)):
        source = group[0].subject.source
        printed = ", ".join(dict.fromkeys(printed_words(finding.subject) for finding in group))
        numbers = names_of(group)
        link = Link(source_title(source), f"{source}.md#what-does-not-add-up")
        items.append((link, f", {numbers} (", Strong(printed), f"): {reason}"))
    if not items:
        return ()
    counts = count_outcomes((*audit.cells, *audit.claims))
    opening = Paragraph(
        f"{counts[Outcome.EXPLAINED]} printed numbers cannot be reproduced. Each has an explanation, whose arithmetic "
        "is evaluated on every run. Some numbers that are off by one in the last digit are explained, too."
    )
    return (Section("Where the papers do not add up", (opening, *bullets(items))),)


def _unexplained(audit: Audit) -> tuple[Section, ...]:
    items = unexplained_items(audit.cells)
    return (Section("Unexplained numbers", bullets(items)),) if items else ()


def _outcomes(audit: Audit) -> Section:
    """Each number in one row and one column, so that both add up."""
    return Section(
        "Outcomes by source",
        (
            Paragraph(f"The {len(audit.cells)} cost cells in the tables:"),
            Grid(summary_table(audit.cells)),
            Paragraph(f"The {len(audit.claims)} numbers in the text:"),
            Grid(summary_table(audit.claims)),
        ),
    )


def _agreement_picture(audit: Audit) -> Block:
    return Picture(
        AGREEMENT,
        f"Top: each of the {len(audit.cells)} printed cost cells against the computed number, on logarithmic axes; on "
        "the diagonal the two are equal. Bottom: their difference in units of the last printed digit; in the grey band "
        "the computed number rounds to the printed one. Colour and shape show the outcome.",
    )


def _accuracy() -> tuple[Section, ...]:
    """Nothing where no network that a paper trained is counted whole."""
    if not trained_networks():
        return ()
    picture = Picture(
        ACCURACY,
        f"ImageNet-1K top-1 accuracy against counted MACs and parameters ({len(trained_networks())} accuracies, as the "
        "papers print them; nothing was trained here). The line is the Pareto front. The papers train differently, so "
        "only networks from the same paper can be compared.",
    )
    return (Section("Accuracy and cost", (picture,)),)


def opening_pictures(audit: Audit) -> dict[str, bytes]:
    """The pictures of the opening page."""
    counts = {
        what: {source_title(source): count_outcomes(getattr(audit.of(source), which)) for source in audit.sources}
        for what, which in (("cost cells", "cells"), ("claims in the text", "claims"))
    }
    trained = trained_networks()
    pictures = {
        VERDICTS: figures_audit.outcomes_figure(counts, "Outcomes by source"),
        AGREEMENT: figures_audit.agreement_figure(audit_dots(audit), "Printed and computed costs"),
    }
    if trained:
        pictures[ACCURACY] = figures_audit.accuracy_figure(trained, "Printed accuracy against counted cost")
    return pictures


def audit_dots(audit: Audit) -> list[Dot]:
    """A dot a cost cell."""
    return [
        Dot(
            quantity="ratios to ULSAM"
            if finding.subject.metric.endswith("_norm")
            else metric_words(finding.subject.metric),
            printed=float(finding.subject.value),
            resolution=float(finding.subject.resolution),
            computed=None if finding.computed is None else float(finding.computed.number),
            outcome=outcome_of(finding),
        )
        for finding in audit.cells
    ]
