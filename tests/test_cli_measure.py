"""`measure`: its JSON, what stands in a row that was refused, and what an interrupt leaves."""

import csv
import io
import json

import pytest
import torch
from click.testing import CliRunner

from ulsam_cost.cli import main
from ulsam_cost.measuring import roofline, rounds
from ulsam_cost.measuring import sweep as measure
from ulsam_cost.measuring import timing as latency
from ulsam_cost.measuring.busy import BUSY
from ulsam_cost.report.formats import milliseconds

SMALL = ("measure", "mv1", "--width", "0.25", "--resolution", "32", "--device", "cpu", "--repeats", "6")
PLACED = (*SMALL, "--positions", "11:1", "--groups", "4")


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def run_json(*args):
    result = run(*args, "--format", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture(autouse=True)
def quick_roof(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(roofline, "COPIED_BYTES", {"cpu": 2**16})
    monkeypatch.setattr(roofline, "MATRIX_SIZES", {"cpu": (16,)})
    monkeypatch.setattr(roofline, "CALIBRATION_SECONDS", 0.01)


def test_one_model_has_no_ratio():
    record = run_json(*SMALL)
    (row,) = record["rows"]
    assert record["baseline"] is row["baseline"] is row["ratio"] is row["verdict"] is row["error"] is None
    assert row["network"]["runs"] == 6
    assert record["machine"]["torch"] == torch.__version__
    assert record["machine"]["threads"] == torch.get_num_threads()


def test_a_placement_is_measured_against_the_plain_network():
    (row,) = run_json(*PLACED)["rows"]
    assert row["network"]["runs"] == row["baseline"]["runs"] == 6
    assert row["ratio"]["low"] <= row["ratio"]["median"] <= row["ratio"]["high"]
    assert row["verdict"] in ("faster", "slower", "no difference shown", BUSY)


def test_a_sweep_has_a_row_a_case():
    rows = run_json(*SMALL, "--batch", "1,2", "--dtype", "float32,bfloat16", "--memory-format", "channels_last")["rows"]
    assert [(row["batch"], row["dtype"], row["memory_format"]) for row in rows] == [
        (batch, dtype, "channels_last") for dtype in ("float32", "bfloat16") for batch in (1, 2)
    ]


def test_freed_memory_can_be_left_to_the_system():
    record = run_json(*SMALL, "--allocator", "system")
    assert record["machine"]["allocator"] == record["rows"][0]["allocator"] == "system"


def test_a_step_is_measured():
    (row,) = run_json(*SMALL, "--train", "--memory", "--batch", "2")["rows"]
    assert row["train"]
    assert row["memory"]["peak_bytes"] >= row["memory"]["bound_bytes"] > 0


def test_layers_and_their_roofline_estimates():
    (row,) = run_json(*PLACED, "--roofline", "--kernels", "--memory")["rows"]
    layers = {layer["layer"]: layer for layer in row["layers"]["rows"]}
    assert list(layers)[:15] == [str(n) for n in range(1, 12)] + ["11:1", "12", "13", "14"]
    assert row["layers"]["sum_ms"] == pytest.approx(sum(layer["median_ms"] for layer in layers.values()))
    # 11:1 is ULSAM on 128 x 2 x 2: 2 m h w MACs
    assert layers["11:1"]["macs"] == 2 * 128 * 2 * 2
    assert layers["11:1"]["kind"] == "ulsam"
    assert layers["1"]["over_least"] == pytest.approx(layers["1"]["median_ms"] / layers["1"]["least_ms"])
    assert {"bytes_per_second", "flops_per_second"} <= row["layers"]["roof"].keys()
    assert any(kernel["path"].startswith("features.ulsam11_1") for kernel in row["kernels"])


def test_the_table_says_it_all(tmp_path):
    picture = tmp_path / "roof.png"
    result = run(*PLACED, "--memory", "--kernels", "--picture", picture)
    assert result.exit_code == 0
    for words in (
        "in turn with",
        "threads",
        "ratio",
        "network / baseline",
        "least for the activations",
        "over roofline",
        "without hooks",
        "kernel",
    ):
        assert words in result.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert max(map(len, result.stdout.splitlines())) <= 100


def test_csv_is_one_table():
    rows = list(csv.DictReader(io.StringIO(run(*PLACED, "--batch", "1,2", "--format", "csv").stdout)))
    assert [row["batch"] for row in rows] == ["1", "2"]
    assert float(rows[0]["ratio"]) > 0


OWN = """
import torch
from torch import nn

class Two(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(10, 8)
        self.out = nn.Linear(8, 3)
    def forward(self, *, ids, scale):
        return self.out(self.table(ids)) * scale

def two(): return Two(), {"ids": torch.arange(6), "scale": torch.ones(6, 1)}
def wide(): return nn.Linear(8, 4)
"""


@pytest.fixture
def own(tmp_path):
    file = tmp_path / "own.py"
    file.write_text(OWN)
    return file


def test_anybodys_model_is_measured_with_its_inputs(own):
    record = run_json("measure", f"{own}:two", "--device", "cpu", "--repeats", "3", "--layers", "--memory")
    (row,) = record["rows"]
    assert (row["batch"], row["network"]["runs"]) == (6, 3)
    assert {"table", "out"} <= {layer["layer"] for layer in row["layers"]["rows"]}
    assert row["memory"]["inputs_bytes"] == 6 * 8 + 6 * 4


def test_inputs_are_repeated_to_the_batch(own):
    rows = run_json("measure", f"{own}:two", "--device", "cpu", "--repeats", "3", "--batch", "2,15")["rows"]
    assert [(row["batch"], row["error"]) for row in rows] == [(2, None), (15, None)]
    example = {"ids": torch.arange(3), "scale": torch.ones(1)}
    bigger = measure.batch_of(example, 7)
    assert bigger["ids"].tolist() == [0, 1, 2, 0, 1, 2, 0]
    assert bigger["scale"].shape == (1,)
    assert measure.batch_of(example, 7, "meta")["ids"].shape == (7,)


def test_any_model_may_be_the_baseline(own):
    args = ("measure", f"{own}:wide", "--input", "5x8", "--baseline", f"{own}:wide", "--device", "cpu")
    (row,) = run_json(*args, "--repeats", "6")["rows"]
    assert row["batch"] == 5
    assert row["ratio"]["low"] > 0


def test_a_network_may_bring_its_options_in_one_text():
    args = ("measure", "mv1 --width 0.25 --resolution 32 --positions 11:1", "--device", "cpu", "--repeats", "6")
    record = run_json(*args)
    assert record["model"] == "mv1 x0.25 with ulsam at 11:1"
    assert record["baseline"] == "mv1 x0.25"


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("wide", "--input", "5x9"), "does not run on these inputs"),
        (("wide",), "gives no example inputs"),
        (("two", "--width", "0.5"), "only with a network's name alone"),
        (("missing",), "unknown name"),
    ],
)
def test_a_model_that_does_not_run_is_one_sentence(own, options, sentence):
    name, *rest = options
    result = run("measure", f"{own}:{name}", "--device", "cpu", "--repeats", "2", *rest)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert result.stdout == ""


