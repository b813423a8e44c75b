"""A sweep: a row a model in their order, whatever becomes of a worker, and from where it stood."""

import json
import os
import signal
import sys
import threading
from concurrent.futures import BrokenExecutor, Executor, Future, ThreadPoolExecutor
from contextlib import nullcontext
from itertools import islice

import pandas as pd
import pytest
import torch
from click.testing import CliRunner

import ulsam_cost as uc
from ulsam_cost.cli import main
from ulsam_cost.errors import CostError, UnknownNameError
from ulsam_cost.formulas.networks.text import options_from_text
from ulsam_cost.sweeping import engines, run
from ulsam_cost.sweeping.engines import Engine
from ulsam_cost.sweeping.models import ModelLine, as_models, read_models
from ulsam_cost.sweeping.row import Row, Settings, Task
from ulsam_cost.sweeping.run import rows_in_order
from ulsam_cost.sweeping.stores import open_store
from ulsam_cost.sweeping.summary import family_of, require_axes, summarise

TEXTS = ["mv1 --width 0.25", "mv2", "mv1 --positions 11", "mv9", "resnet18", "mv2 --width 0.5"]
OWN = """
import os, signal, time
import numpy as np
import torch
from torch import nn

class Own(nn.Module):
    def __init__(self, does):
        super().__init__()
        self.linear, self.does = nn.Linear(3, 5), does
    def forward(self, x):
        self.does()
        return self.linear(x)

def hang():
    while True:
        time.sleep(0.01)

def eat():
    held = []
    while True:
        held.append(np.empty(2**25))  # 256 MiB that are not written

def model(does): return lambda: (Own(does), torch.zeros(7, 3))

fine = model(lambda: None)
raises = model(lambda: 1 / 0)
hangs = model(hang)
dies = model(lambda: os.kill(os.getpid(), signal.SIGKILL))
eats = model(eat)
names = ["mv1", "mv2"]
def generated(): yield from names
number = 3
"""


@pytest.fixture
def own(tmp_path):
    path = tmp_path / "own.py"
    path.write_text(OWN)
    return path


@pytest.fixture
def threads():
    with ThreadPoolExecutor(2) as executor:
        yield executor


def without_seconds(frame):
    return frame.drop(columns=["seconds"])


# The order of the rows, with work that does nothing


def tasks_of(rows):
    return (Task(row, ModelLine(f"model {row}"), Settings(), "") for row in range(rows))


def test_rows_come_in_order_though_the_work_ends_in_another(threads):
    turn = {row: threading.Event() for row in range(6)}

    def work(task):
        before = {0: 1, 2: 3}.get(task.row)  # row 0 ends after row 1, row 2 after row 3
        if before is not None:
            assert turn[before].wait(30)
        turn[task.row].set()
        return Row(row=task.row, line=task.line, way="counted")

    engine = Engine(executor=lambda size: nullcontext(threads), workers=2, round=4)
    assert [row.row for row in rows_in_order(tasks_of(6), engine, work=work)] == list(range(6))


def test_tasks_are_taken_as_they_are_needed(threads):
    taken = []

    def endless():
        for task in tasks_of(10**9):
            taken.append(task.row)
            yield task

    engine = Engine(executor=lambda size: nullcontext(threads), workers=2, round=5)
    rows = rows_in_order(endless(), engine, work=lambda task: Row(row=task.row, line=task.line, way="counted"))
    assert [row.row for row in islice(rows, 7)] == list(range(7))
    assert len(taken) == 10  # two rounds


class Fragile(Executor):
    """An executor that breaks, as a process pool does, when it gets one of some rows."""

    def __init__(self, deadly, log):
        self.deadly, self.log, self.broken = deadly, log, False

    def submit(self, work, task):
        if self.broken:
            raise BrokenExecutor
        future = Future()
        self.log.append(task.row)
        if task.row in self.deadly:
            self.broken = True
            future.set_exception(BrokenExecutor())
        else:
            future.set_result(work(task))
        return future


