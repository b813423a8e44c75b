"""What gives each printed number: classes that exclude each other and add up, the first of them the network itself."""

import csv
import io
from collections import Counter
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import pytest
from click.testing import CliRunner

from ulsam_cost.audit import READINGS, Computed, Finding, Verdict, check_cell
from ulsam_cost.audit.claims import check_claim, claim_expressions
from ulsam_cost.audit.evidence import run_audit
from ulsam_cost.audit.outcomes import JUDGED, Outcome, count_outcomes, outcome_of
from ulsam_cost.audit.readings import cell_spec, spec_cost
from ulsam_cost.cli import main
from ulsam_cost.published import cost_cells, published_claims
from ulsam_cost.report.formats import render
from ulsam_cost.report.site import opening as build_opening
from ulsam_cost.report.site.findings import outcomes_sentence, summary_table
from ulsam_cost.report.views.crosscheck import summary_table as terminal_summary

EXAMPLE = str(Path(__file__).parents[1] / "analyses" / "mobilenet_cells.csv")
FINDINGS = [check_cell(cell) for cell in cost_cells()]
CLAIMS = [check_claim(claim) for claim in published_claims()]
PRINTED = list(csv.DictReader(io.StringIO((files("ulsam_cost.published") / "cells.csv").read_text(encoding="utf-8"))))


def finding(verdict, reading, convention="macs"):
    computed = Computed(reading=reading, convention=convention, number=Fraction(1))
    return Finding(subject=FINDINGS[0].subject, verdict=verdict, computed=computed)


def found(source, table, row, metric, **more):
    wanted = {"source": source, "table": table, "row": row, "metric": metric, **more}
    (line,) = [printed for printed in PRINTED if wanted.items() <= printed.items()]
    cells = [f for f in FINDINGS if all(getattr(f.subject, name) == value for name, value in wanted.items())]
    assert len(cells) == 1
    return line["printed"], outcome_of(cells[0])


def test_every_cell_and_every_claim_is_in_one_class_and_the_classes_add_up():
    cells, claims = count_outcomes(FINDINGS), count_outcomes(CLAIMS)
    assert sum(cells[outcome] for outcome in JUDGED) == cells.total() == len(FINDINGS) == 350
    assert sum(claims[outcome] for outcome in JUDGED) == claims.total() == len(CLAIMS) == 66
    assert len(set(Outcome)) == len({outcome.words for outcome in Outcome}) == 10


def test_the_first_class_is_the_cells_that_the_networks_own_cost_rounds_to_and_no_others():
    """Rounded and cut off by decimal arithmetic, from the text of cells.csv."""
    for subject, outcome in ((f.subject, outcome_of(f)) for f in FINDINGS):
        spec = cell_spec(subject)
        cost = spec and getattr(spec_cost(spec), subject.metric)
        unit = subject.value / Decimal(subject.printed.rstrip("KMG")) if spec else Decimal(1)
        digits = Decimal(subject.printed.rstrip("KMG"))
        rounded, cut = (
            (Decimal(cost) / unit).quantize(digits, rounding=way) if spec else None
            for way in (ROUND_HALF_UP, ROUND_DOWN)
        )
        assert (outcome is Outcome.NETWORK) is (rounded == digits), subject
        if outcome is Outcome.NETWORK_TRUNCATED:
            assert rounded != cut == digits