def test_precision_is_a_per_cent_or_a_share():
    assert run(*SMALL, "--precision", "5%").exit_code == 0
    assert run(*SMALL, "--precision", "0.05").exit_code == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--dtype", "int4"), "unknown dtype 'int4'"),
        (("--mode", "fast"), "unknown mode 'fast'"),
        (("--mode", "graph"), "CUDA graph"),
        (("--layers", "--mode", "compile"), "use --mode eager"),
        (("--layers", "--train"), "layers are timed in a forward pass only"),
        (("--energy",), "leave out --energy"),
        (("--precision", "200%"), "1% or 0.01 is accepted"),
        (("--precision", "small"), "1% or 0.01 is accepted"),
        (("--batch", "1,0"), "not a positive whole number"),
        (("--max-seconds", "0"), "a positive number of seconds"),
        (("--device", "cuda:99"), "accepted"),
        (("--device", "tpu"), "accepted"),
        (("--positions", "99"), "has no layer 99"),
    ],
)
def test_bad_input_is_one_sentence(options, sentence):
    result = run(*SMALL, *options)
    assert result.exit_code == 2
    assert sentence in result.stderr
    assert "Traceback" not in result.output
    assert result.stdout == ""


@pytest.fixture
def small_memory(monkeypatch):
    """A machine on which batch 2 and more do not fit."""
    original = latency.prepare

    def prepare(model, inputs, setting):
        if len(inputs) > 1:
            with measure.refusals_in_a_sentence(setting.device, "it"):
                raise torch.cuda.OutOfMemoryError("CUDA out of memory")
        return original(model, inputs, setting)

    monkeypatch.setattr(latency, "prepare", prepare)