def test_a_task_that_breaks_its_executor_is_tried_alone_and_is_a_row():
    log = []
    engine = Engine(executor=lambda size: nullcontext(Fragile({2, 5}, log)), workers=2, round=100)
    rows = list(rows_in_order(tasks_of(8), engine, work=lambda task: Row(row=task.row, line=task.line, way="counted")))
    assert [row.row for row in rows] == list(range(8))
    assert [row.row for row in rows if row.error] == [2, 5]
    assert "its process ended" in rows[2].error
    assert sorted(log) == [0, 1, 2, 2, 3, 4, 5, 5, 6, 7]  # the two once more, the others once


def test_workers_that_never_begin_end_the_sweep():
    broken = Fragile((), [])
    broken.broken = True
    engine = Engine(executor=lambda size: nullcontext(broken), workers=2)
    with pytest.raises(CostError, match="the worker processes exit before any work starts"):
        list(rows_in_order(tasks_of(3), engine))


def test_a_broken_executor_of_the_caller_ends_the_sweep_and_keeps_the_rows(monkeypatch, tmp_path):
    monkeypatch.setattr("ulsam_cost.sweeping.sweep.require_ready", lambda engine: None)
    with pytest.raises(CostError, match="the executor is broken: the rows so far are kept"):
        uc.sweep(TEXTS, out=tmp_path / "a.csv", derive=True, executor=Fragile({2}, []), workers=1)
    assert pd.read_csv(tmp_path / "a.csv")["model"].tolist() == TEXTS[:2]


def test_a_cluster_without_workers_ends_the_sweep(monkeypatch):
    monkeypatch.setattr(run, "PATIENCE", 0.01)

    class Deaf(Executor):
        def submit(self, work, task):
            return Future()

    engine = Engine(executor=lambda size: nullcontext(Deaf()), workers=1, has_workers=lambda: False)
    with pytest.raises(CostError, match="no worker left"):
        list(rows_in_order(tasks_of(3), engine))


# The rows


def test_a_row_has_the_numbers_of_a_count(threads, own):
    frame = uc.sweep(["mv2", f"{own}:fine"], conventions=["fvcore", "thop"], executor=threads).to_frame()
    count = uc.count(uc.build("mv2").eval(), torch.empty(1, 3, 224, 224))
    first, second = (frame.iloc[row] for row in (0, 1))
    assert [first[name] for name in ("macs", "params", "activations", "fvcore", "thop")] == [
        *(count.macs, count.params, count.activations),
        *(count.number("fvcore"), count.number("thop")),
    ]
    kinds = count.by_kind()
    assert first["conv_macs"] == kinds[uc.OpKind.CONV].macs
    assert first["norm_writes"] == kinds[uc.OpKind.NORM].writes
    assert (second["macs"], second["params"], second["linear_writes"]) == (7 * 3 * 5, 3 * 5 + 5, 7 * 5)
    assert (second["conv_macs"], second["uncounted"], second["complete"]) == (0, 0, True)
    assert frame["macs"].dtype == "Int64"


def test_derived_rows_are_the_counted_ones(threads):
    derived, counted = (
        uc.sweep([text for text in TEXTS if text != "mv9"], derive=derive, executor=threads).to_frame()
        for derive in (True, False)
    )
    assert set(derived["way"]) == {"derived"}
    assert set(counted["way"]) == {"counted"}
    columns = [name for name in derived if derived[name].dtype == "Int64"]
    pd.testing.assert_frame_equal(derived[columns], counted[columns])


def test_processes_that_raise_hang_die_or_eat_the_memory_are_rows(own):
    names = ["fine", "raises", "hangs", "dies", "eats", "nothing", "fine"]
    texts = [f"{own}:{name}" for name in names]
    frame = uc.sweep(texts, workers=2, timeout=10, memory=2 * 2**30).to_frame()
    assert frame["model"].tolist() == texts
    fine = frame[frame["error"].isna()]
    assert fine["row"].tolist() == [0, 6]
    assert fine["macs"].tolist() == [7 * 3 * 5] * 2
    errors = frame["error"].tolist()
    assert "ZeroDivisionError" in errors[1]
    assert errors[2] == "it did not end within 10 s"
    assert errors[3].startswith("its process ended")
    assert "MemoryError" in errors[4]
    assert "unknown name of" in errors[5]
    assert frame["macs"].isna().tolist() == [False, True, True, True, True, True, False]


