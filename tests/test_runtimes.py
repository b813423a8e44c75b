"""Other runtimes: exported copies, compared with PyTorch and measured in a process of their own."""

import json
import sys
from contextlib import closing
from itertools import product
from pathlib import Path

import jsonschema
import numpy as np
import psutil
import pytest
import torch
from click.testing import CliRunner
from exported import MACS, NET
from torch import nn

import ulsam_cost as uc
from ulsam_cost.cli import main
from ulsam_cost.errors import CostError
from ulsam_cost.measuring.runtimes import process
from ulsam_cost.measuring.runtimes.check import NEARLY_EQUAL_NOTE, agreement
from ulsam_cost.measuring.timing import InterruptedMeasurement

pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

pytestmark = pytest.mark.usefixtures("onnx_operators")

MODELS = f"""{NET}
class Noise(nn.Module):
    def forward(self, x):
        return x + torch.rand(x.shape)

def noisy():
    return Noise(), torch.randn(2, 3)

class Unknown(nn.Module):
    def forward(self, x):
        return torch.linalg.svdvals(x)[:, :1, :1, None].expand(-1, 5, 7, 6)

def unknown():
    return Unknown(), torch.randn(2, 3, 9, 8)

class Counts(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return x * self.calls

def counts():
    return Counts(), torch.randn(2, 3)

class Returns(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)

def no_tensor():
    return Returns(lambda x: None), torch.randn(2, 4)

def complex_numbers():
    return Returns(lambda x: torch.view_as_complex(x.reshape(4, 2))), torch.randn(2, 4)

def data():
    return [torch.randn(2, 3, 9, 8) for _ in range(2)]
"""
SCHEMAS = Path(uc.__file__).parent / "schemas"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "net.py").write_text(MODELS)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    yield tmp_path
    assert not list((tmp_path / "temporary").glob("ulsam-cost-*"))
    assert not workers()


def workers():
    """The runtimes' processes: others, such as Python's own tracker of resources, may be there from other tests."""
    living = [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]
    return [each for each in living if process._WORKER in each.cmdline()]


def run(*words):
    return CliRunner().invoke(main, ["measure", *words, "--repeats", "7", "--device", "cpu"])


class Unknown(nn.Module):
    """ONNX has no singular values."""

    def forward(self, x):
        return torch.linalg.svdvals(x)


class Swapped(nn.Module):
    """Inputs that give another result in another order."""

    def forward(self, x, b, a=None):
        return x + 2 * b - 3 * a