def test_a_batch_that_does_not_fit_says_so_in_its_row(small_memory):
    rows = run_json(*SMALL, "--batch", "1,2,1")["rows"]
    assert [row["error"] is None for row in rows] == [True, False, True]
    assert "smaller batch" in rows[1]["error"]
    assert "smaller batch" in run(*SMALL, "--batch", "1,2").stdout


def test_a_sweep_without_any_result_is_an_error(small_memory):
    result = run(*SMALL, "--batch", "2,3")
    assert result.exit_code == 2
    assert "smaller batch" in result.stderr


def test_an_impossible_batch_is_one_sentence():
    result = run(*SMALL, "--batch", 10**12)
    assert result.exit_code == 2
    assert "smaller batch" in result.stderr


@pytest.mark.parametrize(("runs", "kept"), [(0, [None]), (6, [6, None]), (9, [6, 3])])
def test_an_interrupt_leaves_what_was_measured(monkeypatch, tmp_path, runs, kept):
    file, done = tmp_path / "out" / "measured.json", []

    def stopped(run):
        if len(done) == runs:
            raise KeyboardInterrupt
        done.append(run())
        return 1.0

    monkeypatch.setattr(rounds, "_warm_up", lambda *_: None)
    monkeypatch.setattr(latency, "_stopwatch", lambda device: stopped)
    result = run(*SMALL, "--batch", "1,2", "--output", file)
    assert result.exit_code == 130
    assert "interrupted" in result.stderr
    assert "interrupted" in result.stdout
    rows = json.loads(file.read_text())["rows"]
    assert [row["network"] and row["network"]["runs"] for row in rows] == kept
    assert [row["error"] for row in rows] == [*[None] * (len(kept) - 1), "interrupted"]


@pytest.mark.parametrize(("runs", "pairs"), [(0, None), (1, None), (13, 6)])
def test_an_interrupted_profile_prints_what_it_has(monkeypatch, runs, pairs):
    done = []

    def stopped(run):
        if len(done) == runs:
            raise KeyboardInterrupt
        done.append(run())
        return 1.0

    monkeypatch.setattr(rounds, "_warm_up", lambda *_: None)
    monkeypatch.setattr(latency, "_stopwatch", lambda device: stopped)
    result = run("profile", *PLACED[1:], "--repeats", "10", "--format", "json")
    assert result.exit_code == 130
    assert "interrupted" in result.stderr
    record = json.loads(result.stdout)
    assert record["macs"] > 0
    assert record["memory"] is None
    assert (record["latency"] and record["latency"]["network"]["runs"]) == pairs


def test_a_result_is_saved_after_each_row(monkeypatch, tmp_path):
    file, seen = tmp_path / "measured.json", []
    original = measure._steps

    def parts(*args):
        seen.append(len(json.loads(file.read_text())["rows"]) if file.exists() else 0)
        return original(*args)

    monkeypatch.setattr(measure, "_steps", parts)
    assert run(*SMALL, "--batch", "1,2,3", "--output", file).exit_code == 0
    assert seen == [0, 1, 2]
    assert len(json.loads(file.read_text())["rows"]) == 3


@pytest.mark.parametrize("option", ["--output", "--picture"])
def test_a_file_that_cannot_be_written_is_refused_before_anything_runs(tmp_path, option, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setattr(measure, "sweep", None)
    result = run(*SMALL, option, tmp_path / "file" / "x")
    assert result.exit_code == 1
    assert "cannot write" in result.stderr


def test_milliseconds_keep_three_digits():
    column = milliseconds("ms", "ms")
    assert [column.show(value) for value in (0.01234, 1.5, 12.34, None)] == ["0.0123", "1.500", "12.3", ""]