def test_times_stand_beside_the_costs(threads):
    text = "mv1 --width 0.25 --resolution 32"
    frame = uc.sweep([text], device="cpu", repeats=3, executor=threads).to_frame()
    assert frame["low_ms"][0] <= frame["median_ms"][0] <= frame["high_ms"][0]
    assert frame["low_ms"][0] > 0
    assert frame["macs"][0] == uc.network_cost("mv1", width=0.25, resolution=32).macs
    assert frame["device"][0]


# Where the rows are kept


@pytest.mark.parametrize("name", ["costs.csv", "costs.parquet"])
def test_a_sweep_that_was_cut_off_goes_on_to_the_same_table(name, threads, tmp_path):
    settings = {"derive": True, "conventions": ["fvcore"], "executor": threads}
    whole = uc.sweep(TEXTS, out=tmp_path / f"whole-{name}", **settings).to_frame()
    begun = []

    def interrupt(rows):
        if rows == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        uc.sweep(TEXTS, out=tmp_path / name, progress=interrupt, **settings)
    if name == "costs.csv":
        content = (tmp_path / name).read_bytes()
        (tmp_path / name).write_bytes(content + b"4,resn")  # as if the machine had stopped while it was written
    result = uc.sweep(TEXTS, out=tmp_path / name, progress=begun.append, **settings)
    assert begun == [4, 5, 6]
    pd.testing.assert_frame_equal(without_seconds(result.to_frame()), without_seconds(whole))
    assert result.to_frame()["row"].tolist() == list(range(len(TEXTS)))


def test_a_finished_sweep_does_no_work_again(threads, tmp_path, monkeypatch):
    settings = {"derive": True, "executor": threads, "out": tmp_path / "costs.csv"}
    first = uc.sweep(TEXTS, **settings).to_frame()
    monkeypatch.setattr("ulsam_cost.sweeping.sweep.rows_in_order", None)
    pd.testing.assert_frame_equal(uc.sweep(TEXTS, **settings).to_frame(), first)


def test_pandas_alone_reads_a_dataset_exactly(threads, tmp_path):
    frame = uc.sweep(["mv9", "mv2", "mv1"], derive=True, out=tmp_path / "costs.parquet", executor=threads).to_frame()
    read = pd.read_parquet(tmp_path / "costs.parquet")
    pd.testing.assert_frame_equal(read, frame)
    assert read["macs"].dtype == "Int64"
    assert read["macs"].tolist()[1:] == [uc.network_cost("mv2").macs, uc.network_cost("mv1").macs]


@pytest.mark.parametrize("name", ["costs.csv", "costs.parquet"])
@pytest.mark.parametrize(
    ("texts", "settings", "said"),
    [
        (["mv1", "resnet18"], {}, r"row 1 that is kept is 'mv2', derived: this sweep has 'resnet18', derived, there"),
        (["mv1"], {}, "row 1 that is kept is 'mv2', derived: this sweep has no such row"),
        (["mv1", "mv2"], {"derive": False}, "this sweep has 'mv1', counted, there"),
        (["mv1", "mv2"], {"conventions": ["thop"]}, "is not of this sweep: it lacks thop"),
    ],
)
def test_what_another_sweep_left_is_refused_and_stays(name, texts, settings, said, threads, tmp_path):
    out = tmp_path / name
    before = uc.sweep(["mv1", "mv2"], out=out, derive=True, executor=threads).to_frame()
    with pytest.raises(CostError, match=said):
        uc.sweep(texts, out=out, executor=threads, **{"derive": True} | settings)
    read = pd.read_csv(out) if name.endswith("csv") else pd.read_parquet(out)
    assert read["model"].tolist() == before["model"].tolist()


