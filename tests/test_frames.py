"""Results as DataFrames: exact, whole, with what is not known as <NA>."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import ulsam_cost as uc


def test_a_cost_is_a_row_an_operation_and_its_columns_add_up():
    cost = uc.network_cost("mv1", positions="8:1,9:1,11")
    frame = cost.to_frame()
    assert len(frame) == len(cost.ops)
    assert (int(frame["macs"].sum()), int(frame["params"].sum())) == (517_059_072, 3_966_248)  # the README's table
    for column in ("activations", "reads", "writes"):
        assert int(frame[column].sum()) == getattr(cost, column)
        assert frame[column].dtype == "Int64"
    first = frame.iloc[0]
    assert (first["path"], first["kind"], first["output"]) == ("features.0.0", "conv", (1, 32, 112, 112))
    assert first["macs"] == 32 * 3 * 3 * 3 * 112 * 112
    by_kind = frame.groupby("kind")["macs"].sum()
    assert by_kind["linear"] == 1024 * 1000


def test_a_count_that_leaves_operations_out_shows_them_without_numbers():
    class Model(nn.Module):
        def forward(self, x):
            return torch.linalg.matrix_exp(x) @ torch.linalg.matrix_exp(x + 1)

    count = uc.count(Model(), torch.empty(4, 4))
    frame = count.to_frame()
    left_out = frame[frame["uncounted"].notna()]
    assert len(frame) == len(count.cost.ops) + len(count.uncounted)
    assert left_out["macs"].isna().all()
    assert list(left_out["uncounted"]) == ["product"]
    assert list(left_out["calls"]) == [2]
    assert int(frame["macs"].sum()) == 4 * 4 * 4


def test_a_failed_rule_is_a_row_that_says_so():
    model = nn.Linear(4, 6)
    count = uc.count(model, torch.empty(2, 4))
    assert count.to_frame()["error"].isna().all()
    uncounted = (uc.Uncounted(operator="op", path="a", shapes=(), calls=1, severity="product", error="TypeError: x"),)
    failed = uc.Count(cost=count.cost, backward=uc.Cost(), uncounted=uncounted)
    assert failed.to_frame()["error"].iloc[-1] == "TypeError: x"


def test_counts_are_exact_and_no_number_is_guessed():
    big = 2**62 + 1
    ops = [uc.OpCost(path="a", kind=uc.OpKind.CONV, operator="conv2d", output=(1,), macs=macs) for macs in (big, 2**70)]
    assert uc.Cost((ops[0],)).to_frame()["macs"].dtype == "Int64"
    assert int(uc.Cost((ops[0],)).to_frame()["macs"].iloc[0]) == big
    assert list(uc.Cost(tuple(ops)).to_frame()["macs"]) == [big, 2**70]
    assert list(uc.Cost().to_frame().columns) == list(uc.Cost().columns)


def test_a_closed_form_of_arrays_is_a_table_too():
    frame = uc.attention_cost("se", channels=np.array([64, 128]), height=7, width=7).to_frame()
    assert list(frame["writes"].iloc[0]) == [64, 128]


def test_crosscheck_is_a_row_a_printed_number():
    frame = uc.crosscheck(source="ulsam").to_frame()
    cells = uc.crosscheck(source="ulsam", table="Table 8").to_frame()
    assert set(frame["source"]) == {"ulsam"}
    assert (len(cells), cells["computed"].iloc[1], cells["printed"].iloc[1]) == (8, 300_774_272, "300M")
    claims = uc.crosscheck(claims=True)
    assert len(claims) == 66
    assert claims.passes
    assert claims.to_frame()["id"].notna().all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": "resnet"}, "unknown source 'resnet'"),
        ({"source": "ulsam", "table": "Table 99"}, "unknown table 'Table 99'"),
        ({"claims": True, "cells": "x.csv"}, "not both"),
        ({"cells": "no such file.csv"}, "cannot be read"),
    ],
)
def test_crosscheck_refuses(options, message):
    with pytest.raises(uc.CostError, match=message):
        uc.crosscheck(**options)


def test_crosscheck_of_a_table_from_elsewhere(tmp_path):
    table = tmp_path / "cells.csv"
    head = "source,table,row,metric,printed,MODEL\n"
    table.write_text(head + "me,T,1,params,4.2M,mv1\nme,T,2,macs,1M,mv1\n", encoding="utf-8")
    found = uc.crosscheck(cells=str(table))
    assert [str(finding.verdict) for finding in found] == ["match", "unexplained"]
    assert not found.passes
    assert [str(finding.verdict) for finding in found.only("match")] == ["match"]


def results():
    cost = uc.attention_cost("se", channels=64, height=7, width=7)
    yield cost
    yield uc.count(nn.Linear(4, 6), torch.empty(2, 4))
    yield uc.crosscheck(source="ulsam", table="Table 8")


@pytest.mark.parametrize("result", [*results()], ids=lambda result: type(result).__name__)
def test_a_notebook_shows_the_frame(result):
    html = result._repr_html_()
    assert html == result.to_frame()._repr_html_()
    assert html.count("<tr") == len(result.to_frame()) + 1
    assert isinstance(result.to_frame(), pd.DataFrame)


def test_measured_is_a_row_a_model():
    model, baseline, x = nn.Linear(6, 4), nn.Identity(), torch.zeros(3, 6)
    alone = uc.measure(model, x, device="cpu", dtype="float64", repeats=3)
    frame = alone.to_frame()
    assert list(frame["model"]) == ["network"]
    assert (frame["batch"].iloc[0], frame["dtype"].iloc[0], frame["runs"].iloc[0]) == (3, "float64", 3)
    assert frame["median_ms"].iloc[0] == sorted(alone.network.times_ms)[1]
    assert np.isnan(frame["ratio"].iloc[0])
    pair = uc.measure(model, x, baseline=baseline, device="cpu", repeats=7)
    frame = pair.to_frame().set_index("model")
    assert frame.loc["baseline", "median_ms"] == sorted(pair.baseline.times_ms)[3]
    assert frame.loc["network", "median_ms"] == sorted(pair.network.times_ms)[3]
    ratios = [own / plain for own, plain in zip(pair.network.times_ms, pair.baseline.times_ms, strict=True)]
    assert frame.loc["network", "ratio"] == sorted(ratios)[3]
    assert frame.loc["network", "verdict"] == pair.verdict
    assert np.isnan(frame.loc["baseline", "ratio"])
    assert pd.isna(frame.loc["baseline", "verdict"])


def test_measure_refuses():
    with pytest.raises(uc.CostError, match="str is no"):
        uc.measure("mv1", torch.zeros(1))
    with pytest.raises(uc.CostError, match="unknown mode 'quick'"):
        uc.measure(nn.Identity(), torch.zeros(1), mode="quick")
    with pytest.raises(uc.CostError, match="does not run on these inputs"):
        uc.measure(nn.Linear(4, 6), torch.zeros(1, 5), device="cpu")


def test_compared_is_a_row_a_network():
    wide, narrow = nn.Linear(6, 4), nn.Linear(6, 2, bias=False)
    compared = uc.compare({"wide": wide, "narrow": narrow}, torch.empty(5, 6))
    frame = compared.to_frame().set_index("network")
    assert list(frame.loc["wide", ["params", "macs", "activations"]]) == [6 * 4 + 4, 5 * 6 * 4, 5 * 4]
    assert list(frame.loc["narrow", ["params_delta", "macs_delta", "activations_delta"]]) == [-16, -60, -10]
    assert frame.loc["narrow", "macs_delta_pct"] == -50.0
    assert frame["complete"].all()
    assert wide.training
    assert [network.name for network in uc.compare([wide, narrow], torch.empty(5, 6)).networks] == ["Linear"] * 2


def test_compared_with_what_is_not_whole():
    class Inverse(nn.Linear):
        def forward(self, x):
            return super().forward(torch.linalg.matrix_exp(x))

    frame = uc.compare({"a": nn.Linear(6, 6), "b": Inverse(6, 6)}, torch.empty(6, 6)).to_frame()
    assert list(frame["complete"]) == [True, False]
    assert frame["macs_delta"].isna().iloc[1]
    assert frame["params_delta"].iloc[1] == 0
    assert frame["left_out"].iloc[1] == "1 operation without a rule"


def test_compare_refuses():
    with pytest.raises(uc.CostError, match="1 to compare"):
        uc.compare(["mv1"])
    with pytest.raises(uc.CostError, match="a is a module, and no inputs are given"):
        uc.compare({"a": nn.Identity(), "b": nn.Identity()})
    with pytest.raises(uc.CostError, match="b does not run on these inputs"):
        uc.compare({"a": nn.Identity(), "b": nn.Linear(4, 4)}, torch.empty(1, 6))
    with pytest.raises(uc.CostError, match="mv9"):
        uc.compare(["mv1", "mv9"])


def test_a_search_is_a_row_a_placement_of_its_front():
    found = uc.search("mv1", layers=[8, 9], minimise=["macs", "params"])
    frame = found.to_frame()
    assert list(frame["positions"]) == [str(answer.spec.placement) for answer in found.front]
    for row in frame.to_dict("records"):
        cost = uc.network_cost("mv1", positions=row["positions"])
        assert (row["macs"], row["params"], row["activations"]) == (cost.macs, cost.params, cost.activations)
        assert row["macs_delta"] == cost.macs - uc.network_cost("mv1").macs
