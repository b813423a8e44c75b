"""`analyses/latency`: its loop is ULSAM, it needs little, and it can be stopped and taken up again."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from ulsam_cost.measuring import roofline
from ulsam_cost.measuring import timing as latency
from ulsam_cost.measuring.rounds import Effort
from ulsam_cost.nn.attention.ulsam import ULSAM

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def study():
    from analyses.latency import __main__ as study

    return study


@pytest.fixture
def small(study, monkeypatch, tmp_path):
    """Maps and effort too small to take time, on a machine that is never busy."""
    monkeypatch.setattr(latency, "busy_reason", lambda timings, load: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    roof = roofline.Roof(device="d", dtype="float32", bytes_per_second=1e9, flops_per_second=1e9)
    monkeypatch.setattr(roofline, "_calibrate", lambda device, dtype: roof)
    monkeypatch.setattr(study, "CHANNELS", 64)
    monkeypatch.setattr(study, "SIZE", 4)
    monkeypatch.setattr(study, "BATCHES", (1, 2))
    monkeypatch.setattr(study, "MOST_SECONDS", 0.01)
    return study


@pytest.mark.parametrize("groups", [1, 4, 16])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("batch", [1, 2])
def test_the_loop_and_the_module_agree(study, groups, layout, batch):
    ulsam = ULSAM(64, groups).eval()
    x = torch.randn(batch, 64, 7, 5).to(memory_format=layout)
    with torch.no_grad():
        assert torch.allclose(ulsam(x), study.LoopedULSAM(ulsam)(x), atol=1e-6)


def test_every_published_placement_is_there(study):
    placements = study.published_placements()
    assert ("mv1", 1.0, "8:1,9:1,11") in placements
    assert ("mv1", 0.5, "8:1,9:1,11") in placements
    assert ("mv2", 1.0, "13,14,16,17") in placements
    assert len(placements) == len(set(placements)) == 13


def test_tasks_have_keys_of_their_own_and_cover_the_study(study):
    tasks = list(study.Study(torch.device("cpu")).tasks())
    assert len({task.key for task in tasks}) == len(tasks)
    placed = [task.facts for task in tasks if task.facts["section"] == "placement"]
    assert len(placed) == 13 * 4 * 2 * 2
    assert {(facts["groups"], facts["style"], facts["batch"]) for facts in placed} == {
        (groups, style, batch) for groups in (1, 4, 8, 16) for style in ("equation", "release") for batch in (1, 64)
    }


def test_an_interrupted_run_is_taken_up_where_it_ended(small, tmp_path, monkeypatch):
    answers = iter([1, KeyboardInterrupt, 2, 3])

    def answer(effort):
        if (found := next(answers)) is KeyboardInterrupt:
            raise KeyboardInterrupt
        return {"found": found}

    tasks = [small.Task(facts={"section": "own", "number": number}, run=answer) for number in range(3)]
    monkeypatch.setattr(small.Study, "tasks", lambda study: tasks)
    file, arguments = tmp_path / "latency_cpu.json", ["--device", "cpu", "--out", str(tmp_path)]
    first = CliRunner().invoke(small.main, arguments)
    assert first.exit_code == 130
    assert [row["found"] for row in json.loads(file.read_text())["rows"]] == [1]
    assert "1 of 3 measurements" in (tmp_path / "latency_cpu.md").read_text()
    second = CliRunner().invoke(small.main, arguments)
    assert second.exit_code == 0
    assert [row["found"] for row in json.loads(file.read_text())["rows"]] == [1, 2, 3]


def test_a_deadline_ends_the_run_between_tasks(small):
    task = small.Task(facts={"section": "own"}, run=None)
    record = {"machine": {}, "rows": [], "tasks": 1}
    small.measure_all([task], record, 0, None)
    assert record["rows"] == []


def test_the_record_grows_task_by_task(small, tmp_path):
    study, saved = small.Study(torch.device("cpu")), []
    tasks = [task for task in study.tasks() if task.facts["section"] in ("ulsam", "mechanism")]
    tasks = [task for task in tasks if task.facts["mode"] == "eager"][:8]
    record = {"machine": {"name": "here"}, "dtype": "float32", "rows": [], "tasks": len(tasks)}
    small.measure_all(tasks[:5], record, 60, lambda: saved.append(len(record["rows"])))
    assert saved == [1, 2, 3, 4, 5]
    small.measure_all(tasks, record, 60, lambda: saved.append(len(record["rows"])))
    assert saved == [1, 2, 3, 4, 5, 6, 7, 8]
    files = small.latency_files(record, "here")
    assert b"ULSAM compared with a loop" in files["latency_here.md"]
    assert b"8 of 8 measurements" in files["latency_here.md"]


def test_a_task_that_is_refused_says_why_and_is_tried_again(small):
    from ulsam_cost.errors import DeviceError

    answers = iter([DeviceError("no compiler here"), {"done": True}])

    def run(effort: Effort):
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    task = small.Task(facts={"section": "ulsam"}, run=run)
    record = {"machine": {"name": "here"}, "dtype": "float32", "rows": [], "tasks": 1}
    small.measure_all([task], record, 60, lambda: None)
    assert record["rows"] == [{"facts": {"section": "ulsam"}, "error": "no compiler here"}]
    assert b"no compiler here" in small.latency_files(record, "here")["latency_here.md"]
    small.measure_all([task], record, 60, lambda: None)
    assert record["rows"] == [{"facts": {"section": "ulsam"}, "done": True}]


def test_a_ratio_with_a_wide_interval_is_measured_again_in_its_place(small):
    answers = iter([(0.9, 1.2), (0.98, 1.02)])

    def run(effort):
        low, high = next(answers)
        return {"latency": {"ratio": {"median": 1.0, "low": low, "high": high}}}

    wide = small.Task(facts={"section": "own", "number": 1}, run=run)
    other = small.Task(facts={"section": "own", "number": 2}, run=lambda effort: {})
    record = {"machine": {}, "rows": [], "tasks": 2}
    for _ in range(3):
        small.measure_all([wide, other], record, 60, lambda: None)
    assert [row["facts"]["number"] for row in record["rows"]] == [1, 2]
    assert record["rows"][0]["latency"]["ratio"]["high"] == 1.02


@pytest.mark.parametrize("where", [lambda busy: {"latency": {"busy": busy}}, lambda busy: {"busy": busy}])
def test_a_row_that_was_taken_on_a_busy_machine_is_measured_again(small, where):
    answers = iter([where("others used 2 of 2 cores"), where(None)])
    task = small.Task(facts={"section": "own"}, run=lambda effort: next(answers))
    record = {"machine": {}, "rows": [], "tasks": 1}
    for _ in range(3):
        small.measure_all([task], record, 60, lambda: None)
    assert record["rows"] == [{"facts": {"section": "own"}, **where(None)}]


def test_rows_of_a_slower_machine_are_measured_again_and_no_others(small):
    plain_ms, taken = {1: [10.0], 2: [16.0, 10.2], 3: [10.4]}, []

    def task(groups):
        def run(effort):
            taken.append(groups)
            return {"latency": {"baseline": {"median_ms": plain_ms[groups].pop(0)}}}

        facts = {"section": "placement", "network": "mv1", "width": 1.0, "positions": "11", "groups": groups}
        return small.Task(facts=facts, run=run)

    record = {"machine": {}, "rows": [], "tasks": 3}
    for _ in range(3):
        small.measure_all([task(groups) for groups in plain_ms], record, 60, lambda: None)
    assert taken == [1, 2, 3, 2]
    assert [row["latency"]["baseline"]["median_ms"] for row in record["rows"]] == [10.0, 10.2, 10.4]


def test_it_needs_neither_fvcore_nor_thop(tmp_path):
    program = (
        "import sys, runpy\n"
        "for name in ('fvcore', 'thop', 'ptflops', 'torchvision', 'scipy', 'yaml'): sys.modules[name] = None\n"
        f"sys.argv = ['latency', '--device', 'cpu', '--minutes', '0', '--out', {str(tmp_path)!r}]\n"
        "runpy.run_module('analyses.latency', run_name='__main__')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "latency_cpu.md").is_file()