def test_a_row_a_runtime_and_a_number_format(folder):
    done = run(
        "net.py:net --attention se --after 2 --option reduction=2",
        *("--runtime", "torch,onnxruntime", "--dtype", "float32,int8,bfloat16"),
        *("--threads", "1", "--calibration", "net.py:data", "--format", "json", "--output", "rows.json"),
    )
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    jsonschema.validate(record, json.loads((SCHEMAS / "measure.json").read_text()))
    rows = {(row["runtime"], row["dtype"]): row for row in record["rows"]}
    assert record == json.loads((folder / "rows.json").read_text())
    assert list(rows) == list(product(("torch", "onnxruntime"), ("float32", "int8", "bfloat16")))
    assert rows["torch", "int8"]["error"].startswith(
        "the runtime torch measures float32, float16, bfloat16, float64, not int8"
    )
    assert "ONNX Runtime has no bfloat16" in rows["onnxruntime", "bfloat16"]["error"]
    assert {row["threads"] for row in record["rows"]} == {1} == {record["machine"]["threads"]}
    plain, exported = rows["torch", "float32"], rows["onnxruntime", "float32"]
    assert (plain["mode"], plain["exported"], exported["mode"], exported["allocator"]) == ("eager", None, None, None)
    assert exported["network"]["runs"] == exported["baseline"]["runs"] == 7
    assert exported["ratio"]["low"] <= exported["ratio"]["median"] <= exported["ratio"]["high"]
    squeeze = 2 * 2 * 8 * (8 // 2)
    for row in (exported, rows["onnxruntime", "int8"]):
        files = row["exported"]
        assert [files[name]["macs"] for name in ("baseline", "network")] == [MACS, MACS + squeeze]
        assert [files[name]["counted_macs"] for name in ("baseline", "network")] == [MACS, MACS + squeeze]
        assert files["network"]["file_bytes"] > files["baseline"]["file_bytes"] > 0
        assert files["settings"]["intra_op_threads"] == 1
    assert 0 < exported["exported"]["network"]["agreement"]["difference"] < 1e-3
    assert exported["exported"]["network"]["agreement"]["tolerance"] == 1e-3
    quantized = rows["onnxruntime", "int8"]["exported"]
    assert (exported["exported"]["calibration"], quantized["calibration"]) == (None, "net.py:data")
    assert quantized["network"]["agreement"]["difference"] > exported["exported"]["network"]["agreement"]["difference"]
    if sys.platform == "linux":
        assert exported["exported"]["network"]["resident_bytes"] > 0


def measured(model, inputs, **options):
    return uc.measure(model, inputs, runtime="onnxruntime", threads=1, **{"repeats": 7, **options})


def test_a_network_of_the_project_with_ulsam(folder):
    options = {"positions": "11:1", "groups": 2, "width": 0.25, "resolution": 32}
    model = uc.build("mv1", **options)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    timed = measured(model, torch.randn(1, 3, 32, 32))
    assert (timed.network.runs, timed.batch, timed.dtype, timed.ratio) == (7, 1, torch.float32, None)
    files = timed.exported.network
    assert files.macs == files.counted_macs == uc.network_cost("mv1", **options).macs
    assert timed.to_frame()["runtime"].tolist() == ["onnxruntime"]
    assert model.training
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_keywords_keep_their_places(folder):
    inputs = {name: torch.randn(2, 3) for name in ("x", "a", "b")}
    assert measured(Swapped(), inputs, dtype="float16").exported.network.agreement.difference < 2e-2


def test_a_model_that_cannot_be_exported_is_one_sentence(folder, capfd):
    with pytest.raises(CostError, match=r"the network cannot be exported to ONNX Runtime: .*svd") as raised:
        measured(Unknown(), torch.randn(2, 3))
    assert "\n" not in str(raised.value)
    assert capfd.readouterr() == ("", "")


def test_a_random_model_says_so_in_its_row_and_torch_is_measured(folder):
    done = run("net.py:noisy", "--runtime", "onnxruntime,torch", "--threads", "1")
    assert done.exit_code == 0, done.output
    assert "batch 2, float32, onnxruntime: ONNX Runtime, network: the outputs differ from PyTorch's by" in done.stdout
    assert "of the largest value: up to 0.001 is accepted" in done.stdout


def test_a_runtime_that_is_not_installed(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    done = run("net.py:net", "--runtime", "onnxruntime")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "onnxruntime is not installed: pip install 'ulsam-cost[onnxruntime]'" in done.stderr
    done = run("net.py:net", "--runtime", "onnxruntime,torch")
    assert done.exit_code == 0
    assert "batch 2, float32, onnxruntime: onnxruntime is not installed" in done.stdout


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--runtime", "onnx"], "unknown runtime 'onnx': did you mean 'onnxruntime'?"),
        (
            ["--runtime", "onnxruntime", "--mode", "compile"],
            "mode 'compile' with runtime 'onnxruntime': it is accepted",
        ),
        (["--runtime", "onnxruntime", "--train"], "train with runtime 'onnxruntime'"),
        (
            ["--runtime", "onnxruntime", "--memory-format", "channels_last"],
            "memory format 'channels_last' with runtime",
        ),
        (["--runtime", "onnxruntime", "--kernels"], "a roofline and kernels are given with runtime torch alone"),
        (["--dtype", "int8"], "the runtime torch measures float32, float16, bfloat16, float64, not int8"),
        (["--threads", "0"], "'0' is not a positive whole number"),
        (["--dtype", "int8", "--calibration", "net.py:nothing"], "unknown name of net.py 'nothing'"),
        (
            ["--dtype", "int8", "--calibration", "net.py:MACS"],
            "calibration net.py:MACS: int is not accepted, a list of inputs is",
        ),
        (["--calibration", "net.py:nothing"], "calibration is used with dtype int8 only, and dtype float32 is given"),
    ],
)
def test_bad_input_is_one_sentence(folder, words, said):
    (folder / "net.py").write_text(f"{MODELS}\nMACS = 3\n")
    done = run("net.py:net", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


def child():
    [found] = workers()
    return found


def test_a_process_that_dies_is_one_sentence(folder):
    def kill(share):
        for each in workers():
            each.kill()

    with pytest.raises(CostError, match="ONNX Runtime: its process was killed by SIGKILL, as when memory runs out"):
        measured(nn.Linear(64, 64), torch.randn(64, 64), repeats=10**7, progress=kill)


def test_an_interrupt_leaves_what_was_measured(folder):
    def stop(share):
        if share:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedMeasurement) as raised:
        measured(nn.Linear(64, 64), torch.randn(64, 64), repeats=10**7, progress=stop)
    assert raised.value.partial.network.runs > 0
    assert raised.value.partial.exported.network.agreement.tolerance == 1e-3


