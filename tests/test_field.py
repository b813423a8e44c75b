"""The costs that the field's authors print: all of them are listed, and those whose network is here come out."""

import csv
import io
from collections import Counter
from dataclasses import replace
from decimal import Decimal
from importlib.resources import files

import pytest
from click.testing import CliRunner

import ulsam_cost as uc
from ulsam_cost.audit import READINGS, check_cell, readings
from ulsam_cost.audit.explanations import explanations, key_of
from ulsam_cost.audit.expressions import evaluate
from ulsam_cost.audit.outcomes import Outcome, count_outcomes, outcome_of
from ulsam_cost.audit.parts import PARTS
from ulsam_cost.audit.story import cell_story
from ulsam_cost.cli import main
from ulsam_cost.conventions import CONVENTIONS
from ulsam_cost.cost import Cost, OpCost, OpKind
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.networks import REGISTERED
from ulsam_cost.published import field_cells, field_sources

ROWS = list(csv.DictReader(io.StringIO((files("ulsam_cost.published") / "field_cells.csv").read_text("utf-8"))))
FINDINGS = [check_cell(cell) for cell in field_cells()]
PREFIXES = {"": 1, "M": 10**6, "G": 10**9, "Mi": 1024**2, "Gi": 1024**3}


def number(spec, convention="macs", part=""):
    return CONVENTIONS[convention].number(readings.part_cost(spec, part))


def test_the_data_is_whole():
    assert len(ROWS) == len(FINDINGS) == 211
    assert Counter(row["metric"] for row in ROWS) == {"params": 125, "macs": 86}
    assert len({row["id"] for row in ROWS}) == 211
    assert Counter(row["source"] for row in ROWS) == {
        **{"pytorchinsight": 56, "ecanet": 28, "coordattention": 38, "triplet": 12, "simam": 12, "sanet": 6},
        **{"ema": 27, "resnest": 14, "thop": 18},
    }
    assert {row["source"] for row in ROWS} == set(field_sources())


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["id"])
def test_a_value_is_its_digits_in_its_unit(row):
    digits, factor = Decimal(row["printed"]), PREFIXES[row["prefix"]]
    assert Decimal(row["value"]) == digits * factor
    last = Decimal(1).scaleb(digits.as_tuple().exponent) * factor
    two_digits = row["note"] == "two significant digits"
    assert Decimal(row["resolution"]) == (10 * last if two_digits else last)
    assert (row["prefix"] in ("Mi", "Gi")) <= field_sources()[row["source"]].binary


def test_nothing_is_unexplained_and_most_come_out_of_the_networks():
    counts = count_outcomes(FINDINGS)
    assert counts[Outcome.UNEXPLAINED] == counts[Outcome.INCOMPLETE] == 0
    assert counts[Outcome.NETWORK] + counts[Outcome.NETWORK_TRUNCATED] + counts[Outcome.COUNTING_RULE] >= 135
    assert counts.total() == 211


def test_what_is_not_held_is_listed_with_the_network_that_is_missing():
    missing = Counter(f.subject.model for f in FINDINGS if outcome_of(f) is Outcome.NOT_HELD)
    assert missing.total() == 56
    assert (missing["mobilenext"], missing["resnest50_fast"], missing["retinanet_r50_fpn"]) == (6, 14, 2)
    assert not set(missing) & set(REGISTERED)
    assert all(f.computed is None and f.explanation for f in FINDINGS if outcome_of(f) is Outcome.NOT_HELD)


def test_the_papers_keep_their_outcomes_and_stand_apart():
    result = CliRunner().invoke(main, ["crosscheck"])
    assert result.exit_code == 0
    summary = [line.split("  ") for line in result.stdout.rstrip().splitlines()[-10:]]
    rows = {words[0]: [int(word) for word in words[1:] if word.strip().isdigit()] for words in summary}
    assert list(rows.values())[-10:] == [
        *([120, 66, 186], [8, 1, 9], [44, 0, 44], [98, 0, 98], [57, 68, 125], [9, 1, 10], [14, 19, 33]),
        *([0, 0, 0], [0, 56, 56], [350, 211, 561]),
    ]
    assert "mv2+deeplabv3 (12)" in result.stdout.replace("\n", " ")
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_every_cell_has_a_story():
    stories = [cell_story(cell) for cell in field_cells()]
    assert [bool(story.readings) for story in stories] == [bool(finding.computed) for finding in FINDINGS]
    parts = [story for story in stories if story.finding.subject.part == "modules" and story.by_kind]
    assert all(change.plain == Cost() for story in parts for change in story.by_kind)  # a plain network has none
    for args in (("resnest", "Pretrained models", ROWS[-32]["row"]), ("ecanet", "abstract", "ResNet50")):
        assert CliRunner().invoke(main, ["explain", *args]).exit_code == 0


