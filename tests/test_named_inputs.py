"""`--input NAME=SHAPE`: keyword arguments, in every command that takes a MODEL.

The model has 9 words of 4 features, 2 lines of 5 of them, a linear layer of these to 6, and one of 3 others to 6.
"""

import json

import pytest
import torch
from click.testing import CliRunner
from torch import nn

import ulsam_cost as uc
from ulsam_cost.cli import main
from ulsam_cost.counting.given import read_inputs
from ulsam_cost.counting.loading import load_model
from ulsam_cost.tensors import Arguments

MODELS = """
import torch
from torch import nn

class Words(nn.Module):
    def __init__(self, features=4):
        super().__init__()
        self.table = nn.Embedding(9, features)
        self.words, self.others = nn.Linear(features, 6), nn.Linear(3, 6)

    def forward(self, x, *, words, mask):
        return (self.words(self.table(words)) * mask.unsqueeze(-1)).mean(1) - self.others(x)

def words():
    return Words()

def wide():
    return Words(8)

class Maps(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)

    def forward(self, *, left, right):
        return self.conv(left) - 2 * self.conv(right)

maps = Maps

def program():
    inputs = {"mask": torch.ones(2, 5), "words": torch.ones(2, 5, dtype=torch.int64)}
    return torch.export.export(Words().eval(), (torch.zeros(2, 3),), inputs)

def traced():
    return torch.jit.trace(Words().eval().others, torch.zeros(2, 3))
"""
MACS = 2 * 5 * 4 * 6 + 2 * 3 * 6
WIDER = 2 * 5 * (8 - 4) * 6
INPUTS = ("mask=2x5=ones", "2x3", "words=2x5:int64=random:0-8")
GIVEN = tuple(word for text in INPUTS for word in ("--input", text))


@pytest.fixture
def models(tmp_path, monkeypatch):
    (tmp_path / "m.py").write_text(MODELS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*args):
    return CliRunner().invoke(main, args)


