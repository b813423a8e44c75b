"""`analyses/runtimes`: what it measures, that it exports a model once, and what its page says."""

import json
import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
import torch
from click.testing import CliRunner

from analyses.latency import tasks
from analyses.runtimes import __main__ as study
from analyses.runtimes import exporter as exporting
from analyses.runtimes.__main__ import Study
from analyses.runtimes.exporter import Exporter, Job, pinned_processes
from analyses.runtimes.page import runtime_files
from ulsam_cost.audit.evidence import run_audit
from ulsam_cost.errors import CostError
from ulsam_cost.formulas.attention import REGISTERED
from ulsam_cost.measuring.rounds import Effort
from ulsam_cost.measuring.runtimes.process import KeptProcesses
from ulsam_cost.report.site.build import report_files, timed_findings
from ulsam_cost.report.site.runtimes import rows_of, saving_sentence

pytestmark = pytest.mark.usefixtures("onnx_operators")

RUNTIMES = {
    "torch": {"title": "PyTorch", "version": "2"},
    "onnxruntime": {"title": "ONNX Runtime", "version": "1"},
}
PLACED = {"section": "placement", "network": "mv2", "width": 1.0, "positions": "13,14,16,17", "groups": 4}
EFFORT = Effort(repeats=3)
FORM = ("onnxruntime", "float32")


def times(median):
    return {"median_ms": median, "p10_ms": median, "p90_ms": median, "low_ms": median, "high_ms": median, "runs": 9}


def row(facts, *, runtime="torch", dtype="float32", threads=1, ratio=0.9, verdict="faster", macs=None):
    where = {"runtime": runtime, "dtype": dtype, "threads": threads}
    model = {
        "file_bytes": 3 * 2**20,
        "resident_bytes": None,
        "macs": 290_000_000,
        "counted_macs": 300_000_000,
        "agreement": {"difference": 1e-6, "tolerance": 1e-4, "note": None},
    }
    latency = {
        "network": times(10 * ratio),
        "baseline": times(10.0),
        "ratio": {"median": ratio, "low": ratio - 0.01, "high": ratio + 0.01},
        "verdict": verdict,
        "busy": None,
        "exported": None if runtime == "torch" else {"network": model, "baseline": model},
    }
    return {"facts": facts | where, "macs_pct": macs, "latency": latency}


def mechanism(name, runtime, ms):
    facts = {"section": "mechanism", "mechanism": name}
    made = row(facts, runtime=runtime)
    made["latency"] |= {"network": times(ms), "baseline": None, "ratio": None, "verdict": None}
    return made


def record(*rows):
    machine = {"name": "Toaster", "device": "cpu", "load": 0.0}
    return {"machine": machine, "runtimes": RUNTIMES, "rows": list(rows), "tasks": 7}


@pytest.fixture
def exporter(tmp_path):
    """Exports two at a time, in this process."""
    with ThreadPoolExecutor(1) as executor:
        yield Exporter(tmp_path / "exported", executor, ahead=2)


def test_every_placement_and_every_mechanism_everywhere(tmp_path, exporter):
    facts = [task.facts for task in Study(tmp_path, list(RUNTIMES), (1, 2), exporter).tasks()]
    placements = len(study.published_placements())
    float_rows = 2 * 2 * (3 * placements + len(REGISTERED))  # runtimes, threads, subspaces
    int8_rows = 1 * 2 * (3 * placements + len(REGISTERED))  # PyTorch's eager mode has none
    assert len(facts) == len({tasks.key_of(each) for each in facts}) == float_rows + int8_rows
    first = next(each for each in facts if each["section"] == "placement")
    assert study.add_macs(first)["macs_pct"] < 0


def chosen_tasks(chosen, folder, exporter, runtimes, threads, processes=None):
    """The tasks of a study whose facts are chosen; the others are kept, and nothing is exported for them."""
    other = Exporter(folder, exporter.executor, ahead=1)
    kept = {task.key for task in Study(folder, runtimes, threads, other).tasks() if not chosen(task.facts)}
    return [task for task in Study(folder, runtimes, threads, exporter, processes, kept).tasks() if chosen(task.facts)]


@pytest.fixture
def events(monkeypatch):
    """What is exported and measured: GC cannot be exported, and SE not in int8."""
    done = []

    def export(job, folder):
        model = job.model if isinstance(job.model, str) else ",".join(map(str, job.model.placement.replaced))
        done.append((job.name, model, [dtype for _, dtype in job.formats]))
        return {
            form: "no such operator"
            for form in job.formats
            if model == "gc" or (model == "se" and form == ("onnxruntime", "int8"))
        }

    class Exports:
        def __init__(self, folder, runtime, dtype, *, measures_memory, processes):
            assert not measures_memory
            self._dtype = dtype

        def take(self, name, folder):
            assert folder.parts[-2:] == (f"onnxruntime_{self._dtype}", name)

        def measure(self, setting, effort, progress):
            done.append((self._dtype, setting.threads))
            raise CostError("enough")

    monkeypatch.setattr(exporting, "export", export)
    monkeypatch.setattr(study, "Exports", Exports)
    return done