def test_thop_of_june_2019_keeps_the_last_call_of_a_module():
    """Numbers by hand, those of a ResNet's ECA modules from thop itself."""

    def relu(path, elements):
        return OpCost(path=path, kind=OpKind.ACTIVATION, operator="relu", output=(1, elements), module="ReLU")

    cost = Cost((relu("a", 100), relu("b", 30), relu("a", 7)))
    assert CONVENTIONS["thop_2019_06"].number(cost) == 30 + 7
    assert CONVENTIONS["thop_2019_08"].number(cost) == 0
    # 335,449,016 and 11,633,979,416: what thop of that time says of the authors' code
    assert number(uc.network_spec("mv2", attention="eca"), "thop_2019_06") == 335_449_016
    assert number(uc.network_spec("resnet152", attention="eca"), "thop_2019_06") == 11_633_979_416


def test_thop_counts_layer_by_layer():
    import torch
    from torch import nn

    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.AvgPool2d(3), nn.Flatten(),
        nn.Linear(4, 5),
    )  # fmt: skip
    cost = uc.count(model, torch.zeros(1, 3, 10, 10)).cost  # maps of 8 x 8, 4 x 4 and 1 x 1
    conv, rows = 27 * 4 * 64, 5 * (4 + 3)
    assert CONVENTIONS["thop_2019_06"].number(cost) == conv + 4 * 256 + 256 + 2 * 4 * 16 + (3 + 1) * 4 + rows
    assert CONVENTIONS["thop_2019_08"].number(cost) == conv + 4 * 256 + (3 + 1) * 4 + rows
    assert CONVENTIONS["thop_2020"].number(cost) == conv + 2 * 256 + (3 + 1) * 4 + 5 * 4
    pooled = uc.count(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(3, 4, 1)), torch.zeros(1, 3, 6, 6)).cost
    assert CONVENTIONS["thop_2019_08"].number(pooled) == 3 * (36 + 1) + 3 * 4 + 4


def test_a_part_of_a_network_by_hand():
    """A backbone is the network without fc and pool; ECA's modules in ResNet50 have 80 weights, SA-Net's 708."""
    spec = uc.network_spec("resnet50", attention="eca")
    assert readings.part_cost(spec, "backbone").params == 25_557_032 + 80 - (2048 * 1000 + 1000)
    assert readings.part_cost(spec, "backbone").macs == readings.spec_cost(spec).macs - 2048 * 1000
    assert readings.part_cost(spec, "modules").params == 80
    shuffle = uc.network_spec("resnet50", attention="shuffle")
    # its pools read half of each block's output: 2,759,680 of 5,519,360
    assert number(shuffle, "dcanet", "modules") == 5_519_360 // 2
    assert not readings.part_cost(uc.network_spec("resnet50"), "modules").ops
    assert set(PARTS) == {row["part"] for row in ROWS} - {""}


def test_a_source_counts_by_what_is_known_of_it_and_no_longer_than_the_evidence_holds(monkeypatch):
    cell = next(c for c in field_cells() if c.row == "ECA-MobileNet_v2" and c.metric == "macs")
    under = [reading for reading in READINGS if reading.compute(cell) is not None]
    assert [reading.name for reading in under] == ["network", "network under thop_2019_06"]
    for source, known in field_sources().items():
        assert not known.evidence or evaluate(known.evidence) is True, source
    readings.counting_is_shown.cache_clear()
    monkeypatch.setitem(field_sources(), "ecanet", replace(field_sources()["ecanet"], evidence="1 == 2"))
    assert check_cell(cell).verdict == "unexplained"
    readings.counting_is_shown.cache_clear()


def test_every_explanation_of_the_field_is_needed_and_holds():
    needing = {key_of(f.subject) for f in FINDINGS if outcome_of(f) in (Outcome.EXPLAINED, Outcome.LAST_DIGIT)}
    own = {key: entry for key, entry in explanations().items() if key[0] in field_sources()}
    assert set(own) == needing
    assert all(entry.holds for entry in own.values())


def test_se_stands_where_coordinate_attention_does():
    """The 16 blocks of MobileNetV2 that expand: 3,888,208 and 3,889,808 parameters, as CoordAttention's table needs."""
    for mechanism, params in (("se", 3_888_208), ("cbam", 3_889_808)):
        assert uc.network_cost("mv2", attention=mechanism, sites="coord", reduction=24).params == params
    for mechanism, sites in (("sk", "coord"), ("se", "psa"), ("se", "bam"), ("se", "nothing")):
        with pytest.raises(CostError, match="accepted values are block, paper"):
            uc.network_spec("mv2", attention=mechanism, sites=sites)


@pytest.mark.parametrize(("name", "params"), [("resnet50", 23_705_252), ("resnet101", 42_697_380)])
def test_a_resnet_for_small_images_keeps_their_size(name, params):
    options = {"variant": "cifar", "classes": 100, "resolution": 32}
    cost = uc.network_cost(name, **options)
    assert cost.params == params
    assert cost.ops[0].output == (1, 64, 32, 32)
    counted = uc.count(uc.build(name, **options), uc.network_spec(name, **options).input_shape and _zeros(32))
    assert (counted.params, counted.macs) == (cost.params, cost.macs)
    # BAM stands between its stages, too: at 256, 512 and 1024 channels
    more = uc.network_cost(name, attention="bam", **options).params - params
    assert more == sum(3 * c * d + 18 * d * d + c + 13 * d + 1 for c, d in ((256, 16), (512, 32), (1024, 64)))


def _zeros(size):
    import torch

    return torch.zeros(1, 3, size, size)
