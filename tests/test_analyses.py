"""Each study runs as it is: its own assertions hold, and it prints and writes what it promises."""

import json
import os
import subprocess
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ANALYSES = ROOT / "analyses"
NEED_TIMM = {"attention_times.py", "timm_exam.py"}  # what they write is tested in test_published_times and test_exam
RECORDER, TOOLS = "counters_recorded.py", ("ptflops", "torchinfo", "torchprofile", "calflops")
STUDIES = {
    "doorbell.py": "ContrastGate 118504800",
    "counters.py": "A transformer of 70 billion parameters",
    "mobilenets.py": "517,059,072",
    "table1.py": "ulsam",
    "your_paper.py": "568,740,352",
}


@pytest.fixture
def run(tmp_path, warm):
    """A function that gives what a study prints, run from another folder, and its own message where it fails."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "XDG_CACHE_HOME": str(tmp_path)}

    def run(*command):
        command = [*warm, *map(str, command)]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def test_no_study_is_left_out():
    there = {path.name for path in ANALYSES.iterdir() if path.suffix == ".py" or (path / "__main__.py").is_file()}
    assert there == {*STUDIES, RECORDER, *NEED_TIMM, "latency", "runtimes"}


@pytest.mark.parametrize("study", ["doorbell.py", "mobilenets.py", "table1.py", "your_paper.py"])
def test_a_study_prints_its_table(study, run):
    printed = run(ANALYSES / study)
    assert STUDIES[study] in printed
    assert "NO" not in printed


def test_counters_are_compared(tmp_path, run):
    assert STUDIES["counters.py"] in run(
        ANALYSES / "counters.py", "--networks", "mv2", "--runs", "1", "--out", tmp_path
    )
    assert (tmp_path / "counters.md").is_file()


def test_other_counters_are_recorded_and_say_what_the_record_holds(tmp_path, run):
    missing = [tool for tool in TOOLS if find_spec(tool) is None]
    if missing:
        pytest.skip(f"needs the tools of the dev extra: {', '.join(missing)}")
    run(ANALYSES / RECORDER, "--only", "attention se", "--out", tmp_path / "counters.json")
    recorded = json.loads((ROOT / "ulsam_cost" / "published" / "counters.json").read_text(encoding="utf-8"))
    found = json.loads((tmp_path / "counters.json").read_text(encoding="utf-8"))
    assert found["totals"] == {"attention se": recorded["totals"]["attention se"]}


def test_the_device_study_writes_its_page(tmp_path, run):
    run("-m", "analyses.latency", "--device", "cpu", "--minutes", "0", "--out", tmp_path)
    assert (tmp_path / "latency_cpu.md").is_file()


def test_the_study_of_the_runtimes_starts(tmp_path, run):
    run("-m", "analyses.runtimes", "--minutes", "0", "--out", tmp_path)
    assert (tmp_path / "runtimes_cpu.md").is_file()