def errors_of(chosen):
    errors = []
    for task in chosen:
        with pytest.raises(CostError) as caught:
            task.run(EFFORT)
        errors.append(str(caught.value))
    return errors


def test_a_model_is_exported_once_and_what_fails_is_not_tried_again(tmp_path, exporter, events):
    names = ("se", "gc", "eca")
    three = chosen_tasks(lambda facts: facts.get("mechanism") in names, tmp_path, exporter, ["onnxruntime"], (1, 2))
    order = [task.facts["mechanism"] for task in three[::4]]
    assert sorted(order) == sorted(names)
    said = {"se": ["enough", "enough", "no such operator", "no such operator"], "gc": ["no such operator"] * 4}
    assert errors_of(three) == [error for name in order for error in said.get(name, ["enough"] * 4)]
    assert [event for event in events if event[0] == "network"] == [
        ("network", name, ["float32", "int8"]) for name in order
    ]


def test_two_are_exported_before_the_first_is_measured(tmp_path, exporter, events):
    def chosen(facts):
        return (facts.get("network"), facts.get("groups"), facts["dtype"]) == ("mv2", 4, "float32")

    placed = chosen_tasks(chosen, tmp_path, exporter, ["onnxruntime"], (1,))[:3]
    positions = [task.facts["positions"] for task in placed]
    assert errors_of(placed) == ["enough"] * 3
    assert [event[:2] for event in events] == [
        ("baseline", ""),
        ("network", positions[0]),
        ("float32", 1),
        ("network", positions[1]),
        ("network", positions[2]),
        ("float32", 1),
        ("float32", 1),
    ]


def test_what_was_measured_is_deleted_but_not_a_baseline(tmp_path, exporter):
    jobs = [Job("se", "baseline", ()), *(Job(name, "network", ()) for name in ("se", "gc", "eca", "bam"))]
    exporter.plan(jobs)
    exporter.plan(jobs[:2])
    for job in jobs:
        assert exporter.exported(job, FORM).parts[-2:] == ("onnxruntime_float32", job.name)
    assert sorted(each.name for each in (tmp_path / "exported").iterdir()) == ["0", "4"]


def test_an_export_whose_process_ends_is_an_error(tmp_path):
    with pinned_processes() as (executor, number):
        assert number >= 1
        exporter = Exporter(tmp_path, executor, ahead=1)
        [job] = jobs = [Job(Ends(), "network", ())]
        exporter.plan(jobs)
        with pytest.raises(CostError, match=r"^a process that exports has ended$"):
            exporter.exported(job, FORM)


class Ends:
    """Ends the process in which it is unpickled."""

    def __reduce__(self):
        return os._exit, (3,)


