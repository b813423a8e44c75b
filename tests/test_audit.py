"""The cross-check: the printed digits decide, nothing is unexplained, and no explanation outlives its arithmetic."""

from collections import Counter
from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ulsam_cost.audit import (
    DIGIT_VERDICTS,
    READINGS,
    Computed,
    Reading,
    Verdict,
    check_cell,
    meets,
    register_reading,
    solve,
)
from ulsam_cost.audit.claims import check_claim, claim_expressions
from ulsam_cost.audit.evidence import network_cost as network_evidence
from ulsam_cost.audit.explanations import explanations, key_of
from ulsam_cost.audit.expressions import evaluate
from ulsam_cost.audit.judging import judge
from ulsam_cost.audit.readings import cell_spec, spec_cost
from ulsam_cost.cost import Cost, OpKind
from ulsam_cost.formulas.networks import network_cost, network_spec
from ulsam_cost.published import COST_METRICS, cost_cells, field_cells, published_cells, published_claims
from ulsam_cost.units import parse_printed

FINDINGS = [check_cell(cell) for cell in cost_cells()]
CLAIMS = [check_claim(claim) for claim in published_claims()]


@pytest.mark.parametrize(
    ("printed", "computed", "verdict"),
    [
        ("517M", 517_059_072, Verdict.MATCH),
        ("517M", 516_500_000, Verdict.MATCH),
        ("517M", 517_500_000, Verdict.TRUNCATED),
        ("300M", 300_774_272, Verdict.TRUNCATED),
        ("517M", 518_000_000, Verdict.LAST_DIGIT),
        ("517M", 516_499_999, Verdict.LAST_DIGIT),
        ("517M", 518_500_000, None),
        ("517M", 515_499_999, None),
        ("2.96M", 2_968_896, Verdict.TRUNCATED),
    ],
)
def test_the_printed_digits_decide(printed, computed, verdict):
    number = parse_printed(printed)
    assert meets(Fraction(number.value), Fraction(number.resolution), Fraction(computed)) is verdict