def test_a_few_cells_by_hand():
    """MobileNetV1 has 568,740,352 MACs, MobileNetV2 300,774,272 and 3,504,872 parameters, as anybody counts them."""
    assert found("ulsam", "Table 7", "1", "macs") == ("569M", Outcome.NETWORK)
    assert found("ulsam", "Table 8", "1", "macs") == ("300M", Outcome.NETWORK_TRUNCATED)
    assert found("ulsam", "Table 8", "1", "params") == ("3.4M", Outcome.LAST_DIGIT)
    # 2 m t parameters of A2-Net for m = 512 and t = m / 8, in thousands
    assert round(2 * 512 * 512 // 8 / 1000) == 66
    assert found("ulsam", "Table 1", "a2", "params") == ("66", Outcome.PRINTED_FORMULA)
    # SE's printed 33 thousand over ULSAM's printed 1 thousand; the formulas' ratio is 2 m m / 16 over 2 m = 32
    assert found("ulsam", "Table 1", "se", "params_norm") == ("33", Outcome.PAPERS_ARITHMETIC)
    # 300M less the 1 x 1, 3 x 3 and 1 x 1 convolutions of four blocks, plus 2 m h w for each ULSAM
    removed = 2 * 14 * 14 * (96 * 576 + 576 * 9 + 576 * 96) + 2 * 7 * 7 * (160 * 960 + 960 * 9 + 960 * 160)
    assert round((300_000_000 - removed + 2 * (2 * 96 * 14 * 14 + 2 * 160 * 7 * 7)) / 1e6, 2) == 223.77
    assert found("ulsam", "Table 8", "4", "macs") == ("223.77M", Outcome.PAPERS_ARITHMETIC)
    assert found("ulsam", "Table 10", "7", "macs") == ("224.16M", Outcome.EXPLAINED)
    # 4.122 G is 4,089,184,256 MACs of ResNet50 with what the DCA paper counts besides
    assert found("dca", "Table 1", "1", "macs", connection="") == ("4.122", Outcome.COUNTING_RULE)


def test_cells_that_miss_the_last_digit_do_not_come_out():
    missed = Counter((f.subject.printed, f.computed.number) for f in FINDINGS if outcome_of(f) is Outcome.LAST_DIGIT)
    assert missed[("3.4M", 3_504_872)] == 8
    assert missed.total() == 9


@pytest.mark.parametrize(
    ("verdict", "reading", "convention", "outcome"),
    [
        (Verdict.MATCH, "network", "macs", Outcome.NETWORK),
        (Verdict.MATCH, "real network", "macs", Outcome.NETWORK),
        (Verdict.TRUNCATED, "network", "macs", Outcome.NETWORK_TRUNCATED),
        (Verdict.TRUNCATED, "real network", "macs", Outcome.NETWORK_TRUNCATED),
        (Verdict.MATCH, "printed formula", "macs", Outcome.PRINTED_FORMULA),
        (Verdict.TRUNCATED, "printed formula", "macs", Outcome.PRINTED_FORMULA),
        *((v, "paper's arithmetic", "macs", Outcome.PAPERS_ARITHMETIC) for v in (Verdict.MATCH, Verdict.TRUNCATED)),
        (Verdict.MATCH, "printed ratio", "macs", Outcome.PAPERS_ARITHMETIC),
        (Verdict.MATCH, "printed numbers", "macs", Outcome.PAPERS_ARITHMETIC),
        (Verdict.MATCH, "removed convolutions alone", "macs", Outcome.COUNTING_RULE),
        *((v, "network under dcanet", "dcanet", Outcome.COUNTING_RULE) for v in (Verdict.MATCH, Verdict.TRUNCATED)),
        (Verdict.MATCH, "network", "fvcore", Outcome.COUNTING_RULE),
        (Verdict.MATCH, "a reading that somebody registered", "macs", Outcome.COUNTING_RULE),
        (Verdict.LAST_DIGIT, "network", "macs", Outcome.LAST_DIGIT),
        (Verdict.LAST_DIGIT, "network under dcanet", "dcanet", Outcome.LAST_DIGIT),
        (Verdict.EXPLAINED, "network", "macs", Outcome.EXPLAINED),
        (Verdict.UNEXPLAINED, "network under dcanet", "dcanet", Outcome.UNEXPLAINED),
    ],
)
def test_verdict_reading_and_convention_make_the_class(verdict, reading, convention, outcome):
    assert outcome_of(finding(verdict, reading, convention)) is outcome


@pytest.mark.parametrize("verdict", [verdict for verdict in Verdict if verdict not in ("match", "truncated")])
def test_every_other_verdict_is_a_class_of_its_own(verdict):
    assert outcome_of(finding(verdict, "network")) == verdict


def test_a_number_that_nothing_computes_has_its_verdicts_class():
    assert outcome_of(Finding(subject=FINDINGS[0].subject, verdict=Verdict.UNEXPLAINED, computed=None)) == "unexplained"


def test_readings_of_the_project_under_plain_macs_are_none_of_them_a_counting_rule_by_oversight():
    plain = {reading.name for reading in READINGS if reading.convention == "macs"}
    plain |= {name for expressions in claim_expressions().values() for name, _ in expressions}
    rules = {name for name in plain if outcome_of(finding(Verdict.MATCH, name)) is Outcome.COUNTING_RULE}
    assert rules == {"removed convolutions alone", "backbone", "modules"}


def test_the_sentence_of_a_page_holds_every_number():
    strong, rest = outcomes_sentence(FINDINGS, "cells")
    counts = count_outcomes(FINDINGS)
    assert strong.words.startswith(f"{counts[Outcome.NETWORK]} of 350 cells")
    numbers = [int(part.split()[0]) for part in rest.strip("; .").split("; ")]
    assert numbers == [counts[outcome] for outcome in JUDGED[1:]]
    assert counts[Outcome.NETWORK] + sum(numbers) == 350
    assert "; 0 are unexplained." in rest


def test_what_comes_out_by_the_papers_arithmetic_and_otherwise_too_is_said():
    """26 of the cells are the network's own cost cut off, too, and DCANet's GC-ResNet50 follows the paper's rule."""
    own = [f.subject for f in FINDINGS if outcome_of(f) is Outcome.PAPERS_ARITHMETIC]
    costs = [(cell, getattr(spec_cost(cell_spec(cell)), cell.metric)) for cell in own if cell_spec(cell)]
    cut = [cell for cell, cost in costs if cost - cost % int(cell.resolution) == cell.value]
    ruled = [
        cell for cell in own if (cell.source, cell.table, cell.row, cell.metric) == ("dca", "Table 1", "5", "macs")
    ]
    (said,) = build_opening._arithmetic_sentence(run_audit())
    assert f"{len(own)} cells follow from" in said
    assert f"in {len(costs)} the exact change" in said
    assert f"{len(own) - len(costs)} are ratios of printed numbers" in said
    assert said.endswith(
        "Some can also be obtained in another way: "
        f"{len(cut)} are the network's own cost, truncated; {len(ruled)} need a named counting rule."
    )
    assert (len(costs), len(cut), len(ruled)) == (94, 26, 2)


def test_what_misses_the_last_digit_is_said_with_how_far_it_is():
    (said,) = build_opening._last_digit_sentence(run_audit())
    assert round(100 * (3_400_000 / 3_504_872 - 1), 2) == -2.99
    assert said.startswith("9 cells are off by one in the last digit")
    assert "8 print 3.4M for 3,504,872 (-2.99%)" in said
    assert "1 prints 0.331 [G] for 329,991,536 (+0.31%)" in said


@pytest.mark.parametrize("make", [terminal_summary, summary_table])
def test_a_summary_adds_up_in_every_column_and_row(make):
    table = make(FINDINGS)
    *rows, total = table.records
    keys = [column.key for column in table.columns if column.is_number]
    assert len(keys) == 5
    assert [row["outcome"] for row in rows] == [outcome.words for outcome in JUDGED]
    for key in keys:
        assert sum(row[key] for row in rows) == total[key]
    for row in table.records:
        assert sum(row[key] for key in keys[:-1]) == row[keys[-1]]
    assert total[keys[-1]] == 350


@pytest.mark.parametrize("args", [(), ("--claims",), ("--source", "aw"), ("--cells", EXAMPLE)])
def test_a_summary_reads_at_100_columns(args):
    output = CliRunner().invoke(main, ["crosscheck", *args]).stdout
    summary = output.rstrip().split("\n\n")[-1].splitlines()
    assert summary[0].startswith("outcome ")
    assert len(summary) == 2 + (8 if args else 9) + 1  # the field has numbers that are not held
    assert max(map(len, summary)) <= 100


def test_many_sources_are_summed_up_without_columns_of_their_own():
    one = FINDINGS[0].subject
    names = [f"paper number {number}" for number in range(9)] + ["outcome", "meaning", "all"]
    cells = [type(one)(**{f: getattr(one, f) for f in one.__slots__} | {"source": name}) for name in names]
    findings = [Finding(subject=cell, verdict=Verdict.EXPLAINED, computed=None) for cell in cells]
    assert render(terminal_summary(findings), "table").splitlines()[-1].split() == ["all", "12"]
    few = render(terminal_summary(findings[-3:]), "table").splitlines()
    assert few[0].split()[:5] == ["outcome", "outcome", "meaning", "all", "all"]
    assert few[-1].split() == ["all", "1", "1", "1", "3"]


def test_an_outcome_can_be_asked_for_alone():
    output = CliRunner().invoke(main, ["crosscheck", "--only", "network_truncated"]).stdout
    rows = output.split("\n\n")[0].splitlines()[2:]
    assert len(rows) == count_outcomes(FINDINGS)[Outcome.NETWORK_TRUNCATED] + 1
    assert all(row.split()[-5:] == ["macs", "300M", "300,774,272", "network", "truncated"] for row in rows[:-1])
    assert rows[-1].split()[-5:] == ["params", "3.504", "3,504,872", "network", "truncated"]


def test_the_report_counts_what_the_command_counts():
    audit = run_audit()
    assert count_outcomes(audit.cells) == count_outcomes(FINDINGS)
    assert count_outcomes(audit.claims) == count_outcomes(CLAIMS)


def test_an_outcome_is_written_in_words():
    assert Outcome.NETWORK_TRUNCATED.words == "network, truncated"
    assert [Outcome.COUNTING_RULE.words, Outcome.NETWORK.words] == ["counting rule", "network"]