def test_a_place_that_holds_something_else_is_refused(tmp_path):
    (tmp_path / "a.csv").write_text("hello\nyou\n")
    (tmp_path / "b.parquet").write_text("hello")
    (tmp_path / "c.csv").mkdir()
    (tmp_path / "d.parquet").mkdir()
    (tmp_path / "d.parquet" / "part.parquet").write_text("hello")
    for name, said in (
        ("a.csv", "it lacks row, model"),
        ("b.parquet", "is a file: a folder"),
        ("c.csv", "is a folder: a file"),
        ("d.parquet", "is not a table of a sweep"),
        ("e.txt", r"a name that ends in \.csv or \.parquet"),
        ("no/e.csv", "there is no folder"),
    ):
        with pytest.raises(CostError, match=said):
            uc.sweep(["mv1"], out=tmp_path / name, derive=True)
    assert (tmp_path / "a.csv").read_text() == "hello\nyou\n"


# The models


def test_models_are_read_from_each_kind_of_file(own, tmp_path):
    files = {
        "a.txt": "\ufeff# ours\nmv1\n\n  mv2 --width 0.5  \n",
        "b.csv": "note,model,input\nx,mv1,\ny,own.py:fine,1x3 2x4:int64\n",
        "c.toml": 'model = ["mv1", "mv2"]\n[grid]\nwidth = [0.5, 1.0]\npositions = ["8:1,11", "none"]\n',
    }
    for name, content in files.items():
        (tmp_path / name).write_text(content)

    def lines(text):
        models = read_models(str(text))
        found = list(models.lines)
        assert models.total in (None, len(found))
        return [tuple(line) for line in found]

    assert lines(tmp_path / "a.txt") == [("mv1", ()), ("mv2 --width 0.5", ())]
    assert lines(tmp_path / "b.csv") == [("mv1", ()), ("own.py:fine", ("1x3", "2x4:int64"))]
    assert lines(tmp_path / "c.toml") == [
        (f"{model} --width {width} --positions {positions}", ())
        for model in ("mv1", "mv2")
        for width in (0.5, 1.0)
        for positions in ("8:1,11", "none")
    ]
    assert lines(f"{own}:generated") == lines(f"{own}:names") == [("mv1", ()), ("mv2", ())]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("none.txt", None, "there is no file"),
        ("a.txt", "# nothing\n", "names no model"),
        ("a.csv", "network\nmv1\n", "has no column model: its columns are network"),
        ("a.csv", "model,input\nmv1,\n,1x3\n", "line 3: the column model is empty"),
        ("a.toml", "model = mv1\n", "is not TOML: .*line 1"),
        ("a.toml", 'models = "mv1"\n', "unknown key in .*'models': did you mean 'model'"),
        ("a.toml", "[grid]\nwidth = [1]\n", "has no model"),
        ("a.toml", 'model = "mv1"\n[grid]\nwidth = []\n', "lists one or more values for each option"),
    ],
)
def test_a_list_that_is_none_is_one_sentence(name, content, said, tmp_path):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    result = CliRunner().invoke(main, ["sweep", str(path), "--out", str(tmp_path / "out.csv")])
    assert result.exit_code == 2
    with pytest.raises(CostError, match=said):
        read_models(str(path))
    assert not (tmp_path / "out.csv").exists()


def test_python_gives_texts(own):
    assert [line.model for line in as_models(lambda: iter(["mv1"])).lines] == ["mv1"]
    for given, said in (("mv1", "gives str"), (3, "gives int"), ([], "gives no model")):
        with pytest.raises(CostError, match=said):
            as_models(given)
    for given in ([3], ["mv1\nmv2"], [" "]):
        with pytest.raises(CostError, match="a text of one line"):
            list(as_models(given).lines)
    with pytest.raises(CostError, match="gives int"):
        read_models(f"{own}:number")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"conventions": ["thp"]}, "did you mean 'thop'"),
        ({"conventions": ["macs"]}, "is a column of every sweep"),
        ({"timeout": 0}, "a positive number of seconds"),
        ({"derive": True, "device": "cpu"}, "derive or device"),
        ({"executor": 3}, "a concurrent.futures.Executor"),
        ({"executor": ThreadPoolExecutor(1), "scheduler": "tcp://127.0.0.1:1"}, "not both"),
    ],
)
def test_settings_that_are_none_are_one_sentence(settings, said):
    with pytest.raises(CostError, match=said):
        uc.sweep(["mv1"], **settings)


