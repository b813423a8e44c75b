"""The commands: what they print, their JSON contract, and how they refuse bad input."""

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from ulsam_cost.cli import main

GOLDEN = Path(__file__).parent / "golden"
FORMATS = ("table", "markdown", "csv", "json", "latex")


def run(*args):
    return CliRunner().invoke(main, [str(arg) for arg in args])


def run_json(*args):
    result = run(*args, "--format", "json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.mark.parametrize("style", FORMATS)
def test_table1_prints_what_it_printed(style):
    result = run("table1", "--m", 512, "--hw", 14, "--format", style)
    assert result.exit_code == 0
    assert result.stdout == (GOLDEN / f"table1.{style}").read_text(encoding="utf-8")


def test_table1_of_every_mechanism_fits_a_hundred_columns():
    shown = run("table1", "--mechanisms", "all", "--exact", "--counted").stdout
    assert max(map(len, shown.splitlines())) <= 100
    assert "aw, sk, psa, splat, mhsa: no printed formula (over the 3 x 3" in shown
    rows = {row["mechanism"]: row for row in run_json("table1", "--m", 96, "--mechanisms", "spatial", "--counted")}
    assert rows["sge"]["counted_params"] is None
    assert "not on this map: groups = 64 does not divide channels = 96" in rows["sge"]["why"]
    assert rows["strip"]["counted_params"] == 3 * 96 * 96 + 3 * 96 * 96 + 96 * 96 + 96 + 2 * 2 * 96


def test_table1_is_the_papers():
    """The printed columns of Table 1, in thousands and millions, and its normalized MACs."""
    rows = {row["mechanism"]: row for row in run_json("table1", "--m", 512, "--hw", 14)}
    printed = {
        "non_local": (524, 102.76, 512),
        "a2": (66, 12.85, 64),
        "se": (33, 0.03, 0.16),
        "bam": (84, 16.49, 82.16),
        "cbam": (33, 0.05, 0.26),
        "ulsam": (1, 0.2, 1),
    }
    assert list(rows) == list(printed)
    for name, (params, macs, norm) in printed.items():
        row = rows[name]
        assert round(row["printed_params"] / 1e3) == params
        assert round(row["printed_macs"] / 1e6, 1 if name == "ulsam" else 2) == macs
        assert round(row["macs_ratio"], 2) == norm
        assert set(row) == {
            "mechanism",
            "printed_params",
            "printed_macs",
            "params_ratio",
            "macs_ratio",
            "params_formula",
            "macs_formula",
            "group",
            "source",
        }


def test_table1_takes_any_map():
    rows = {row["mechanism"]: row for row in run_json("table1", "--m", 10, "--hw", "3x5", "--t", 2, "--r", 4, "--g", 5)}
    assert rows["a2"]["printed_macs"] == 2 * 10 * 2 * 3 * 5
    assert rows["se"]["printed_params"] == 2 * 10 * 10 / 4
    assert rows["bam"]["printed_params"] == 4 * 100 / 4 + 18 * 100 / 16
    assert rows["ulsam"]["printed_macs"] == 2 * 10 * 3 * 5


def test_profile_keeps_its_contract():
    record = run_json("profile", "mv1", "--positions", "8:1,9:1,11", "--no-latency")
    assert set(record) == {
        *("network", "width", "resolution", "classes", "batch", "positions", "groups", "attention", "style"),
        *("params", "macs", "flops", "activations", "baseline", "delta", "derived", "layers", "uncounted"),
        *(
            "memory",
            "latency",
            "runtimes",
            "variant",
            "sites",
            "connection",
            "complete",
            "left_out",
            "after",
            "replace",
        ),
    }
    assert (record["params"], record["macs"], record["flops"]) == (3_966_248, 517_059_072, 2 * 517_059_072)
    assert record["derived"] == {"params": 3_966_248, "macs": 517_059_072}
    assert record["baseline"] == {"params": 4_231_976, "macs": 568_740_352, "complete": True, "left_out": ""}
    assert record["delta"] == {"params": 3_966_248 - 4_231_976, "macs": 517_059_072 - 568_740_352}
    assert record["positions"] == "8:1,9:1,11"
    assert (record["groups"], record["style"], record["latency"], record["uncounted"]) == (4, "equation", None, [])
    for key in ("params", "macs"):
        assert sum(layer[key] for layer in record["layers"]) == record[key]
    assert set(record["layers"][0]) == {"layer", "path", "kind", "params", "macs", "output", "complete"}
    assert [layer["layer"] for layer in record["layers"]][7:12] == ["8", "8:1", "9", "9:1", "10"]


def test_profile_measures_both_networks_in_turn():
    record = run_json("profile", "mv1", "--width", 0.25, "--resolution", 32, "--positions", 11, "--repeats", 12)
    latency = record["latency"]
    assert latency["device"] == "cpu" or latency["device"].startswith("cuda")
    for name in ("network", "baseline"):
        assert latency[name]["runs"] == 12
        assert 0 < latency[name]["p10_ms"] <= latency[name]["median_ms"] <= latency[name]["p90_ms"]
    assert latency["ratio"]["low"] <= latency["ratio"]["median"] <= latency["ratio"]["high"]


@pytest.mark.parametrize("style", FORMATS)
def test_profile_in_every_format(style):
    result = run("profile", "mv2", "--positions", "(14, 17)", "--layers", "--no-latency", "--format", style)
    assert result.exit_code == 0
    assert "15,680" in result.stdout or "15680" in result.stdout


def test_profile_layers_as_csv_add_up():
    result = run("profile", "mv2", "--layers", "--no-latency", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(result.stdout)))
    assert sum(int(row["macs"]) for row in rows) == 300_774_272