def test_it_measures_what_it_exports(tmp_path, exporter):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    wanted = {"mechanism": "se", "dtype": "float32"}
    own = chosen_tasks(lambda facts: facts == facts | wanted, tmp_path, exporter, list(RUNTIMES), (1,))
    taken = record()
    kept = {"kept": set(), "known": lambda facts: {}, "share": 0.1, "most_seconds": 0.05}
    tasks.take(own, taken, 60, lambda: None, **kept)
    assert [each["latency"]["runtime"] for each in taken["rows"]] == ["torch", "onnxruntime"]
    model = taken["rows"][1]["latency"]["exported"]["network"]
    assert model["macs"] == model["counted_macs"] == 2 * 512 * (512 // 16)
    assert model["resident_bytes"] is None
    text = runtime_files(taken)["runtimes_cpu.md"].decode()
    assert "PyTorch, float32, ms | ONNX Runtime, float32, ms" in text


def test_the_number_formats_share_an_export(tmp_path, exporter, monkeypatch):
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    export, exported, taken = torch.onnx.export, [], record()
    monkeypatch.setattr(torch.onnx, "export", lambda *words, **names: exported.append(1) or export(*words, **names))
    kept = {"kept": set(), "known": lambda facts: {}, "share": 0.1, "most_seconds": 0.05}
    with closing(KeptProcesses()) as processes:
        two = ("se", "eca")
        chosen = chosen_tasks(
            lambda facts: facts.get("mechanism") in two, tmp_path, exporter, ["onnxruntime"], (1,), processes
        )
        tasks.take(chosen, taken, 60, lambda: None, **kept)
    assert len(exported) == 2
    models = [each["latency"]["exported"]["network"] for each in taken["rows"]]
    assert [each["facts"]["dtype"] for each in taken["rows"]] == ["float32", "int8"] * 2
    assert models[0]["macs"] == models[1]["macs"] == 2 * 512 * (512 // 16)
    assert models[2]["macs"] == models[3]["macs"] != models[0]["macs"]


def test_the_page_says_where_time_is_saved():
    files = runtime_files(
        record(
            row(PLACED, macs=-25.34, ratio=0.99, verdict="no difference shown"),
            row(PLACED, macs=-25.34, ratio=0.8, runtime="onnxruntime"),
            row(PLACED, macs=-25.34, ratio=0.7, runtime="onnxruntime", threads=2),
            row(PLACED, macs=-25.34, ratio=0.6, runtime="onnxruntime", dtype="int8"),
            mechanism("se", "torch", 0.125),
            mechanism("se", "onnxruntime", 0.25),
            {"facts": PLACED | {"runtime": "onnxruntime", "dtype": "int8"}, "error": "no kernel"},
            {
                "facts": {
                    "section": "mechanism",
                    "mechanism": "bam",
                    "runtime": "torch",
                    "dtype": "int8",
                    "threads": 1,
                },
                "error": "none",
            },
        )
    )
    text = files["runtimes_cpu.md"].decode()
    sentence = "-25.34% MACs: its time relative to the plain network's, in 1 thread, is "
    assert sentence + "0.990 \\[0.980, 1.000\\] in PyTorch, 0.800 \\[0.790, 0.810\\] in ONNX Runtime." in text
    assert "ONNX Runtime, int8, 1 thread: placements that save MACs: 1 (1 faster)." in text
    assert "6 of 7 measurements" in text
    assert "mv2 x1 at 13,14,16,17, g = 4: ONNX Runtime, int8: no kernel" in text
    assert "bam: PyTorch, int8: none" in text
    assert "| se        |" in text
    assert "290,000,000 |  300,000,000" in text
    pictures = {"savings_float32_1", "savings_float32_2", "savings_int8_1", "mechanisms_1"}
    assert set(files) == {"runtimes_cpu.md", *(f"runtimes_cpu_{name}.png" for name in pictures)}


def test_the_first_page_of_the_report_tells_it(tmp_path, drawn_once):
    told = record(row(PLACED, macs=-25.34, ratio=0.8, runtime="onnxruntime"))
    (tmp_path / "runtimes_cpu.json").write_text(json.dumps(told), encoding="utf-8")
    (tmp_path / "runtimes_cpu.md").write_text("# Time where networks are deployed\n", encoding="utf-8")
    [finding] = timed_findings(tmp_path)
    assert "0.800 [0.790, 0.810] in ONNX Runtime" in str(finding)
    assert "in 1 thread: 1 of 1 in ONNX Runtime" in str(finding)
    page = report_files(tmp_path, run_audit())["README.md"].decode()
    assert "of 1 in ONNX Runtime ([measured](runtimes_cpu.md))." in page

    (tmp_path / "runtimes_cpu.json").write_text("{}", encoding="utf-8")
    with pytest.raises(CostError, match=r"is not a record of python -m analyses.runtimes: run it again"):
        timed_findings(tmp_path)


def test_a_record_of_other_versions_is_not_taken_up(tmp_path, monkeypatch):
    machine = study.machine_state(study.CPU)
    monkeypatch.setattr(study, "machine_state", lambda device: machine)
    monkeypatch.setattr(study, "installed_runtimes", lambda: RUNTIMES)
    path = tmp_path / "runtimes_cpu.json"
    path.write_text(json.dumps(record(row(PLACED, macs=-25.34)) | {"machine": machine}), encoding="utf-8")
    command = ["--minutes", "0", "--out", str(tmp_path)]
    assert CliRunner().invoke(study.main, command).exit_code == 0
    assert len(json.loads(path.read_text(encoding="utf-8"))["rows"]) == 1
    newer = RUNTIMES | {"onnxruntime": {"title": "ONNX Runtime", "version": "2"}}
    monkeypatch.setattr(study, "installed_runtimes", lambda: newer)
    assert CliRunner().invoke(study.main, command).exit_code == 0
    assert json.loads(path.read_text(encoding="utf-8"))["rows"] == []


def test_what_is_installed_is_named_with_its_version():
    found = study.installed_runtimes()
    assert found["torch"] == {"title": "PyTorch", "version": torch.__version__}
    assert set(found) <= {"torch", *study.RUNTIMES}


def test_the_placements_that_save_time_are_counted_where_threads_are_fewest():
    saving, adding = {**PLACED, "positions": "14"}, {**PLACED, "positions": "15:1"}
    told = record(
        row(PLACED, macs=-25.34),
        row(saving, macs=-12.0, verdict="slower"),
        row(adding, macs=0.1),
        row(PLACED, macs=-25.34, threads=2),
        row(PLACED, macs=-25.34, dtype="int8", runtime="onnxruntime"),
        row(PLACED, macs=-25.34, runtime="onnxruntime"),
        row(saving, macs=-12.0, runtime="onnxruntime"),
    )
    said = saving_sentence(rows_of(told))
    assert said == (
        "Placements that save MACs and take less time, in 1 thread: 1 of 2 in PyTorch, 2 of 2 in ONNX Runtime."
    )
    assert saving_sentence(rows_of(record(row(adding, macs=0.1)))) is None