# A Dask cluster


@pytest.fixture
def cluster():
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster


def test_a_dask_cluster_that_loses_a_worker_gives_the_table_of_this_process(cluster, threads, own, tmp_path):
    texts = [*TEXTS, f"{own}:raises", *(f"mv1 --width {width}" for width in (0.3, 0.4, 0.6, 0.7)), f"{own}:fine"]
    here = uc.sweep(texts, executor=threads).to_frame()
    killed = []

    def kill_one(rows):
        if rows == 2:
            killed.append(cluster.workers[0].pid)
            os.kill(killed[0], signal.SIGKILL)

    out = tmp_path / "costs.csv"
    there = uc.sweep(texts, scheduler=cluster.scheduler_address, progress=kill_one, out=out).to_frame()
    assert killed
    counts = [name for name in here if here[name].dtype == "Int64"]
    pd.testing.assert_frame_equal(there[[*counts, "model", "error"]], here[[*counts, "model", "error"]])


def test_times_want_a_worker_that_offers_the_resource(cluster):
    with pytest.raises(CostError, match="a worker with `--resources device=1` is needed"):
        uc.sweep(["mv1"], device="cpu", scheduler=cluster.scheduler_address)


def test_times_are_taken_by_the_workers_that_offer_the_resource():
    distributed = pytest.importorskip("distributed")
    small = [f"mv1 --width {width} --resolution 32" for width in (0.25, 0.5)]
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=2, resources={engines.RESOURCE: 1}, dashboard_address=None
    ) as cluster:
        frame = uc.sweep(small, device="cpu", repeats=3, scheduler=cluster.scheduler_address).to_frame()
    assert (frame["median_ms"] > 0).all()