def test_profile_of_the_plain_network():
    assert run_json("profile", "mv2", "--attention", "none", "--no-latency")["macs"] == 300_774_272


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("table1", "--m", "0"), "'0' is not a positive whole number"),
        (("table1", "--m", "512.5"), "'512.5' is not a positive whole number"),
        (("table1", "--hw", "14x"), "'14x' is not a size"),
        (("table1", "--hw", "0"), "'0' is not a size"),
        (("table1", "--g", "3"), "g = 3 does not divide m = 512"),
        (("table1", "--mechanisms", "cbma"), "did you mean 'cbam'"),
        (("profile", "mv3"), "unknown network 'mv3': did you mean"),
        (("profile", "mv1", "--width", "-1"), "width = -1.0"),
        (("profile", "mv1", "--batch", "0"), "'0' is not a positive whole number"),
        (("profile", "mv1", "--device", "gpu"), "device 'gpu'"),
        (("profile", "mv1", "--positions", "13"), "layer 13 of mv1 changes the shape"),
        (("profile", "mv1", "--positions", "8:1", "--groups", "3"), "ulsam at 8:1 of mv1: g = 3"),
        (("profile",), "Missing argument"),
        (("frobnicate",), "No such command"),
        (("report", "--repeats", "0"), "'0' is not a positive whole number"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_2(args, said):
    result = run(*args)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert said in result.stderr
    assert result.stderr.startswith("Error: ")
    assert result.stderr.count("\n") == 1


def test_a_missing_gpu_is_refused_in_a_sentence():
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has one")
    result = run("profile", "mv1", "--device", "cuda")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "accepted values are auto, cpu" in result.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("table1",),
        ("table1", "--exact", "--counted", "--mechanisms", "all"),
        ("profile", "mv1", "--layers", "--no-latency"),
    ],
)
def test_tables_read_at_100_columns(args):
    assert max(map(len, run(*args).stdout.splitlines())) <= 100


def test_help_names_every_command():
    from ulsam_cost.cli import COMMANDS

    output = run("--help").stdout
    assert all(name in output for name in COMMANDS)
    for name in COMMANDS:
        assert "Usage" in run(name, "--help").stdout


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("table1", "--r", "1024"), "leaves no channel of m = 512"),
        (("profile", "mv1", "--style", "release"), "style: the network is plain"),
        (("profile", "mv1", "--input", "1x3x224x224", "--batch", "2"), "one of the two is accepted"),
        (("profile", "mv1 --width 0.5", "--width", "1"), "width is given"),
        (("profile", "mv1 --width 0.5 --width 1"), "width is given twice"),
        (("count", "mv1 --classes 1_0"), "classes = '1_0'"),
        (("count", "mv1 --batch"), "options with a value each"),
        (("explain", "--model", "mv1", "--printed", "-1"), "positive numbers are accepted"),
    ],
)
def test_nothing_that_is_given_is_ignored(args, said):
    result = run(*args)
    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_a_network_and_its_options_are_written_in_one_string_or_apart():
    apart = run_json("profile", "resnet50", "--attention", "se", "--option", "reduction=8", "--no-latency")
    together = run_json("profile", "resnet50 --attention=se --reduction 8", "--no-latency")
    assert apart == together


def test_the_plain_convention_is_the_plainest_explanation():
    lines = run("explain", "--model", "mv1", "--printed", "569M").stdout.splitlines()
    assert lines[1].startswith("* macs:")


def test_a_picture_for_a_model_that_is_none_makes_no_folder(tmp_path):
    assert run("count", "nomodel", "--figure", tmp_path / "new" / "x.png").exit_code == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "args",
    [
        ("compare", "mv1", "mv2", "resnet50", "resnet101"),
        ("explain", "ulsam", "Table 8", "2"),
        ("crosscheck",),
        ("crosscheck", "--claims"),
        ("conventions",),
        ("layers", "resnet50"),
        ("layers", "mv2", "--attention", "eca"),
    ],
)
def test_everything_printed_reads_at_100_columns(args):
    assert max(map(len, run(*args).stdout.splitlines())) <= 100