def test_a_silent_process_is_ended(folder, monkeypatch):
    monkeypatch.setattr(process, "SILENT_SECONDS", 0.01)
    with pytest.raises(CostError, match=r"its process did nothing for 0\.01 seconds"):
        next(process.messages_of("It", {"task": "memory"}))


def test_a_process_that_is_kept_does_the_next_job_and_one_that_died_is_replaced(folder):
    job = {"task": "measure", "runtime": "onnxruntime", "folder": str(folder), "models": ["none"], "threads": 1}

    def failed():
        with pytest.raises(CostError) as raised:
            next(kept.messages_of("It", {**job, "dtype": "float32"}))
        return str(raised.value)

    with closing(process.KeptProcesses()) as kept:
        assert "ONNX Runtime does not load the none" in failed()
        first = child()
        assert "ONNX Runtime does not load the none" in failed()
        assert child() == first
        first.kill()
        assert failed() == "It: its process was killed by SIGKILL, as when memory runs out"
        assert "ONNX Runtime does not load the none" in failed()
        assert child() != first


def test_agreement_is_a_share_of_the_largest_output():
    wanted = [np.array([1.0, -4.0, 2.0])]
    found = agreement([np.array([1.0, -4.0, 2.002])], wanted, "float32")
    assert found.difference == pytest.approx(0.002 / 4)
    assert found.note is None
    with pytest.raises(
        CostError, match=r"differ from PyTorch's by 0\.0025 of the largest value: up to 0\.001 is accepted"
    ):
        agreement([np.array([1.0, -4.0, 2.01])], wanted, "float32")
    assert agreement([np.array([1.0, -4.0, 2.01])], wanted, "int8").tolerance is None
    with pytest.raises(CostError, match="the outputs have shapes 3x1, and PyTorch's 3"):
        agreement([np.ones((3, 1))], wanted, "float32")
    with pytest.raises(CostError, match="differ from PyTorch's by inf"):
        agreement([np.array([1.0])], [np.array([0.0])], "int8")
    with pytest.raises(CostError, match="PyTorch's own outputs are not all finite"):
        agreement([np.array([1.0])], [np.array([np.nan])], "int8")
    with pytest.raises(CostError, match="differ from PyTorch's by nan"):
        agreement([np.array([np.nan])], [np.array([1.0])], "int8")


def test_twice_what_pytorch_itself_loses_is_accepted():
    wanted, given = [np.array([1.0, -4.0, 2.0])], [np.array([1.0, -4.0, 2.36])]  # 0.09 of the largest
    with pytest.raises(CostError, match=r"by 0\.09 of the largest value: up to 0\.08 is accepted"):
        agreement(given, wanted, "float16", own=0.04)
    assert agreement(given, wanted, "float16", own=0.05).tolerance == 0.1
    assert agreement(wanted, wanted, "float16", own=0.001).tolerance == 0.02


def test_outputs_that_are_all_equal_show_little():
    assert agreement([np.zeros(3)], [np.zeros(3)], "float32").note == NEARLY_EQUAL_NOTE
    assert agreement([np.ones(3)], [np.array([1, 1, 1.0001])], "float32").note == NEARLY_EQUAL_NOTE
    assert agreement([np.ones(1)], [np.ones(1)], "float32").note is None


def test_threads_are_torchs_too_and_come_back():
    seen, before = [], torch.get_num_threads()

    class Watch(nn.Module):
        def forward(self, x):
            seen.append(torch.get_num_threads())
            return x

    timed = uc.measure(Watch(), torch.ones(1), device="cpu", threads=2, repeats=3)
    assert seen[-3:] == [2, 2, 2]
    assert (torch.get_num_threads(), timed.to_dict()["threads"]) == (before, 2)


def test_profile_has_a_row_a_runtime(folder):
    words = [
        "mv1",
        "--positions",
        "11:1",
        "--groups",
        "2",
        "--width",
        "0.25",
        "--resolution",
        "32",
        "--repeats",
        "7",
        "--threads",
        "1",
    ]
    done = CliRunner().invoke(main, ["profile", *words, "--runtime", "onnxruntime,torch", "--format", "json"])
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    jsonschema.validate(record, json.loads((SCHEMAS / "profile.json").read_text()))
    assert [(row["runtime"], row["threads"], row["error"]) for row in record["runtimes"]] == [
        ("onnxruntime", 1, None),
        ("torch", 1, None),
    ]
    assert record["latency"] == {key: record["runtimes"][0][key] for key in record["latency"]}
    assert record["latency"]["exported"]["network"]["macs"] == record["macs"]
    assert record["latency"]["exported"]["baseline"]["macs"] == record["baseline"]["macs"]


