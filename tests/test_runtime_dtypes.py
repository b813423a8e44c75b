"""`profile` and `review` in other runtimes and data types: size and memory beside the times, int8 and its data."""

import json
import re
from pathlib import Path

import jsonschema
import pytest
import torch
from click.testing import CliRunner
from exported import MACS, NET

import ulsam_cost as uc
from ulsam_cost.cli import main
from ulsam_cost.errors import CostError
from ulsam_cost.measuring.runtimes.calibration import fitting, load_calibration, make_calibration

pytestmark = pytest.mark.usefixtures("onnx_operators")

DATA = f"""{NET}
def data():
    return (torch.randn(2, 3, 9, 8) for _ in range(2))

def small():
    return [torch.randn(1, 3, 4)]

nothing = []
"""
SE = "--attention se --after 2 --option reduction=2"
PROFILE = ("profile", f"net.py:net {SE}", "--repeats", "7", "--device", "cpu")
SCHEMAS = Path(uc.__file__).parent / "schemas"
DESIGN = f"""
title = "Data types"
baseline = "net.py:net"

[measure]
device = "cpu"
repeats = 7
threads = 1
runtime = "onnxruntime"
dtype = ["int8", "bfloat16"]
calibration = "net.py:data"

[[candidate]]
name = "SE"
model = "net.py:net {SE}"
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(DATA)
    (tmp_path / "design.toml").write_text(DESIGN)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*words):
    return CliRunner().invoke(main, words)


def record_of(done, schema):
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    jsonschema.validate(record, json.loads((SCHEMAS / f"{schema}.json").read_text()))
    return record


def needs_onnxruntime():
    for package in ("onnxscript", "onnxruntime"):
        pytest.importorskip(package)


def test_profile_has_a_row_a_runtime_and_a_data_type(folder):
    needs_onnxruntime()
    words = ("--runtime", "onnxruntime,torch", "--dtype", "float32,int8", "--calibration", "net.py:data")
    record = record_of(run(*PROFILE, *words, "--format", "json"), "profile")
    plain, quantized, eager, refused = record["runtimes"]
    assert [(row["runtime"], row["dtype"]) for row in record["runtimes"]] == [
        ("onnxruntime", "float32"),
        ("onnxruntime", "int8"),
        ("torch", "float32"),
        ("torch", "int8"),
    ]
    assert refused["error"].startswith("the runtime torch measures float32, float16, bfloat16, float64, not int8")
    assert (plain["error"], quantized["error"], eager["error"]) == (None, None, None)
    assert (plain["exported"]["calibration"], quantized["exported"]["calibration"]) == (None, "net.py:data")
    assert quantized["exported"]["network"]["macs"] == record["macs"]
    assert record["memory"]["peak_bytes"] > 0


def test_profile_shows_size_and_memory_and_says_that_the_data_are_random(folder):
    needs_onnxruntime()
    done = run(*PROFILE, "--runtime", "onnxruntime", "--dtype", "int8")
    assert done.exit_code == 0, done.output
    assert re.search(r"model +bytes +memory", done.stdout)
    assert re.search(rf"int8 +onnxruntime +baseline +[\d,]+ +[\d.]* +{MACS:,} +{MACS:,}", done.stdout)
    said = " ".join(done.stdout.split())
    assert "batch 2, int8, onnxruntime: any difference is accepted" in said
    assert "calibrated with random data: times only, no accuracy" in said
    assert "memory in MiB" not in said  # PyTorch's own, which did not run


def test_profile_in_data_types_of_pytorch(folder):
    record = record_of(run(*PROFILE, "--dtype", "bfloat16", "--format", "json"), "profile")
    assert (record["latency"]["dtype"], record["runtimes"]) == ("bfloat16", None)
    wide = record_of(run(*PROFILE, "--format", "json"), "profile")
    assert wide["latency"]["dtype"] == "float32"
    assert record["memory"]["weights_bytes"] < wide["memory"]["weights_bytes"]
    both = record_of(run(*PROFILE, "--dtype", "bfloat16,float32", "--format", "json"), "profile")
    assert [row["dtype"] for row in both["runtimes"]] == ["bfloat16", "float32"]
    assert both["memory"]["weights_bytes"] == record["memory"]["weights_bytes"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--dtype int8", "the runtime torch measures float32, float16, bfloat16, float64, not int8: choose another"),
        ("--dtype int4", "unknown dtype 'int4': did you mean 'int8'?"),
        (
            "--dtype float32,float16 --calibration net.py:data",
            "calibration is used with dtype int8 only, and dtype float32, float16 is given",
        ),
        ("--dtype int8 --calibration gone.py:data", "there is no file gone.py"),
        ("--dtype int8 --calibration net.py:date", "unknown name of net.py 'date': did you mean 'data'?"),
        ("--dtype int8 --calibration net.py", "calibration 'net.py': FILE.py:NAME or package.module:NAME is accepted"),
        ("--dtype int8 --calibration net.py:nothing", "Error: calibration net.py:nothing: no inputs; one or more"),
    ],
)
def test_bad_data_types_and_data_are_one_sentence(folder, words, said):
    done = run(*PROFILE, *words.split())
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_what_is_not_int8_is_not_calibrated():
    with pytest.raises(
        CostError, match=r"^calibration is used with dtype int8 only, and dtype the model's own is given$"
    ):
        uc.measure(torch.nn.ReLU(), torch.ones(1), calibration=[torch.ones(1)])


def test_calibration_data_of_another_shape_are_refused(folder):
    needs_onnxruntime()
    done = run(*PROFILE, "--runtime", "onnxruntime", "--dtype", "int8", "--calibration", "net.py:small")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "calibration net.py:small: inputs of shape 2x3x4: 2x3x9x8, as is measured, is accepted" in done.stderr


def test_calibration_data_are_cut_into_the_batches_that_are_measured():
    rows = torch.arange(3.0).reshape(3, 1)
    data = make_calibration([{"x": rows, "scale": torch.ones(7)}])
    parts = fitting(data, {"x": torch.ones(2, 1), "scale": torch.ones(7)})
    assert [part["x"].flatten().tolist() for part in parts] == [[0, 1], [2, 0]]
    assert all(part["scale"].shape == (7,) for part in parts)
    [part] = fitting(make_calibration([rows[1:2]]), torch.ones(3, 1))
    assert part.flatten().tolist() == [1, 1, 1]


def test_data_that_never_end_are_refused(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(
        "import itertools, torch\ndata = itertools.repeat(torch.ones(1))\n"
        "def broken():\n    yield torch.ones(1)\n    raise KeyError('disk')\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(CostError, match=r"^calibration net\.py:data: more than 1,000 inputs"):
        load_calibration("net.py:data")
    with pytest.raises(CostError, match=r"^net\.py:broken does not give inputs: KeyError: 'disk'"):
        load_calibration("net.py:broken")


def test_review_measures_the_data_types_of_its_design(folder, monkeypatch, undrawn):
    needs_onnxruntime()
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")  # the data are named from the design's folder
    record = record_of(run("review", "../design.toml", "--format", "json"), "review")
    [candidate] = record["candidates"]
    [timed] = candidate["latency"]
    assert (timed["dtype"], timed["exported"]["calibration"]) == ("int8", "net.py:data")
    [row] = candidate["untimed"]
    assert (row["dtype"], row["is_first"]) == ("bfloat16", False)
    assert f"SE has no time at batch 1, bfloat16 in onnxruntime: {row['error']}." in record["findings"]
    assert "int8 in onnxruntime was calibrated with net.py:data." in record["findings"]
    for page in ("README.md", "index.html"):
        text = (folder / "design_review" / page).read_text()
        for model in ("network", "baseline"):
            assert f"{timed['exported'][model]['file_bytes']:,}" in text
        assert "int8 in onnxruntime was calibrated with net.py:data." in text
        assert "memory: peak resident memory of a process that loads the files" in text


def test_the_data_types_of_the_command_line_replace_those_of_the_design(folder, monkeypatch, undrawn):
    needs_onnxruntime()
    (folder / "elsewhere").mkdir()
    (folder / "elsewhere" / "mine.py").write_text(DATA)
    monkeypatch.chdir(folder / "elsewhere")
    words = ("review", "../design.toml", "--dtype", "int8", "--calibration", "mine.py:data", "--format", "json")
    [candidate] = record_of(run(*words), "review")["candidates"]
    assert [timed["exported"]["calibration"] for timed in candidate["latency"]] == ["mine.py:data"]
    assert candidate["untimed"] == []


@pytest.mark.parametrize(
    ("line", "words", "said"),
    [
        ('dtype = "int4"', "", "design.toml, line 9: unknown dtype 'int4': did you mean 'int8'?"),
        ("dtype = []", "", "line 9: dtype = []: a name or a list of names is accepted"),
        ("dtype = 8", "", "line 9: dtype = 8: a text or a list of texts is accepted"),
        ('dtype = "int8"\ncalibration = 8', "", "line 10: calibration = 8: a text of one line is accepted"),
        ('dtype = "int8"\ncalibration = "gone.py:x"', "", "line 10: there is no file gone.py"),
        ('dtype = "float32"', "--dtype int4", "unknown dtype 'int4'"),
        ('dtype = "float32"', "--calibration gone.py:x", "there is no file gone.py"),
        ('dtype = "float32"', "--calibration net.py:data", "used with dtype int8 only, and dtype float32 is given"),
        ('runtime = "torch"\ndtype = "int8"', "", "SE: the runtime torch measures float32, float16, bfloat16, float64"),
    ],
)
def test_bad_data_types_of_a_design_are_one_sentence(folder, line, words, said):
    before, after = re.split(r'runtime = (?s:.*)net.py:data"', DESIGN)
    (folder / "design.toml").write_text(f"{before}{line}{after}")
    done = run("review", "design.toml", *words.split())
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (folder / "design_review").exists()


def test_what_torch_cannot_time_is_a_row_beside_what_it_can(folder, undrawn):
    text = DESIGN.replace('runtime = "onnxruntime"', 'runtime = "torch"').replace("bfloat16", "float32")
    (folder / "design.toml").write_text(text)
    [candidate] = record_of(run("review", "design.toml", "--format", "json"), "review")["candidates"]
    assert [timed["dtype"] for timed in candidate["latency"]] == ["float32"]
    assert [(row["dtype"], row["is_first"]) for row in candidate["untimed"]] == [("int8", True)]