def test_a_scheduler_that_is_not_there_is_one_sentence(monkeypatch):
    pytest.importorskip("distributed")
    monkeypatch.setattr(engines, "CONNECT_SECONDS", 0.5)
    with pytest.raises(CostError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:9"):
        uc.sweep(["mv1"], scheduler="tcp://127.0.0.1:9")


def test_dask_that_is_not_installed_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(CostError, match=r"pip install 'ulsam-cost\[dask\]'"):
        uc.sweep(["mv1"], scheduler="tcp://127.0.0.1:9")


def test_pyarrow_that_is_not_installed_is_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(CostError, match=r"pip install 'ulsam-cost\[sweep\]'"):
        uc.sweep(["mv1"], out=tmp_path / "a.parquet")
    assert not (tmp_path / "a.parquet").exists()


def test_a_worker_without_the_package_is_one_sentence():
    class Elsewhere(Executor):
        def submit(self, work, *args):
            future = Future()
            future.set_exception(ModuleNotFoundError("No module named 'ulsam_cost'"))
            return future

    with pytest.raises(CostError, match=r"a worker cannot run ulsam-cost: ModuleNotFoundError.*installed there"):
        uc.sweep(["mv1"], executor=Elsewhere())


# What it says


def table(**columns):
    frame = pd.DataFrame(columns)
    frame["row"] = range(len(frame))
    return frame


def test_a_summary_has_the_front_the_families_and_the_failures():
    frame = table(
        model=["mv1", "zoo.py:vit_b16", "mv1 --width 2", "zoo.py:vit_l", "bad"],
        macs=pd.array([10, 20, 30, 5, None], dtype="Int64"),
        params=pd.array([7, 3, 8, 9, None], dtype="Int64"),
        complete=pd.array([True, True, False, True, None], dtype="boolean"),
        seconds=[1.0, 2.0, 3.0, 4.0, 0.5],
        error=pd.array([None, None, None, None, "no such model"], dtype="string"),
    )
    summary = summarise(frame, ("macs", "params"))
    costs = [(5, 9), (10, 7), (20, 3)]  # (30, 8) is above (10, 7) in both
    assert [(point.across, point.up) for point in summary.front] == costs
    assert [(each.family, each.models, each.least, each.median, each.most) for each in summary.families] == [
        ("mv1", 2, 10, 20, 30),
        ("vit", 2, 5, 12.5, 20),
    ]
    assert [(failure.row, failure.error) for failure in summary.failures] == [(4, "no such model")]
    assert (summary.rows, summary.incomplete, summary.seconds) == (5, 1, 10.5)


def test_the_front_of_times_is_exact_to_the_nanosecond():
    frame = table(
        model=["a", "b", "c"],
        macs=pd.array([1, 2, 3], dtype="Int64"),
        median_ms=[1.0, 1.0 - 1e-6, 1.0],
        complete=[True] * 3,
        seconds=[0.0] * 3,
        error=pd.array([None] * 3, dtype="string"),
    )
    assert [point.model for point in summarise(frame, ("macs", "median_ms")).front] == ["a", "b"]


@pytest.mark.parametrize(
    ("model", "family"),
    [("mv1 --width 2", "mv1"), ("a/zoo.py:vit_b16", "vit"), ("zoo:_x", "_x"), ("resnet50", "resnet50")],
)
def test_the_family_of_a_model(model, family):
    assert family_of(model) == family


def test_axes_are_two_columns_of_numbers():
    columns = list(Settings(conventions=("fvcore",)).columns)
    assert require_axes(["fvcore", "conv_writes"], columns) == ("fvcore", "conv_writes")
    for axes, kind, said in (
        (["macs", "median_ms"], UnknownNameError, "unknown column for an axis 'median_ms'"),
        (["macs", "model"], UnknownNameError, "'model'"),
        (["macs", "macs"], CostError, "two different columns"),
        (["macs"], CostError, "two different columns"),
    ):
        with pytest.raises(kind, match=said):
            require_axes(axes, columns)


def network_cost_of(text):
    name, options = options_from_text(text)
    return uc.network_cost(name, **options)


@pytest.fixture
def swept(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "models.txt").write_text("\n".join(TEXTS))

    def run(*args):
        call = ["sweep", "models.txt", "--out", "costs.csv", "--derive", "--workers", "1", *args]
        return CliRunner().invoke(main, call)

    return run


def test_the_command_writes_a_page_and_a_picture(swept, tmp_path):
    result = swept("--page", "pages/sweep.md", "--picture", "sweep.png")
    assert result.exit_code == 0, result.output
    assert "6 models: 5 with all their costs, 1 without." in result.stdout
    assert "mv9" in result.stdout
    assert all(len(line) <= 100 for line in result.stdout.splitlines())
    page = (tmp_path / "pages" / "sweep.md").read_text()
    assert "![params over MACs, by family](../sweep.png)" in page
    assert "'mv9' is not a model" in page
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    data = json.loads(swept("--format", "json").stdout)
    assert data["rows"] == 6
    assert [failure["row"] for failure in data["failed"]] == [3]
    costs = {text: network_cost_of(text) for text in TEXTS if text != "mv9"}
    front = {
        text
        for text, cost in costs.items()
        if not any(
            (other.macs, other.params) != (cost.macs, cost.params)
            and other.macs <= cost.macs
            and other.params <= cost.params
            for other in costs.values()
        )
    }
    assert {point["model"] for point in data["front"]} == front


def test_a_sweep_without_costs_ends_with_1_and_bad_options_with_2(swept, tmp_path):
    assert swept("--repeats", "3").exit_code == 2
    assert swept("--axes", "macs,flop").exit_code == 2
    assert not (tmp_path / "costs.csv").exists()
    (tmp_path / "models.txt").write_text("mv9\nmv8\n")
    result = swept()
    assert result.exit_code == 1
    assert "no model has costs" in result.stderr


@pytest.mark.parametrize("name", ["a.csv", "a.parquet"])
def test_a_count_that_no_float_has_room_for_stays_exact(name, tmp_path):
    columns = Settings().columns
    assert float(2**53 + 1) == 2**53
    rows = [{"row": 0, "model": "none"}, {"row": 1, "model": "large", "macs": 2**53 + 1}]
    store = open_store(tmp_path / name, columns)
    store.append(rows)
    assert store.frame()["macs"].tolist()[1] == 2**53 + 1
    assert store.frame()["macs"].isna().tolist() == [True, False]