def test_profile_says_that_a_runtime_is_missing(folder, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    words = ["profile", "mv1", "--width", "0.25", "--resolution", "32", "--repeats", "7", "--device", "cpu"]
    done = CliRunner().invoke(main, [*words, "--runtime", "torch,onnxruntime"])
    assert done.exit_code == 0, done.output
    assert "batch 1, float32, onnxruntime: onnxruntime is not installed: pip install" in done.stdout
    done = CliRunner().invoke(main, [*words, "--runtime", "onnxruntime"])
    assert done.exit_code == 2
    assert "onnxruntime is not installed: pip install" in done.stderr


def test_review_times_candidates_in_the_runtimes_of_its_design(folder, undrawn):
    (folder / "design.toml").write_text(
        """
title = "Runtimes"
baseline = "net.py:net"

[measure]
device = "cpu"
repeats = 7
threads = 1
runtime = "torch"

[[candidate]]
name = "SE"
model = "net.py:net --attention se --after 2 --option reduction=2"

[[candidate]]
name = "unknown"
model = "net.py:unknown"
"""
    )
    done = CliRunner().invoke(main, ["review", "design.toml", "--runtime", "onnxruntime,torch", "--format", "json"])
    assert done.exit_code == 0, done.output
    record = json.loads(done.stdout)
    jsonschema.validate(record, json.loads((SCHEMAS / "review.json").read_text()))
    gated, unknown = record["candidates"]
    assert [(row["runtime"], row["threads"]) for row in gated["latency"]] == [("onnxruntime", 1), ("torch", 1)]
    assert gated["latency"][0]["exported"]["network"]["macs"] * 2 == gated["macs"]  # at batch 1, counted at 2
    assert gated["untimed"] == []
    assert [row["runtime"] for row in unknown["latency"]] == ["torch"]
    [row] = unknown["untimed"]
    assert row["is_first"]
    assert row["error"].startswith("the network cannot be exported to ONNX Runtime: ")
    assert f"unknown has no time at batch 1 in onnxruntime: {row['error']}." in record["findings"]


@pytest.mark.parametrize(
    ("line", "words", "said"),
    [
        ('runtime = "onnx"', [], "line 5: unknown runtime 'onnx': did you mean 'onnxruntime'?"),
        ("runtime = []", [], "runtime = []: a name or a list of names is accepted"),
        ("threads = [1, 2]", [], "threads = [1, 2]: one number is accepted"),
        ('device = "cpu"', ["--runtime", "tensorflow"], "unknown runtime 'tensorflow'"),
    ],
)
def test_bad_runtimes_of_a_design_are_one_sentence(folder, line, words, said):
    text = (
        f'title = "T"\nbaseline = "net.py:net"\n\n[measure]\n{line}\n[[candidate]]\nname = "a"\nmodel = "net.py:net"\n'
    )
    (folder / "design.toml").write_text(text)
    done = CliRunner().invoke(main, ["review", "design.toml", *words])
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr


def test_a_design_that_measures_nothing_has_no_runtime(folder):
    (folder / "design.toml").write_text('title = "T"\nbaseline = "mv1"\n[[candidate]]\nname = "a"\nmodel = "mv1"\n')
    done = CliRunner().invoke(main, ["review", "design.toml", "--threads", "1"])
    assert done.exit_code == 2
    assert "nothing is measured: add a table [measure]" in done.stderr


def test_an_export_begins_with_the_buffers_that_were_found(folder):
    done = run("net.py:counts", "--runtime", "onnxruntime", "--threads", "1", "--format", "json")
    assert done.exit_code == 0, done.stderr
    [measured] = json.loads(done.stdout)["rows"]
    assert measured["exported"]["network"]["agreement"]["difference"] < 1e-6  # it was a half, or a third


@pytest.mark.parametrize(
    ("name", "said"),
    [("no_tensor", "the network returns no tensor"), ("complex_numbers", "the network returns complex numbers")],
)
def test_what_cannot_be_compared_is_said_in_a_sentence(folder, name, said):
    done = run(f"net.py:{name}", "--runtime", "onnxruntime", "--threads", "1")
    assert (done.exit_code, done.stdout) == (2, "")
    assert said in done.stderr
