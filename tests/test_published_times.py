"""Attention's price in time: what attention adds by hand, and the published times as they are published."""

import csv
import io
import itertools
from importlib.resources import files

import pytest

from ulsam_cost.formulas.attention import REGISTERED
from ulsam_cost.nn.attention import build_attention
from ulsam_cost.published.times import SHARES, timed_pairs
from ulsam_cost.report.document.markdown import markdown
from ulsam_cost.report.site import catalogue, times
from ulsam_cost.report.site.study import MechanismTimes

PAIRS = {(pair.plain, pair.changed): pair for pair in timed_pairs()}
# (blocks, channels) of ResNet50's stages
STAGES = ((3, 256), (4, 512), (6, 1024), (3, 2048))


def rows(name):
    return list(csv.DictReader(io.StringIO((files("ulsam_cost.published") / name).read_text("utf-8"))))


def added(plain, changed):
    pair = PAIRS[plain, changed]
    return pair.after.params - pair.before.params, pair.after.macs - pair.before.macs


def test_what_se_and_eca_add_to_resnet50_by_hand():
    weights = sum(blocks * 2 * c * (c // 16) for blocks, c in STAGES)
    biases = sum(blocks * (c + c // 16) for blocks, c in STAGES)
    assert added("resnet50", "seresnet50") == (weights + biases, weights)
    # timm's k: the odd number at or above (log2 c + 1) / 2, which is 5, 5, 5 and 7
    kernels = (5, 5, 5, 7)
    assert added("resnet50t", "ecaresnet50t") == (
        sum(blocks * k for (blocks, _), k in zip(STAGES, kernels, strict=True)),
        sum(blocks * k * c for (blocks, c), k in zip(STAGES, kernels, strict=True)),
    )
    pair = PAIRS["resnet50t", "ecaresnet50t"]
    # the pool reads each block's output of c h w and writes c
    maps = sum(blocks * c * (56 >> stage) ** 2 for stage, (blocks, c) in enumerate(STAGES))
    share = "pools and sums"
    assert pair.after.moved[share] - pair.before.moved[share] == maps + sum(blocks * c for blocks, c in STAGES)


def test_a_published_speed_and_its_change():
    pair = PAIRS["resnext26ts", "eca_resnext26ts"]
    (setting,) = (each for each in pair.speeds if each.mode == "compiled" and each.device == "RTX 4090")
    assert pair.speeds[setting] == (9713.54, 8762.16)
    assert pair.speed_pct(setting) == pytest.approx(100 * 8762.16 / 9713.54 - 100)
    assert setting.title == "RTX 4090, mixed precision, NCHW, compiled, batch 256"


def test_every_pair_is_counted_and_was_timed():
    named = {(row[which], row["size"]) for row in rows("timm_pairs.csv") for which in ("plain", "changed")}
    assert {(row["model"], row["size"]) for row in rows("timm_counts.csv")} == named
    assert {(row["model"], row["size"]) for row in rows("timm_times.csv")} <= named
    assert all(len(pair.speeds) >= 2 for pair in PAIRS.values())
    for pair in PAIRS.values():
        own = [r for r in rows("timm_counts.csv") if (r["model"], r["size"]) == (pair.plain, str(pair.size))]
        assert pair.before.traffic == sum(int(row["reads"]) + int(row["writes"]) for row in own)
    assert len(set(itertools.chain(*SHARES.values()))) == sum(map(len, SHARES.values()))


def test_a_rank_correlation_by_hand():
    assert times.rank_correlation([1, 5, 9], [2, 3, 50]) == pytest.approx(1)
    assert times.rank_correlation([1, 5, 9], [3, 2, -50]) == pytest.approx(-1)
    # ranks 1 2 3 4 and 1.5 1.5 4 3: covariance 3.5, variances 5 and 4.5
    assert times.rank_correlation([1, 2, 3, 4], [7, 7, 9, 8]) == pytest.approx(3.5 / (5 * 4.5) ** 0.5)


def test_no_published_number_stands_without_saying_so():
    page = times.published_times_page()
    assert times.NOT_OURS == "published, not measured here"
    for sentence in page.verdict:
        assert times.NOT_OURS in str(sentence)
    assert times.NOT_OURS in page.title
    assert times.NOT_OURS in page.picture.caption
    text = markdown(page).decode()
    assert "9,713.54" in text
    assert "## Images per second, published, not measured here" in text


def test_the_catalogue_has_every_mechanism_on_both_maps():
    first, second = (catalogue.entries(*size) for size in catalogue.MAPS)
    assert [entry.name for entry in first] == [entry.name for entry in second] == list(REGISTERED)
    assert [entry.name for entry in first if entry.refused] == []
    assert [entry.name for entry in second if entry.refused] == ["shuffle"]  # 64 is no multiple of 128
    free = {entry.name for entry in first if not entry.cost.macs}
    assert free == {"simam", "sge", "shuffle", "gct", "nam"}
    assert all(entry.passes > 3 for entry in first if entry.name in free)


def test_the_catalogues_costs_are_those_of_the_real_modules():
    import torch

    from ulsam_cost import count
    from ulsam_cost.formulas.attention import get_mechanism

    for entry in catalogue.entries(*catalogue.MAPS[1]):
        if entry.refused:
            continue
        module = build_attention(entry.name, 64, **get_mechanism(entry.name).built_for((56, 56))).eval()
        counted = count(module, torch.zeros(1, 64, 56, 56)).cost
        for unit in ("params", "macs", "reads", "writes"):
            assert getattr(counted, unit) == getattr(entry.cost, unit), (entry.name, unit)


def test_eca_by_hand():
    """It reads the map twice and writes it once; the rest are vectors of c."""
    (entry,) = (entry for entry in catalogue.entries(512, 14, 14) if entry.name == "eca")
    c, p = 512, 196
    pool, conv, sigmoid, scaling = (c * p, c), (c + 3, c), (c, c), (c * p + c, c * p)
    assert (entry.cost.reads, entry.cost.writes) == tuple(map(sum, zip(pool, conv, sigmoid, scaling, strict=True)))


def test_measured_times_stand_where_they_were_measured():
    timed = MechanismTimes(
        device="A device", page="latency_x.md", median_ms=dict.fromkeys(REGISTERED, 0.5) | {"se": 0.123}
    )
    text = markdown(catalogue.catalogue_page([timed])).decode()
    assert "ms, A device" in text
    assert "0.123" in text
    assert "latency_x.md" in text
    assert "ms, A device" not in markdown(catalogue.catalogue_page()).decode()