@given(st.integers(0, 10**12), st.integers(0, 9))
def test_a_number_printed_at_any_precision_matches_itself(number, digits):
    resolution = 10**digits
    rounded = (number + resolution // 2) // resolution * resolution
    assert meets(Fraction(rounded), Fraction(resolution), Fraction(number)) is Verdict.MATCH
    cut = number // resolution * resolution
    assert meets(Fraction(cut), Fraction(resolution), Fraction(number)) in (Verdict.MATCH, Verdict.TRUNCATED)


def test_the_data_is_whole():
    assert len(published_cells()) == 891
    assert len(cost_cells()) == len(FINDINGS) == 350
    assert len(published_claims()) == len(CLAIMS) == 66
    assert {cell.metric for cell in cost_cells()} == set(COST_METRICS)


def test_nothing_is_unexplained_and_most_needs_no_explanation():
    verdicts = Counter(finding.verdict for finding in FINDINGS)
    assert verdicts[Verdict.UNEXPLAINED] == 0
    assert sum(verdicts[verdict] for verdict in DIGIT_VERDICTS) >= 320
    assert all(claim.verdict is not Verdict.UNEXPLAINED for claim in CLAIMS)


@pytest.mark.parametrize("key", list(explanations()), ids=" ".join)
def test_the_evidence_of_an_explanation_holds(key):
    assert evaluate(explanations()[key].evidence) is True


def test_every_explanation_is_needed():
    needing = {
        key_of(finding.subject)
        for finding in [*FINDINGS, *CLAIMS, *map(check_cell, field_cells())]
        if finding.verdict in (Verdict.EXPLAINED, Verdict.LAST_DIGIT)
    }
    assert set(explanations()) <= needing


def test_a_network_is_told_layer_by_layer_as_it_is_derived_and_counted():
    told = network_evidence(network_spec("mv1", positions="8:1")).layers
    assert [layer.layer for layer, _ in told[7:9]] == ["8", "8:1"]
    assert all((counted.macs, counted.params) == (layer.cost.macs, layer.cost.params) for layer, counted in told)


def test_the_nearest_number_stands_beside_a_cell_that_none_gives():
    cell = next(finding.subject for finding in FINDINGS if finding.verdict is Verdict.MATCH)
    far, near = (
        Computed(reading="mine", convention="macs", number=Fraction(cell.value) * factor)
        for factor in (Fraction(1, 3), Fraction(5, 4))
    )
    for tried in ([far, near], [near, far]):
        finding = judge(cell, tried)
        assert (finding.verdict, finding.computed) == (Verdict.UNEXPLAINED, near)


def test_an_explanation_whose_evidence_fails_is_none(monkeypatch):
    finding = next(finding for finding in FINDINGS if finding.verdict is Verdict.EXPLAINED)
    key = key_of(finding.subject)
    entry = explanations()[key]
    monkeypatch.setitem(explanations(), key, type(entry)(reason=entry.reason, evidence="1 == 2"))
    assert check_cell(finding.subject).verdict is Verdict.UNEXPLAINED


def test_the_ulsam_networks_under_the_strictest_reading():
    """The cells that need neither the paper's arithmetic nor a ratio of printed numbers."""
    found = {(f.subject.table, f.subject.row, f.subject.metric): f for f in FINDINGS if f.subject.source == "ulsam"}
    plain = found["Table 6", "1", "macs"]
    assert (plain.verdict, plain.computed.reading, plain.computed.number) == (Verdict.MATCH, "network", 568_740_352)
    cut = found["Table 8", "2", "macs"]
    assert (cut.verdict, cut.computed.reading) == (Verdict.TRUNCATED, "paper's arithmetic")
    # 300M less the convolutions of layers 14 and 17, plus 2 m h w for each ULSAM
    removed = 14 * 14 * (96 * 576 + 576 * 9 + 576 * 96) + 7 * 7 * (160 * 960 + 960 * 9 + 960 * 160)
    assert cut.computed.number == 300_000_000 - removed + 2 * 96 * 14 * 14 + 2 * 160 * 7 * 7


def test_the_dca_paper_comes_out_under_its_own_rule():
    verdicts = Counter(f.verdict for f in FINDINGS if f.subject.source == "dca")
    assert verdicts[Verdict.MATCH] >= 101


def test_the_rule_of_the_dca_paper_is_found_without_being_told(monkeypatch):
    monkeypatch.setattr(solve, "CONVENTIONS", {})
    cells = [c for c in cost_cells("dca", tables=("Table 1",)) if c.metric == "macs" and not c.connection]
    assert len(cells) == 15
    rules = solve.solve([spec_cost(cell_spec(c)) for c in cells], [parse_printed(c.printed + "G") for c in cells])
    plainest = rules[0]
    assert plainest.words.split(", ") == [
        "1 per MAC of modules",
        "batch norm 2 per element",
        "activation modules except sigmoid 1 per element",
        "pooling modules 1 per element read",
    ]
    # GE-MobileNetV2 repeats the number of the row of GE-Mnas1_0: no rule gives it
    missed = [c.model for c, verdict in zip(cells, plainest.verdicts, strict=True) if verdict is None]
    assert missed == ["GE-MobileNetV2"]


def test_units_are_part_of_the_rule():
    """What ECA-Net prints for ResNets: parameters over 1024 ** 2, and thop's count of July 2019 over 1024 ** 3."""
    resnet50, resnet101 = network_cost("resnet50"), network_cost("resnet101")
    (rule,) = solve.solve([resnet50, resnet101], [parse_printed("24.37M"), parse_printed("42.49M")])
    assert (rule.words, rule.units, rule.numbers) == ("1 per parameter", "M=2^20", (25_557_032, 44_549_160))
    plainest, *_ = solve.solve([resnet50], [parse_printed("3.86G")])
    assert plainest.units == "G=2^30"
    assert plainest.convention == "thop_2019_06"
    assert [rule.units for rule in solve.solve([resnet50], [parse_printed("25.56M")])] == [""]
    mixed = solve.solve([resnet50, resnet50], [parse_printed("24.37M"), parse_printed("0.02380G")])
    assert [rule.units for rule in mixed] == ["M=2^20, G=2^30"]  # 25,557,032 / 1024 ** 3 = 0.023802


def test_what_a_network_has_none_of_is_not_among_its_rules(monkeypatch):
    monkeypatch.setattr(solve, "CONVENTIONS", {})
    cost = network_cost("mv1")  # without sums, products or softmax beside its layers
    assert [rule.words for rule in solve.solve([cost], [parse_printed(f"{2 * cost.macs}")])] == ["2 per MAC"]


def test_biases_of_convolutions_are_among_the_rules(monkeypatch):
    monkeypatch.setattr(solve, "CONVENTIONS", {})
    cost = network_cost("resnet50", attention="gc")  # whose classifier has a bias, too
    biases = sum(op.elements for op in cost.of_kind(OpKind.BIAS) if op.operator == "conv2d")
    printed = parse_printed(f"{cost.macs + biases}")
    assert biases
    assert solve.solve([cost], [printed])[0].words == "1 per MAC, biases of convolutions 1 per element"


def test_a_number_that_no_rule_gives_has_none():
    cost = spec_cost(cell_spec(cost_cells("ulsam", tables=("Table 7",))[0]))
    assert solve.solve([cost], [parse_printed("7M")]) == []


@pytest.fixture
def readings_as_found():
    before = list(READINGS)
    yield
    READINGS[:] = before


@pytest.mark.usefixtures("readings_as_found")
def test_readings_are_open_to_others_and_refuse_a_second_of_their_name():
    cell = next(f.subject for f in FINDINGS if f.verdict is Verdict.EXPLAINED)
    mine = Reading(name="mine", convention="macs", meaning="as printed", compute=lambda c: Fraction(c.value))
    register_reading(mine)
    assert (check_cell(cell).verdict, check_cell(cell).computed.reading) == (Verdict.MATCH, "mine")
    with pytest.raises(ValueError, match="registered already"):
        register_reading(mine)


def test_every_claim_has_an_expression():
    assert set(claim_expressions()) == {claim.id for claim in published_claims()}


def test_claims_that_the_papers_tables_do_not_bear_out_are_found():
    off = {finding.subject.id for finding in CLAIMS if finding.verdict is Verdict.EXPLAINED}
    assert off == {"c06", "c15", "c20", "c31", "c39", "c42", "c61", "c66"}
    assert all(finding.explanation for finding in CLAIMS if finding.verdict is Verdict.EXPLAINED)


def test_a_derived_cost_agrees_with_the_counted_one_where_each_kind_does():
    evidence = network_evidence(network_spec("mv1"))
    assert evidence.agrees
    first, *others = evidence.derived
    for changed in (first._replace(macs=first.macs + 1), first._replace(params=first.params - 1)):
        assert not replace(evidence, derived=Cost((changed, *others))).agrees
    assert not replace(evidence, derived=Cost(tuple(others[1:]))).agrees