def read(*args):
    result = run(*args, "--format", "json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_a_count(models):
    assert read("count", "m.py:words", *GIVEN)["macs"] == MACS
    assert read("count", "m.py:words", "--dtype", "bfloat16", *GIVEN)["macs"] == MACS
    by_call = read("count", "m.py:words", "--by", "call", *GIVEN)["calls"]
    assert sorted(by_call[0]["inputs"]) == [[2, 3], [2, 5], [2, 5]]
    assert all(not peer["error"] for peer in read("count", "m.py:words", "--peers", *GIVEN)["peers"])


def test_inputs_by_position_are_in_their_order_and_the_others_are_keywords(models):
    loaded = load_model("m.py:words", inputs=INPUTS, device="cpu").inputs
    assert isinstance(loaded, Arguments)
    assert [tensor.shape for tensor in loaded.args] == [(2, 3)]
    assert (loaded.kwargs["mask"] == 1).all()
    assert loaded.kwargs["words"].dtype == torch.int64
    assert type(load_model("m.py:maps", inputs=["left=1x3x4x4", "right=1x3x4x4"]).inputs) is dict
    assert type(load_model("m.py:maps", inputs=["1x3x4x4", "1x3x4x4"]).inputs) is tuple


def test_the_commands_that_compare(models):
    first, second = read("compare", "m.py:words", "m.py:wide", *GIVEN)["networks"]
    assert (first["macs"], second["macs"]) == (MACS, MACS + WIDER)
    assert {layer["path"]: layer["macs"] for layer in read("layers", "m.py:words", *GIVEN)}["words"] == 2 * 5 * 4 * 6
    explained = run("explain", "--model", "m.py:words", "--printed", str(MACS), *GIVEN)
    assert "1 per MAC" in explained.stdout


def test_attention_is_inserted(models):
    given = ("--input", "right=1x3x9x7", "--input", "left=1x3x9x7")
    record = read("profile", "m.py:maps --attention eca --after conv", "--no-latency", *given)
    assert record["baseline"]["macs"] == 2 * (8 * 3 * 3 * 3 * 7 * 5)
    assert record["delta"]["macs"] == 2 * (8 * 3)  # a kernel of 3 over the channels, at each of two calls


def test_a_network_of_the_project_is_given_its_input_by_name():
    assert (
        read("count", "mv1", "--input", "x=1x3x32x32")["macs"] == read("count", "mv1", "--input", "1x3x32x32")["macs"]
    )
    model = "mv1 --width 0.25"
    rows = read("measure", model, "--input", "x=1x3x32x32", "--device", "cpu", "--repeats", "2")["rows"]
    assert [row["error"] for row in rows] == [None]


def test_times(models):
    rows = read("measure", "m.py:words", *GIVEN, "--device", "cpu", "--repeats", "2", "--batch", "1,3")["rows"]
    assert [(row["batch"], row["error"]) for row in rows] == [(1, None), (3, None)]


def test_another_runtime_is_given_the_same(models):
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    given = ("--device", "cpu", "--repeats", "2", "--runtime", "onnxruntime")
    [words] = read("measure", "m.py:words", *GIVEN, *given)["rows"]
    [maps] = read("measure", "m.py:maps", "--input", "right=1x3x9x7", "--input", "left=1x3x9x7", *given)["rows"]
    assert (words["error"], maps["error"]) == (None, None)  # outputs that differ from PyTorch's are an error
    assert words["exported"]["network"]["counted_macs"] == MACS


def test_files_that_list_models(models):
    design = {"title": "t", "baseline": "m.py:words", "input": list(INPUTS)}
    lines = [f"{key} = {json.dumps(value)}" for key, value in design.items()]
    lines += ["[budget]", f'macs = "{MACS / 1000}K"', "[[candidate]]", 'name = "wide"', 'model = "m.py:wide"']
    (models / "d.toml").write_text("\n".join(lines), encoding="utf-8")
    done = run("review", "d.toml", "--out", "out", "--format", "json")
    assert done.exit_code == 0, done.stderr
    record = json.loads(done.stdout)
    assert (record["baseline"]["macs"], record["candidates"][0]["macs"]) == (MACS, MACS + WIDER)
    cells = f"source,table,row,metric,printed,MODEL,input\nmine,T,1,macs,{MACS},m.py:words,{' '.join(INPUTS)}\n"
    (models / "cells.csv").write_text(cells, encoding="utf-8")
    assert [cell["verdict"] for cell in read("crosscheck", "--cells", "cells.csv")] == ["match"]
    (models / "zoo.csv").write_text(f"model,input\nm.py:words,{' '.join(INPUTS)}\n", encoding="utf-8")
    run("sweep", "zoo.csv", "--out", "rows.csv", "--workers", "1")
    assert f"counted,{MACS}," in (models / "rows.csv").read_text(encoding="utf-8")


def test_an_exported_program_takes_each_input_as_it_was_exported(models):
    by_name = ("--input", "words=2x5:int64", "--input", "x=2x3", "--input", "mask=2x5")
    for given in (GIVEN, by_name):
        assert read("count", "m.py:program", *given)["macs"] == MACS
    lacks = run("count", "m.py:program", *by_name[:2], *by_name[4:])
    assert lacks.exit_code == 2
    assert "does not run on these inputs" in lacks.stderr


def test_a_traced_module_says_itself_what_it_takes(models):
    assert read("count", "m.py:traced", "--input", "input=2x3")["macs"] == 2 * 3 * 6
    refused = run("count", "m.py:traced", "--input", "x=2x3")
    assert refused.exit_code == 2
    assert "does not run on these inputs" in refused.stderr


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["2x3", "word=2x5"], "unexpected keyword argument 'word'; accepted names are x, words, mask"),
        (["2x3", "x=2x3"], "multiple values for argument 'x'; accepted names are x, words, mask"),
        (["2x3", "2x5", "mask=2x5"], "too many positional arguments; accepted names are"),
        (["mask=2x5", "2x3", "mask=2x5=ones"], "'mask' is given twice, as 'mask=2x5' and 'mask=2x5=ones'"),
        (["2mask=2x5"], "input '2mask=2x5': a shape such as 1x3x224x224"),
        (["=2x5"], "input '=2x5': a shape"),
        (["mask="], "input 'mask=': a shape"),
        (["mask=ones"], "input 'mask=ones': a shape"),
        (["mask=words=2x5"], "input 'mask=words=2x5': a shape"),
        (["mask=2x5:words"], "and a name before it (input_ids=1x128:int64)"),
    ],
)
def test_a_bad_input_is_one_sentence(models, given, said):
    result = run("count", "m.py:words", *(word for text in given for word in ("--input", text)))
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr
    assert result.stderr.count("\n") == 1


def test_what_a_text_says():
    words, mask = read_inputs(["words=2x5:long=random:3-8", "a.b:0=7"])
    assert (words.name, words.shape, words.dtype) == ("words", (2, 5), "int64")
    values = words.tensor("cpu")
    assert (values.min() >= 3, values.max() <= 8) == (True, True)
    assert (mask.name, mask.shape, mask.dtype) == ("a.b:0", (7,), "")


class Takes(nn.Module):
    def forward(self, x, scale):
        return x @ scale


def test_arguments_of_both_kinds_in_python():
    inputs = Arguments((torch.zeros(2, 3),), {"scale": torch.zeros(3, 5)})
    assert uc.count(Takes(), inputs).macs == 2 * 3 * 5
